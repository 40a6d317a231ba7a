"""Size, speed and loss of every way to make a model smaller: the table and the picture of docs/quantization.md.

`python benchmarks/quantization.py MODEL --name base --data DATA --write`; DATA is a folder of tasks as for
`instructor-embed evaluate mteb`, of which STSBenchmark and Banking77Classification are run. `--table` and `--plot`
print and draw what was written. Speeds are of short texts on two threads, and ratios within one run.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "quantization.json"
TASKS = ("STSBenchmark", "Banking77Classification")
FOLDERS = {  # variant: (weights, embedding, dtype and precision to load with)
    "float32": ("float32", None, {}),
    "float32, computed in int8": ("float32", None, {"precision": "int8"}),
    "bfloat16": ("bfloat16", None, {}),
    "bfloat16, computed so": ("bfloat16", None, {"precision": "fast"}),
    "float16": ("float16", None, {}),
    "int8": ("int8", None, {}),
    "int8, exact": ("int8", None, {"precision": "exact"}),
    "int8, table int4": ("int8", "int4", {}),
    "int4": ("int4", None, {}),
}
EXPORTS = [(library, weights) for library in ("onnx", "openvino") for weights in ("float32", "float16", "int8")]
DYNAMIC = "quantize_dynamic of torch"
MEMORY = """
import re, sys, json
from pathlib import Path
from tokenizers import Tokenizer
from instructor_embedding import INSTRUCTOR
def held():
    text = open("/proc/self/status").read()
    return sum(int(re.search(name + r":\\s+(\\d+)", text)[1]) for name in ("RssAnon", "RssFile")) / 1024
options = json.loads(sys.argv[2])
INSTRUCTOR(sys.argv[3], device="cpu", **options).encode(["warm"])
times = [held()]
tokenizer = Tokenizer.from_file(str(Path(sys.argv[1]) / "tokenizer.json"))
tokenizer.encode("One short text.")
times.append(held())
model = INSTRUCTOR(sys.argv[1], device="cpu", **options)
model.encode(["One short text."])
times.append(held())
print(json.dumps([times[1] - times[0], times[2] - times[1]]))
"""


class Exported:
    """An exported graph run through the engine's own pipeline."""

    def __init__(self, model, path, library):
        from instructor_embedding.engine.backends.onnx import OnnxBackend
        from instructor_embedding.engine.backends.openvino import OpenVINOBackend

        backend = OnnxBackend if library == "onnx" else OpenVINOBackend
        self.tokens = model.tokens
        self.backend = backend(path, model.dimension, "exact")

    def encode(self, pairs, **_):
        from instructor_embedding import as_pairs
        from instructor_embedding.engine import pipeline

        windows = pipeline.encode(as_pairs(pairs), self.tokens, self.backend, 1024)
        return np.concatenate([window.vectors for window in windows])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--name", default="model")
    parser.add_argument("--data")
    parser.add_argument("--texts", type=int, default=300, help="texts of cosines, neighbors and speed")
    parser.add_argument("--scored", nargs="*", help="variants whose tasks are run; default: all")
    parser.add_argument("--variants", nargs="*", help="default: all; float32 is always there")
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--plot", action="store_true")
    args = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if args.model:
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        known[args.name] = measure(args)
        if args.write:
            RESULTS.write_text(json.dumps(known, indent=1) + "\n")
    for name in [args.name] if args.model else known if args.table else []:
        print(f"\n{name}\n\n{table(known[name])}")
    if args.plot:
        plot(known)


def measure(args):
    with tempfile.TemporaryDirectory() as home:
        variants = list(built(args.model, Path(home), args.variants))
        rows = {name: facts for name, facts, _ in variants}
        models = {name: model for name, _, model in variants}
        compare(rows, models, texts(args), args.rounds)
        if args.data:
            chosen = args.scored or list(models)
            for name in chosen:
                rows[name] |= scores(models[name], name, args.tasks, args.data)
                print(name, rows[name], file=sys.stderr, flush=True)
    return rows


