"""Threads on a machine that is busy: torch's operators and the compiled engine, each with one thread and with more.

``--others N`` starts N processes that compute all the time; 0 measures the machine unchanged. Rounds alternate, so that
all settings meet the same load; the median of the rounds is printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time

import torch

from instructor_embedding import INSTRUCTOR
from instructor_embedding.engine.backends import native

TEXTS = [
    f"text number {number} about rye bread, copper prices and the weather of the week " * 4 for number in range(16)
]


def burn() -> None:
    while True:
        sum(range(100_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--others", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", default="instructor-mini")
    options = parser.parse_args()
    supports = native.supports
    engines = {"compiled": INSTRUCTOR(options.model, device="cpu", precision="exact")}
    engines["compiled"].encode(TEXTS[:1])
    native.supports = lambda *_: False
    engines["torch"] = INSTRUCTOR(options.model, device="cpu", precision="exact")
    engines["torch"].encode(TEXTS[:1])
    native.supports = supports
    processes = [multiprocessing.Process(target=burn, daemon=True) for _ in range(options.others)]
    for process in processes:
        process.start()
    counts = sorted({1, os.cpu_count() or 1})
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for name, model in engines.items():
            for threads in counts:
                torch.set_num_threads(threads)
                start = time.perf_counter()
                model.encode(TEXTS)
                times.setdefault((name, threads), []).append(time.perf_counter() - start)
        print({f"{name} {threads}": round(seconds[-1], 2) for (name, threads), seconds in times.items()}, flush=True)
    for process in processes:
        process.kill()
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
    for (name, threads), seconds in times.items():
        print(f"{name}, {threads} threads: {len(TEXTS) / statistics.median(seconds):.1f} texts/s ({load})")


if __name__ == "__main__":
    main()
