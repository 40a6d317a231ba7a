"""Rates of the compiled engine's kernels beside the core's peak and torch's operators: ``python kernels.py``.

One thread, its CPU time, base shape with random weights.
Every round runs each variant once, between two measurements of the peak of AVX2's fused multiply-adds; rounds in which
other work slowed the core are left out.
Torch's operators are limited to AVX2 by ``ONEDNN_MAX_CPU_ISA=AVX2``, which has to be set before python starts.
``--gemm`` measures the matmuls alone, in C.
``--write`` stores the rates of the kernels that ran in results/kernels.json, where those of other machines stay, and
writes the table in docs/speed.md from it; ``--table`` does the last step alone.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from speed import machine

from instructor_embedding.engine import native_library
from instructor_embedding.engine.backends.native import NativeBackend
from instructor_embedding.engine.backends.onednn import OneDNNBackend
from instructor_embedding.engine.native import build
from instructor_embedding.engine.torch_weights import weights_of
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.pooling import Head
from instructor_embedding.model.t5 import T5Config, T5Encoder

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "kernels.json"
PAGE = FOLDER.parent / "docs" / "speed.md"
START, END = "<!-- kernels: benchmarks/kernels.py writes this -->", "<!-- /kernels -->"
SHOWN = ("16x24", "4x128", "1x16")  # texts by tokens, in the table


def peak_meter():
    """Return a function that measures the FMA rate of this core at this moment, GFLOP/s."""
    target = Path(tempfile.mkdtemp()) / "peak.so"
    subprocess.run(
        ["cc", "-O2", "-mavx2", "-mfma", "-shared", "-fPIC", "-o", target, FOLDER / "fma_peak.c"], check=True
    )
    rate = ctypes.CDLL(str(target)).fma_rate
    rate.restype = ctypes.c_double
    return lambda: rate(50_000)


def embedder_of(layers):
    torch.manual_seed(0)
    encoder = T5Encoder(T5Config(1000, 768, 64, 3072, layers, 12, "relu", False))
    for name, weight in encoder.named_parameters():
        torch.nn.init.normal_(weight, 1.0 if name.endswith("norm.weight") else 0.0, 0.03)
    return Embedder(encoder.eval(), Head([], normalize=True), None)


def operations(batch, config):
    """Operations of all matmuls, attention's included."""
    tokens, distinct, pooled = len(batch.ids), len(np.unique(batch.ids)), int((batch.lengths - batch.skip).sum())
    width, inner, all_heads = config.d_model, config.d_ff, config.num_heads * config.d_kv
    rest = width * all_heads + 2 * width * inner
    linear = distinct * 3 * width * all_heads + (config.num_layers - 1) * tokens * (3 * width * all_heads + rest)
    attention = 2 * all_heads * int((batch.lengths.astype(np.int64) ** 2).sum()) * config.num_layers
    return 2 * (linear + pooled * rest + attention)


def variants_of(embedder, names):
    """Return the backends to compare, by kernels and precision."""
    weights = weights_of(embedder)
    backends = {
        (name, precision): NativeBackend(weights, precision, 1, name)
        for name, kinds in native_library.kernels().items()
        for precision, kind in (("exact", "float32"), ("fast", "bfloat16"), ("int8", "int8"))
        if kind in kinds and (not names or name in names)
    }
    return backends | {("operators", "exact"): OneDNNBackend(embedder, "exact")}


def measure(backends, batch, total, rounds, peak):
    """Return each variant's rates as shares of the peak, rounds on a slowed core left out, and the peak."""
    shares = {variant: [] for variant in backends}
    best = max(peak() for _ in range(50))
    for number in range(rounds + 1):
        for variant, backend in backends.items():
            before, start = peak(), time.thread_time()
            backend.run(batch)
            rate = total / (time.thread_time() - start)
            if number and min(before, peak()) > 0.9 * best:
                shares[variant].append(rate / before)
    return shares, best


