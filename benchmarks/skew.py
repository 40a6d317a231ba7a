"""Print speed on uneven work: one long text among short ones, one long instruction, many duplicates.

    python benchmarks/skew.py [--checkpoint FOLDER] [--rounds 3]

Tokens a second of this package on each, against even work of the same texts, and against sentence-transformers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from speed import Process
from workloads import checkpoint, workload

ENGINES = ("torch exact", "sentence-transformers")


def works() -> dict[str, list[list[str]]]:
    """Return the kinds of work, each about 250 short texts."""
    short = workload("short", 250)
    long_text = " ".join(text for _, text in workload("mixed", 12))
    same = short[0][0]
    shared = [[same, text] for _, text in short]
    return {
        "even, many instructions": short,
        "one text of 512 tokens": [*shared, [same, long_text]],
        "one long instruction": [*shared, [long_text[:1200], short[0][1]]],
        "each text four times": [pair for pair in shared[:64] for _ in range(4)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="leave sentence-transformers out")
    options = parser.parse_args()
    folder, work = options.checkpoint or checkpoint(), works()
    from instructor_embedding import INSTRUCTOR

    model = INSTRUCTOR(folder, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "works.json"
        file.write_text(json.dumps(work), encoding="utf-8")
        names = ENGINES[:1] if options.alone else ENGINES
        engines = [Process(name, folder, file) for name in names]
        times = {(engine.name, name): [] for engine in engines for name in work}
        for _ in range(options.rounds):
            for name in work:
                for engine in engines:
                    times[engine.name, name].append(engine.run(name)["seconds"])
        for engine in engines:
            engine.stop()
    even = None
    for name, pairs in work.items():
        distinct = [list(pair) for pair in dict.fromkeys(map(tuple, pairs))]
        rates = [model.count_tokens(distinct).clip(max=512).sum() / median(times[engine, name]) for engine in names]
        even = even or rates[0]
        print(
            f"{name:26} {rates[0]:6.0f} distinct tokens/s, {rates[0] / even:5.0%} of even work"
            + "".join(f", {rates[0] / rate:4.1f} x {other}" for other, rate in zip(names[1:], rates[1:], strict=True))
        )


if __name__ == "__main__":
    main()
