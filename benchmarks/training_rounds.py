"""What a second round with mined negatives, the mean of checkpoints and a merge of two models each change.

    python benchmarks/training_rounds.py DATA OUT [--steps 30] [--seeds 2] [--write]

DATA holds train/ with its SOURCES.json, and eval/STSBenchmark. Starts from instructor-mini; every model is scored on
queries that neither it nor these runs were trained on, and on the validation half of STS-B. What is in OUT already is
not run again. With --write into results/training_rounds.json and the table of docs/training.md. About five minutes of
one core per seed.
"""

from __future__ import annotations

import argparse
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from instructor_embedding import INSTRUCTOR
from instructor_embedding.files.records import read_records, write_records
from instructor_embedding.medi import encoders
from instructor_embedding.medi.build import build
from instructor_embedding.medi.config import Config, Selection
from instructor_embedding.medi.mine import GUARD, SAME
from instructor_embedding.medi.remine import remine
from instructor_embedding.medi.triple import Triple, read, write
from instructor_embedding.training.average import merge
from instructor_embedding.training.dev import DevSet, read_dev
from instructor_embedding.training.resume import checkpoints
from instructor_embedding.training.run import train

RESULTS = Path(__file__).parent / "results" / "training_rounds.json"
PAGE = Path(__file__).parent.parent / "docs" / "training.md"
START, END = "<!-- rounds: benchmarks/training_rounds.py writes this -->\n", "<!-- /rounds -->"
SOURCES = ("paper_keywords_title", "tldr_description_command", "recipe_title_ingredients", "wordset_usage_definition")
LIMIT, HELD = 1200, 120  # relations of each source, and records of each set that are scored at most
SCORED_PAIRS = 400  # of STS-B
FLAGS = (
    "--per_device_train_batch_size 16 --max_source_length 32 --learning_rate 1e-4 --warmup_ratio 0.1 "
    "--cl_temperature 0.05 --loss_form in-batch --mask_duplicates --save_total_limit 3 --report_to none "
    "--disable_tqdm true"
)
SENTENCE = "Represent the sentence for semantic similarity: "
# name of a second round -> its negatives: what `remine` rejects, or None
ROUNDS = {"mined again, no guard": (1.0, math.inf), "mined again, guarded": (SAME, GUARD)}


def unseen(text: str) -> bool:
    """Return whether the recipe of instructor-mini held a text back from training."""
    return zlib.crc32(text.encode()) % 100 < 10


def prepare(data: Path, out: Path) -> None:
    """Write the triples of the first round, and of two halves of the sources, and the development sets."""
    if (out / "half-1.jsonl").is_file():
        return
    selection = Selection(data / "train", only=tuple(f"pairs/{name}*" for name in SOURCES), limit=LIMIT)
    build(Config((selection,), out / "built.jsonl", wordings=1))
    triples = list(read(out / "built.jsonl"))
    seen = [triple for triple in triples if not unseen(triple.query.text)]
    write(out / "BM25's.jsonl", seen)
    write_records(out / "none.jsonl", ({"query": list(t.query), "pos": list(t.pos), "task": t.task_name} for t in seen))
    for name in SOURCES:
        write_records(out / f"{name}.dev.jsonl", held_back(triples, name))
    rows = [row for _, row in read_records(data / "eval" / "STSBenchmark" / "validation.jsonl.gz")]
    keys = ("sentence1", "sentence2", "score")
    write_records(out / "stsb.dev.jsonl", ({key: row[key] for key in keys} for row in rows))
    for half in (0, 1):
        names = SOURCES[2 * half : 2 * half + 2]
        write(out / f"half-{half}.jsonl", [triple for triple in seen if triple.task_name in names])


def held_back(triples: list[Triple], name: str) -> Iterator[dict]:
    """Yield the held-back pairs of a source."""
    reserved = [triple for triple in triples if triple.task_name == name and unseen(triple.query.text)][:HELD]
    return ({"query": list(triple.query), "pos": list(triple.pos)} for triple in reserved)


