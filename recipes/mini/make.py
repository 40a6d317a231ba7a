"""The bundled model from its sources: one command, every step kept, so that it goes on where it was stopped.

    python recipes/mini/make.py                       # needs ../shared/data, and the hub for the teacher
    python recipes/mini/make.py --teacher FOLDER      # with the teacher in a folder

Steps: triples (medi build), a static start, its polish, layers that obey instructions, eight bits. All goes to
``build/mini``; the last step writes the package's own copy when asked for with ``--install``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from options import TEACHER

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "mini"
BUNDLED = ROOT / "src" / "instructor_embedding" / "bundled" / "instructor-mini"
COMMAND = "from instructor_embedding.cli.main import main; main()"


def run(*arguments: object) -> None:
    """Run one step and end where it fails."""
    print("+", *arguments, flush=True)  # noqa: T201
    done = subprocess.run([sys.executable, *map(str, arguments)])
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Run the steps that are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default=TEACHER)
    parser.add_argument("--sources", type=Path, default=ROOT.parent / "shared" / "data" / "train")
    parser.add_argument("--install", action="store_true", help="put the result into the package")
    given = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    medi, static, start, model = (BUILD / name for name in ("medi.jsonl", "static", "start", "model"))
    told = ("--teacher", given.teacher, "--teacher_cache", BUILD / "teacher")
    if not medi.is_file():
        run("-c", COMMAND, "medi", "build", HERE / "medi.toml", "-o", medi)
    if not (static / "modules.json").is_file():
        run(HERE / "start.py", medi, given.sources, static, *told)
    if not (start / "modules.json").is_file():
        run(HERE / "polish.py", static, medi, start, *told)
    if not (model / "modules.json").is_file():
        run(HERE / "obey.py", start, medi, given.sources, model, *told)
    small = BUILD / "instructor-mini"
    shutil.rmtree(small, ignore_errors=True)
    run("-c", COMMAND, "quantize", model, small, "--weights", "int8")
    if given.install:
        shutil.rmtree(BUNDLED, ignore_errors=True)
        shutil.copytree(small, BUNDLED)


if __name__ == "__main__":
    main()