def gemm(names):
    """Measure the matmuls alone, by the program gemm.c."""
    with tempfile.TemporaryDirectory() as folder:
        flags = dict.fromkeys(build.SOURCES, ()) | build.KERNELS["x86_64"]
        objects = []
        for name, own in [*flags.items(), ("gemm.c", ("-mavx2", "-mfma"))]:
            source = FOLDER / name if name == "gemm.c" else build.FOLDER / name
            objects.append(f"{folder}/{name}.o")
            step = ["cc", *build.COMMON, *own, "-I", build.FOLDER, "-c", source, "-o", objects[-1]]
            subprocess.run(step, check=True)
        subprocess.run(["cc", "-o", f"{folder}/gemm", *objects, "-lpthread", "-lm"], check=True)
        for name in names or native_library.kernels():
            subprocess.run([f"{folder}/gemm", name], check=True)


def write(lines):
    """Store the rates of this machine, GFLOP/s of one core, by kernels and precision."""
    facts = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in dict.fromkeys(line["kernels"] for line in lines):
        facts[name] = {"machine": machine(), "how": "one thread, two layers, median of undisturbed rounds"}
        for key in ("rates", "shares"):
            facts[name][key] = {}
        for line in (line for line in lines if line["kernels"] == name and line["texts"] in SHOWN):
            share, work = line["share of FMA peak"], line["texts"].replace("x", " x ")
            facts[name]["rates"].setdefault(line["precision"], {})[work] = round(share * line["peak"], 1)
            facts[name]["shares"].setdefault(line["precision"], {})[work] = share
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def write_table():
    """Write the table of docs/speed.md."""
    works = [work.replace("x", " x ") for work in SHOWN]
    rows = [f"| kernels | precision | {' | '.join(works)} | measured on |", "|---|---|" + "---|" * (len(works) + 1)]
    for name, facts in json.loads(RESULTS.read_text(encoding="utf-8")).items():
        computer = f"{facts['machine']['cpu']}, {facts['machine']['date']}: {facts['how']}"
        for precision, rates in facts["rates"].items():
            shares = facts["shares"].get(precision, {})
            cells = [f"{rates[work]:.0f}" + (f" ({shares[work]:.0%})" if work in shares else "") for work in works]
            rows.append(f"| `{name}` | {precision} | {' | '.join(cells)} | {computer} |")
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{START}\n\n" + "\n".join(rows) + f"\n\n{END}{after}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--texts", default="16x24,4x128,1x512,1x16", help="texts by tokens")
    parser.add_argument("--kernels", default="", help="names, separated by commas; default: all of this CPU")
    parser.add_argument("--gemm", action="store_true", help="the matmuls alone")
    parser.add_argument("--write", action="store_true", help="store the rates and write the table")
    parser.add_argument("--table", action="store_true", help="write the table from stored rates alone")
    options = parser.parse_args()
    if options.table:
        return write_table()
    lines = []
    names = options.kernels.split(",") if options.kernels else []
    if options.gemm:
        return gemm(names)
    torch.set_num_threads(1)
    embedder, peak = embedder_of(options.layers), peak_meter()
    backends = variants_of(embedder, names)
    for work in options.texts.split(","):
        count, length = map(int, work.split("x"))
        random = np.random.RandomState(0)
        batch = Packed.of([random.randint(2, 1000, length).tolist() for _ in range(count)], [length // 4] * count)
        total = operations(batch, embedder.encoder.config) / 1e9
        shares, best = measure(backends, batch, total, options.rounds, peak)
        for (name, precision), values in shares.items():
            values = sorted(values) or [0.0]
            line = {
                "texts": work, "kernels": name, "precision": precision, "rounds": len(values),
                "share of FMA peak": round(statistics.median(values), 3),
                "best tenth": round(values[-1 - len(values) // 10], 3), "peak": round(best, 1),
                "isa": os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
            }  # fmt: skip
            print(json.dumps(line), flush=True)
            lines.append(line)
    if options.write:
        write([line for line in lines if line["kernels"] != "operators"])
        write_table()
    return None


if __name__ == "__main__":
    main()