def built(source, home, names):
    """Yield (variant, facts, model): each quantized, saved and loaded again, or exported."""
    import torch

    from instructor_embedding import INSTRUCTOR, export, quantize

    model = INSTRUCTOR(source, device="cpu", precision="exact")
    tiny = INSTRUCTOR(write_tiny(home / "tiny"), device="cpu", precision="exact")
    for name, (weights, embedding, options) in FOLDERS.items():
        if names and name not in ("float32", *names):
            continue
        folder = home / f"{weights}-{embedding}"
        if not folder.exists():
            quantize(model, weights, embedding=embedding).save(folder)
            quantize(tiny, weights, embedding=embedding).save(warm(folder))
        loaded, seconds = timed(lambda f=folder, o=options: INSTRUCTOR(f, device="cpu", **o))
        grown = subprocess.run(
            [sys.executable, "-c", MEMORY, str(folder), json.dumps(options), str(warm(folder))],
            capture_output=True,
            check=True,
        )
        tokenizer, both = json.loads(grown.stdout)
        facts = {"memory": round(both - tokenizer, 1), "tokenizer_memory": round(tokenizer, 1)}
        yield name, {"mb": size(folder), "load": seconds, **facts}, loaded
    if not names or DYNAMIC in names:
        dynamic = torch.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        dynamic.save(home / "dynamic")
        yield DYNAMIC, {"mb": size(home / "dynamic")}, dynamic
    for library, weights in EXPORTS:
        if names and f"{library} {weights}" not in names:
            continue
        folder = home / f"{library}-{weights}"
        path = export(model, folder, library, weights)
        loaded, seconds = timed(lambda p=path, n=library: Exported(model, p, n))
        yield f"{library} {weights}", {"mb": size(folder), "load": seconds}, loaded


def warm(folder):
    """Name the tiny model with the same weights, which makes a process load and set up all that is not the model."""
    return folder.with_name(f"{folder.name}-warm")


def write_tiny(folder):
    from instructor_embedding.model.folder.write import write
    from instructor_embedding.model.scratch import random_embedder
    from instructor_embedding.training.tokenizer import train_tokenizer

    write(random_embedder("tiny", train_tokenizer(["some words to begin with"] * 9, 60)), folder)
    return folder


def timed(make):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        output = make()
        times.append(time.perf_counter() - start)
    return output, round(min(times), 3)


def size(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".json", ".md")]
    return round(sum(path.stat().st_size for path in files) / 1e6, 2)


def texts(args):
    """Return short texts: sentences of STS-B where there is data, else generated ones."""
    if args.data:
        from instructor_embedding.evaluation.mteb.folder_files import rows

        records = rows(Path(args.data) / "STSBenchmark" / "test.jsonl.gz")
        texts = list(dict.fromkeys(row["sentence1"] for row in records))[: args.texts]
    else:
        from instructor_embedding.engine.measure import built_in_texts

        return built_in_texts(args.texts, 12)
    return [["Represent the sentence: ", text] for text in texts]


def compare(rows, models, pairs, rounds):
    """Add cosines, neighbors and speed; rounds go over all variants, so that all see the same machine."""
    from instructor_embedding.quantization.check import agreement

    before = models["float32"].encode(pairs)
    best = {}
    for name, model in models.items():
        close = agreement(before, model.encode(pairs))
        rows[name] |= {"cosine": close.cosine, "lowest": close.lowest, "neighbors": close.overlap}
    for _ in range(rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model.encode(pairs)
            best[name] = min(best.get(name, np.inf), time.perf_counter() - start)
    for name, seconds in best.items():
        rows[name] |= {"speed": round(best["float32"] / seconds, 2), "texts_per_second": round(len(pairs) / seconds, 1)}


def scores(model, name, tasks, data):
    from instructor_embedding.evaluation import mteb
    from instructor_embedding.evaluation.cached_encoder import CachedEncoder

    results = mteb.evaluate(CachedEncoder(model, name), mteb.tasks_named(tasks, [], data))
    return {score.task: round(score.value, 2) for score in results}


def table(rows):
    full = rows["float32"]["mb"]
    lines = ["| variant | MB | of float32 | memory, MiB | load, s | speed | cosine | neighbors | STS-B | Banking77 |",
             "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, row in rows.items():
        cells = [name, f"{row['mb']:.1f}", f"{row['mb'] / full:.1%}", shown(row, "memory", ".0f"),
                 shown(row, "load", ".2f"), f"{row['speed']:.1f} x", f"{row['cosine']:.5f}",
                 f"{row['neighbors']:.1%}", *(shown(row, task, ".2f") for task in TASKS)]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(row, name, form):
    return format(row[name], form) if name in row else ""


def plot(known):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(known), 3, figsize=(10, 0.8 + 4.2 * len(known)), squeeze=False, sharey="row", constrained_layout=True
    )
    for (sizes, losses, speeds), (name, rows) in zip(axes, known.items(), strict=True):
        variants, full = list(rows)[::-1], rows["float32"]["mb"]
        sizes.barh(variants, [100 * rows[variant]["mb"] / full for variant in variants], color="tab:blue")
        losses.plot([max(1 - rows[variant]["cosine"], 1e-8) for variant in variants], variants, "o", color="tab:red")
        speeds.barh(variants, [rows[variant]["speed"] for variant in variants], color="tab:green")
        sizes.set(xlabel="size on disk, % of float32", title=name)
        losses.set(xscale="log", xlabel="1 - cosine to float32")
        losses.grid(axis="both", alpha=0.3)
        speeds.set(xlabel="times the speed of float32")
    figure.savefig(HERE.parent / "docs" / "quantization.png", dpi=110)


if __name__ == "__main__":
    main()
