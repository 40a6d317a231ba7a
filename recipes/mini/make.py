"""The bundled model from its sources: one command, which resumes where it was stopped.

    python -m recipes.mini.make --data DATA --teacher FOLDER
    python -m recipes.mini.make --data DATA --teacher FOLDER --rehearse     # few texts and steps: does all of it run?

DATA has ``train``, ``train_extra``, ``eval``, ``billboard`` and ``corpus``; the teacher is all-MiniLM-L6-v2, a folder
or an id of the Hub. Steps: triples, texts, tokenizer, the teacher's targets, distillation, obedience, quantization.
Each leaves its file in ``build/mini``, a rehearsal in ``build/mini-rehearsal``; ``--install`` puts the result into the
package. The last step measures nothing: see README.md for the commands that do.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from instructor_embedding.errors import InputError
from recipes.mini import sources
from recipes.mini.teacher import TEACHER

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "src" / "instructor_embedding" / "bundled" / "instructor-mini"
COMMAND = "from instructor_embedding.cli.main import main; main()"
REHEARSAL = {"limit": 300, "texts": 3000, "steps": 4, "obey": 2, "labeled": 60}


def run(complete: Path, module: str, *arguments: object) -> None:
    """Run one step as a process unless its last file exists, and exit where it fails."""
    if complete.exists():
        return
    print("+", module, *arguments, flush=True)
    command = ["-c", COMMAND] if module == "instructor-embed" else ["-m", f"recipes.mini.{module}"]
    ended = subprocess.run([sys.executable, *command, *map(str, arguments)], cwd=ROOT)
    if ended.returncode:
        sys.exit(ended.returncode)


def steps(build: Path, data: Path, teacher: str, device: str, sizes: dict[str, int], similarity: int) -> Path:
    """Run the steps that are not complete, and return the folder of the quantized model."""
    triples, texts, tokenizer = build / "triples.jsonl", build / "texts.jsonl", build / "tokenizer.json"
    targets, student, model = build / "targets", build / "student", build / "model"
    most = ["--most", sizes["texts"], "--limit", sizes["limit"]] if sizes else []
    long = ["--steps", sizes["steps"]] if sizes else []
    short = ["--steps", sizes["obey"], "--most", sizes["labeled"]] if sizes else []
    there = ["--device", device]
    run(triples, "triples", triples, "--data", data, *(["--limit", 40] if sizes else []))
    run(texts, "texts", texts, "--data", data, *most)
    run(tokenizer, "tokenizer", tokenizer, "--teacher", teacher)
    run(targets / "starts.npy", "teacher", texts, tokenizer, targets, "--teacher", teacher, *there)
    like = ["--similarity", similarity] if similarity else []
    run(student / "modules.json", "distill", targets, tokenizer, triples, student, "--teacher", teacher,
        *long, *like, *there)  # fmt: skip
    run(model / "modules.json", "obey", student, targets, triples, model, "--data", data, *short, *there)
    small = build / "instructor-mini"
    # the table in 4 bits: two thirds of the weights, and rounding them costs nothing that scores show
    quantize = ["quantize", model, small, "--weights", "int8", "--embedding", "int4"]
    run(small / "modules.json", "instructor-embed", *quantize)
    histories = [folder.with_suffix(".history.jsonl") for folder in (student, model)]
    run(build / "curve.png", "curve", build / "curve.png", *histories)
    return small


def main() -> None:
    """Run the steps that are not complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--teacher", default=TEACHER)
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--similarity", type=int, default=0, help="last steps that compare the texts of a batch")
    parser.add_argument("--install", action="store_true", help="put the result into the package")
    parser.add_argument("--rehearse", action="store_true", help="few texts and few steps: minutes, no useful model")
    arguments = parser.parse_args()
    if arguments.rehearse and arguments.install:
        parser.error("a rehearsal makes no useful model: use --rehearse or --install")
    try:
        sources.configuration(arguments.data)
    except InputError as error:
        parser.error(str(error))
    build = ROOT / "build" / ("mini-rehearsal" if arguments.rehearse else "mini")
    build.mkdir(parents=True, exist_ok=True)
    sizes = REHEARSAL if arguments.rehearse else {}
    small = steps(build, arguments.data.resolve(), arguments.teacher, arguments.device, sizes, arguments.similarity)
    print(f"{small}: {sum(file.stat().st_size for file in small.rglob('*.safetensors')) / 1e6:.1f} MB")
    if arguments.install:
        shutil.rmtree(BUNDLED, ignore_errors=True)
        shutil.copytree(small, BUNDLED)


if __name__ == "__main__":
    main()
