"""The bundled model from its sources: one command, every step kept, so that it goes on where it was stopped.

    python recipes/mini/make.py                       # needs ../shared/data, and the hub for the teacher
    python recipes/mini/make.py --teacher FOLDER      # with the teacher in a folder

Steps: triples (medi build), steering triples, their mixture, a static start, training, average, eight bits. All goes to
``build/mini``; the last step writes the package's own copy when asked for with ``--install``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

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
    parser.add_argument("--teacher", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--sources", type=Path, default=ROOT.parent / "shared" / "data" / "train")
    parser.add_argument("--install", action="store_true", help="put the result into the package")
    given = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    medi, steering, mixture = (BUILD / f"{name}.jsonl" for name in ("medi", "steering", "mix"))
    start, model = BUILD / "start", BUILD / "model"
    cache = BUILD / "teacher"
    if not medi.is_file():
        run("-c", COMMAND, "medi", "build", HERE / "medi.toml")
    if not steering.is_file():
        told = ("--teacher", given.teacher, "--teacher_cache", cache, "--held_back", BUILD / "held_back.jsonl")
        run(HERE / "steering.py", given.sources, steering, *told)
    if not mixture.is_file():
        run(HERE / "mix.py", medi, steering, mixture, "--medi", 40_000, "--steering", 40_000)
    if not (start / "model.safetensors").is_file():
        told = ("--teacher", given.teacher, "--teacher_cache", cache)
        run(HERE / "start.py", medi, given.sources, BUILD / "static", *told)
        run(HERE / "polish.py", BUILD / "static", medi, start, *told)
    if not (model / "model.safetensors").is_file():
        told = ("--model_name_or_path", start, "--train_file", mixture, "--output_dir", model)
        run("-c", COMMAND, "train", HERE / "train.toml", *told, "--teacher", given.teacher, "--teacher_cache", cache)
    run(HERE / "average.py", start, model, BUILD / "average")
    small = BUILD / "instructor-mini"
    shutil.rmtree(small, ignore_errors=True)
    run("-c", COMMAND, "quantize", BUILD / "average", small, "--weights", "int8")
    if given.install:
        shutil.rmtree(BUNDLED, ignore_errors=True)
        shutil.copytree(small, BUNDLED)


if __name__ == "__main__":
    main()
