"""``python -m tests.without_torch``: the part of the suite that needs no torch, where torch cannot be imported.

This process has torch: it writes the golden checkpoints and the vectors that `INSTRUCTOR` computes from them, which
`Encoder` has to give bit for bit without. The tests run in a second process in which an import of torch fails, or, with
``--environment FOLDER``, in an environment that is made there from the built wheel and pytest alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
FILES = (
    "tests/test_torch_free.py", "tests/native/test_golden_kernels.py", "tests/native/test_robustness.py",
    "tests/test_instruction.py", "tests/test_vectors.py", "tests/test_namesake.py", "tests/engine/test_plan.py",
    "tests/files/test_pairs.py", "tests/files/test_records.py", "tests/files/test_vector_files.py",
    "tests/medi/test_triple.py",
)  # fmt: skip
BLOCKED = """
import sys
sys.modules["torch"] = None  # an import of it fails, and find_spec does not find it
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def write_checkpoints(folder: Path) -> None:
    """Write the golden checkpoints and the vectors of `INSTRUCTOR`, by kind and precision."""
    from instructor_embedding import INSTRUCTOR, Pair
    from tests.golden import KINDS, make_checkpoints

    make_checkpoints.main(folder)
    inputs = json.loads((ROOT / "tests" / "golden" / "inputs.json").read_text(encoding="utf-8"))
    pairs = [Pair(*pair) for pair in inputs["pairs"]]
    vectors = {}
    for kind in KINDS:
        for precision in ("exact", "int8"):
            model = INSTRUCTOR(folder / kind, device="cpu", precision=precision)
            vectors[f"{kind}/{precision}"] = model.encode(pairs, truncate="quiet")
    np.savez(folder / "vectors.npz", **vectors)


def environment(folder: Path) -> Path:
    """Return the Python of a new environment with the package's wheel, its dependencies, pytest and hypothesis."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    with tempfile.TemporaryDirectory() as wheels:
        subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, ROOT], check=True)
        built = next(Path(wheels).glob("*.whl"))
        packages = [built, "pytest>=8", "hypothesis>=6.100"]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=Path, help="make it in this folder; default: block torch in this one")
    options, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoints(Path(folder))
        arguments = ["-q", "-p", "no:cacheprovider", "--folders", folder, "-m", "not slow", *FILES, *rest]
        if options.environment is None:
            command, variables = [sys.executable, "-c", BLOCKED, *arguments], dict(os.environ)
        else:
            command = [environment(options.environment.absolute()), "-m", "pytest", *arguments]
            variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(command, cwd=ROOT, env=variables).returncode


if __name__ == "__main__":
    sys.exit(main())