def trained(start: Path | str, file: Path, output: Path, steps: int, seed: int) -> Path:
    """Train and return the folder of the model; one that is there already is not trained again."""
    if not (output / "modules.json").is_file():
        flags = f"{FLAGS} --max_steps {steps} --save_steps {max(1, steps // 3)} --seed {seed}"
        line = ["--model_name_or_path", start, "--train_file", file, "--output_dir", output, *flags.split()]
        train(list(map(str, line)))
    return output


def score(model: Path | str, sets: list[DevSet]) -> dict[str, float]:
    """Return the main score of each set in percent, and their mean."""
    encoder = INSTRUCTOR(str(model), device="cpu")
    values = {dev.name.removesuffix(".dev"): next(iter(dev.score(encoder.encode).values())) for dev in sets}
    values = {name: 100 * value for name, value in values.items()}
    return values | {"mean": float(np.mean(list(values.values())))}


def run(out: Path, steps: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the scores of all models of one seed, by what they are."""
    sets = read_dev([str(path) for path in sorted(out.glob("*.dev.jsonl"))], SENTENCE, SCORED_PAIRS)
    home = out / f"seed-{seed}"
    home.mkdir(exist_ok=True)
    models: dict[str, Path | str] = {"instructor-mini": "instructor-mini"}
    models["first round, BM25's negatives"] = first = trained(
        "instructor-mini", out / "BM25's.jsonl", home / "first", steps, seed
    )
    models["first round, mean of its checkpoints (last:3)"] = mean = home / "mean"
    if not mean.is_dir():
        merge(list(map(str, checkpoints(first))), str(mean))
    for name, (same, guard) in ROUNDS.items():
        if not (home / f"{name}.jsonl").is_file():
            remine(out / "BM25's.jsonl", home / f"{name}.jsonl", encoders.load(str(first)), same=same, guard=guard)
    files = {"no hard negatives": out / "none.jsonl", "BM25's negatives": out / "BM25's.jsonl"}
    for name, file in (files | {name: home / f"{name}.jsonl" for name in ROUNDS}).items():
        models[f"second round, {name}"] = trained(first, file, home / name, steps, seed)
    halves = [trained("instructor-mini", out / f"half-{n}.jsonl", home / f"half-{n}", steps, seed) for n in (0, 1)]
    if not (home / "merged").is_dir():
        merge(list(map(str, halves)), str(home / "merged"))
    names = [" and ".join(name.partition("_")[0] for name in SOURCES[2 * n : 2 * n + 2]) for n in (0, 1)]
    models |= {f"trained on {name}": half for name, half in zip(names, halves, strict=True)}
    models["these two, merged"] = home / "merged"
    store = home / "scores.json"
    scores = json.loads(store.read_text(encoding="utf-8")) if store.is_file() else {}
    for name, model in models.items():
        if name not in scores:
            scores[name] = score(model, sets)
            store.write_text(json.dumps(scores), encoding="utf-8")
    return {name: scores[name] for name in models}


def main() -> None:
    """Run all seeds and print a table of means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    prepare(options.data, options.out)
    by_seed = [run(options.out, options.steps, seed) for seed in range(options.seeds)]
    page = table(by_seed)
    print(page)
    if options.write:
        settings = {"sources": SOURCES, "limit": LIMIT, "steps": options.steps, "flags": FLAGS}
        RESULTS.write_text(json.dumps({"settings": settings, "seeds": by_seed}, indent=1) + "\n", encoding="utf-8")
        before, rest = PAGE.read_text(encoding="utf-8").split(START)
        PAGE.write_text(before + START + page + END + rest.partition(END)[2], encoding="utf-8")


def table(by_seed: list[dict[str, dict[str, float]]]) -> str:
    """Return the means over the seeds as a table in Markdown."""
    columns = list(next(iter(by_seed[0].values())))
    lines = [f"| model | {' | '.join(columns)} |", f"|{'---|' * (1 + len(columns))}"]
    for name in by_seed[0]:
        cells = [f"{np.mean([scores[name][column] for scores in by_seed]):.1f}" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
