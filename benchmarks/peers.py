"""Environments of the packages that benchmarks compare with, made on first use under ``.bench/``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"

# name: steps of arguments for pip, in order
PEERS: dict[str, list[list[str]]] = {
    "original": [
        ["torch==2.13.0"],
        ["transformers==4.39.3", "tokenizers==0.15.2", "huggingface-hub==0.25.2", "numpy==1.26.4", "sentencepiece"],
        ["scikit-learn", "scipy", "nltk", "tqdm", "pillow"],
        ["--no-deps", "sentence-transformers==2.2.2", "InstructorEmbedding==1.0.1"],
    ],
    "sentence-transformers": [["torch==2.13.0"], ["sentence-transformers==6.2.0"]],
    "ours": [["torch==2.13.0"], ["-e", f"{ROOT}[openvino,onnx]", "nncf"]],
}


def python_of(name: str) -> Path:
    """Return the Python of a peer's environment, which is made if missing."""
    folder = BENCH / name
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        print(f"making the environment of {name} in {folder.relative_to(ROOT)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        for step in PEERS[name]:
            arguments = ["install", "-q", "--disable-pip-version-check", *step]
            subprocess.run([python, "-m", "pip", *arguments], check=True)
        ready.touch()
    return python
