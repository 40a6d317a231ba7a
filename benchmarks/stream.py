"""Print peak memory and speed of `encode_stream` for a thousand to a million short texts.

    python benchmarks/stream.py [--checkpoint FOLDER] [--most 1000000]

Each size is a process of its own; the model has the tiny shape, so that a million texts take minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from workloads import checkpoint, workload

CODE = """
import itertools, json, re, sys, time
from instructor_embedding import INSTRUCTOR
folder, count, texts = sys.argv[1], int(sys.argv[2]), json.loads(sys.stdin.read())
model = INSTRUCTOR(folder, device="cpu")
pairs = ([instruction, f"{text} {number}"] for number, (instruction, text) in enumerate(itertools.cycle(texts)))
for _ in model.encode_stream(itertools.islice(pairs, 500)):
    pass
start = time.perf_counter()
for _ in model.encode_stream(itertools.islice(pairs, count)):
    pass
taken = time.perf_counter() - start
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps([taken, peak]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--most", type=int, default=1_000_000)
    options = parser.parse_args()
    folder = options.checkpoint or checkpoint("tiny")
    texts = json.dumps(workload("short", 2000))
    size, first = 1000, None
    while size <= options.most:
        command = [sys.executable, "-c", CODE, str(folder), str(size)]
        done = subprocess.run(command, input=texts, capture_output=True, text=True, check=True)
        seconds, peak = json.loads(done.stdout)
        first = first or (size / seconds, peak)
        print(
            f"{size:9,} texts: {peak:5.0f} MiB at most ({peak / first[1] - 1:+.1%}), "
            f"{size / seconds:7,.0f} texts/s ({size / seconds / first[0] - 1:+.1%})",
            flush=True,
        )
        size *= 10


if __name__ == "__main__":
    main()
