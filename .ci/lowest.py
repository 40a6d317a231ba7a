"""Runs the quick tests in an environment with the oldest dependencies that pyproject.toml allows.

python .ci/lowest.py --environment FOLDER [--extras onnx,parquet]
"""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
# train and eval require a newer huggingface_hub than the base does, so they have no environment of this kind
EXTRAS = ("torch", "medi", "onnx", "openvino", "index", "qdrant", "parquet", "zstd", "serve", "viz")
TOOLS = ("pytest>=8", "hypothesis>=6.100", "httpx>=0.27")


def lowest(requirement: str) -> str:
    """Return ``name==1.2`` for ``name>=1.2``, markers and extras left in place."""
    return re.sub(r">=([\w.]+)(?:,[^;\s]*)?", r"==\1", requirement)


def requirements(extras: list[str]) -> list[str]:
    """Return the pinned base dependencies and those of the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = list(project["dependencies"])
    for extra in extras:
        rows += project["optional-dependencies"][extra]
    return [lowest(row) for row in rows if "[" not in row]


def main() -> None:
    """Create the environment, install, run the quick tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", type=Path, required=True)
    parser.add_argument("--extras", default=",".join(EXTRAS))
    options = parser.parse_args()
    python = options.environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", options.environment], check=True)
    pip = [python, "-m", "pip", "install", "-q"]
    subprocess.run([*pip, *requirements(options.extras.split(",")), *TOOLS], check=True)
    subprocess.run([*pip, "--no-deps", ROOT], check=True)
    subprocess.run([python, "-m", "pytest", "-m", "not slow", ROOT / "tests"], check=True)


if __name__ == "__main__":
    main()
