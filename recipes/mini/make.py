"""The bundled model from its sources: one command, every step kept, so that it goes on where it was stopped.

    python recipes/mini/make.py                       # needs ../shared/data, and the hub for the teacher
    python recipes/mini/make.py --teacher FOLDER      # with the teacher in a folder
    python recipes/mini/make.py --rehearse            # few texts, few steps: does all of it run here?

Steps: triples (medi build), tokenizer and texts, what the teacher says of the texts, a model that says the same,
obedience to instructions, eight bits. All goes to ``build/mini``, a rehearsal to ``build/mini-rehearsal``; the last
step writes the package's own copy when asked for with ``--install``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from taught import TEACHER

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUNDLED = ROOT / "src" / "instructor_embedding" / "bundled" / "instructor-mini"
COMMAND = "from instructor_embedding.cli.main import main; main()"


def run(done: Path, *arguments: object) -> None:
    """Run one step unless the file is there that it leaves, and end where it fails."""
    if done.is_file():
        return
    print("+", *arguments, flush=True)  # noqa: T201
    ended = subprocess.run([sys.executable, *map(str, arguments)])
    if ended.returncode:
        sys.exit(ended.returncode)


def main() -> None:
    """Run the steps that are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default=TEACHER)
    parser.add_argument("--sources", type=Path, default=ROOT.parent / "shared" / "data" / "train")
    parser.add_argument("--install", action="store_true", help="put the result into the package")
    parser.add_argument("--rehearse", action="store_true", help="4,000 texts, 26 steps and 5: minutes, no useful model")
    given = parser.parse_args()
    if given.rehearse and given.install:
        parser.error("a rehearsal makes no useful model: give --rehearse or --install")
    build = ROOT / "build" / ("mini-rehearsal" if given.rehearse else "mini")
    build.mkdir(parents=True, exist_ok=True)
    medi, taught, student, model = (build / name for name in ("medi.jsonl", "taught", "student", "model"))
    texts, tokenizer = build / "texts.jsonl", build / "tokenizer.json"
    most, long, short = (["--most", 4000], ["--steps", 26], ["--steps", 5]) if given.rehearse else ([], [], [])
    run(medi, "-c", COMMAND, "medi", "build", HERE / "medi.toml", "-o", medi)
    run(texts, HERE / "texts.py", medi, given.sources, build, *most)
    run(taught / "starts.npy", HERE / "taught.py", texts, tokenizer, taught, "--teacher", given.teacher)
    run(student / "modules.json", HERE / "distill.py", taught, tokenizer, medi, student, *long)
    run(model / "modules.json", HERE / "obey.py", student, taught, medi, given.sources, model, *short)
    small = build / "instructor-mini"
    shutil.rmtree(small, ignore_errors=True)
    run(small / "modules.json", "-c", COMMAND, "quantize", model, small, "--weights", "int8")
    curve = build / "curve.png"
    run(curve, HERE / "curve.py", curve, *(one.with_suffix(".history.jsonl") for one in (student, model)))
    if given.install:
        shutil.rmtree(BUNDLED, ignore_errors=True)
        shutil.copytree(small, BUNDLED)


if __name__ == "__main__":
    main()
