"""Print how long complete `encode` calls take: this package, the original, and its peers.

    python benchmarks/speed.py [--rounds 5] [--checkpoint FOLDER] [--engines NAME ...] [--write]

Each engine is a process of its own, in an environment that is made on first use, warmed up; rounds go through the
engines in turn, so that noise meets all alike. Times are medians. With --write the results go to results/speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from engine import ENGINES
from peers import ROOT, python_of
from workloads import checkpoint, workload

RESULTS = ROOT / "benchmarks" / "results" / "speed.json"
COUNTS = {"short": 256, "mixed": 64, "one": 1}
PEAKS = {"exact": "peak exact", "fast": "peak fast", "int8": "peak int8"}


class Process:
    """One engine."""

    def __init__(self, name: str, folder: Path, works: Path) -> None:
        arguments = [python_of(ENGINES[name][0]), ROOT / "benchmarks" / "engine.py", name, folder, works]
        self.name = name
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{name} did not start; run: {' '.join(map(str, arguments))}")

    def run(self, work: str, target: Path | None = None) -> dict[str, float]:
        self.process.stdin.write(f"{work}\t{target or ''}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return {"date": str(date.today()), "cpu": cpu, "cores": os.cpu_count(), "system": platform.platform()}


def operations(folder: Path, works: dict[str, list[list[str]]]) -> dict[str, float]:
    """Return the operations of the GEMMs of real tokens, for each workload."""
    from instructor_embedding import INSTRUCTOR
    from instructor_embedding.engine.measure import operations as count

    model = INSTRUCTOR(folder, device="cpu")
    return {name: count(model.encoder.config, model.count_tokens(work).clip(max=512)) for name, work in works.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES), metavar="NAME")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    folder = options.checkpoint or checkpoint()
    works = {name: workload("mixed" if name == "mixed" else "short", count) for name, count in COUNTS.items()}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "works.json"
        file.write_text(json.dumps(works), encoding="utf-8")
        processes = []
        for name in options.engines:
            print(f"starting {name}", file=sys.stderr)
            processes.append(Process(name, folder, file))
        results = measure(processes, options.rounds)
        vectors = {}
        for process in processes:
            if not process.name.startswith("peak"):
                process.run("short", Path(scratch) / "vectors.npy")
                vectors[process.name] = np.load(Path(scratch) / "vectors.npy")
            process.stop()
    result = {"machine": machine(), "counts": COUNTS, "operations": operations(folder, works), "engines": results}
    exact = vectors.get("original", vectors.get("torch exact"))
    for name, rows in vectors.items():
        if exact is not None:
            results[name]["cosine"] = float((rows * exact).sum(1).min())
            results[name]["difference"] = float(np.abs(rows - exact).max())
    report(result)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(processes: list[Process], rounds: int) -> dict[str, dict[str, Any]]:
    """Run every workload on every engine in turn; returns medians of seconds, and peak memory."""
    times: dict[str, dict[str, list[float]]] = {process.name: {work: [] for work in COUNTS} for process in processes}
    memory = {}
    for number in range(rounds):
        for work in COUNTS:
            for process in processes:
                repeats = 10 if work == "one" and not process.name.startswith("peak") else 1
                answers = [process.run(work) for _ in range(repeats)]
                times[process.name][work].append(median(answer["seconds"] for answer in answers))
                memory[process.name] = answers[-1]["memory"]
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return {
        name: {work: median(taken) for work, taken in works.items()} | {"memory": memory[name]}
        for name, works in times.items()
    }


def report(result: dict[str, Any]) -> None:
    """Print the table: seconds, ratio to the original, share of the peak, cosine, memory."""
    engines, operations = result["engines"], result["operations"]
    base = engines.get("original")
    print(f"{'engine':28} {'short':>8} {'mixed':>8} {'one ms':>8}   times the original   share of peak  cosine   MiB")
    for name, facts in engines.items():
        if name.startswith("peak"):
            print(f"{name:28} {1000 / facts['short']:6.0f} GFLOP/s (short), {1000 / facts['mixed']:.0f} (mixed)")
            continue
        ratios = [f"{base[work] / facts[work]:5.2f}" if base else "" for work in COUNTS]
        peak = engines.get(PEAKS.get(name.split()[-1] if name.startswith(("torch", "operators")) else "", ""))
        shares = [
            f"{operations[work] / 1e12 * peak[work] / facts[work]:4.0%}" if peak else "    "
            for work in ("short", "mixed")
        ]
        print(
            f"{name:28} {facts['short']:8.2f} {facts['mixed']:8.2f} {facts['one'] * 1000:8.1f}   {' '.join(ratios)}"
            f"      {' '.join(shares)}   {facts.get('cosine', 0):.5f} {facts['memory']:6.0f}"
        )


if __name__ == "__main__":
    main()
