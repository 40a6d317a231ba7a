"""Print how long a process takes to import this package, to its first vector, and to import sentence-transformers.

    python benchmarks/cold_start.py

Each figure is the median of five fresh processes, run in turn; sentence-transformers has an environment of its own,
which is made on first use. The checkpoint is a tiny one with random weights.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from peers import ROOT, python_of

ROUNDS = 5
WITHOUT_TORCH = "from instructor_embedding import Encoder; Encoder({0!r}).encode([['Represent the text:', 'A']])"
FIRST_VECTOR = "from instructor_embedding import INSTRUCTOR; INSTRUCTOR({0!r}).encode([['Represent the text:', 'A']])"


def seconds(python: str, code: str) -> float:
    """Return the wall time of one process."""
    start = time.perf_counter()
    subprocess.run([python, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from tests.golden.make_checkpoints import golden_model

    from instructor_embedding.model.folder.write import write

    peer = str(python_of("sentence-transformers"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "tiny"
        write(golden_model("relu"), folder, "legacy-1.0")
        commands = {
            "python -c pass": (sys.executable, "pass"),
            "import instructor_embedding": (sys.executable, "import instructor_embedding"),
            "first vector, tiny checkpoint": (sys.executable, FIRST_VECTOR.format(str(folder))),
            "first vector without torch": (sys.executable, WITHOUT_TORCH.format(str(folder))),
            "import sentence_transformers": (peer, "import sentence_transformers"),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, (python, code) in commands.items():
                times[name].append(seconds(python, code))
    for name, taken in times.items():
        print(f"{median(taken):7.3f} s  {name}")
    share = median(times["first vector, tiny checkpoint"]) / median(times["import sentence_transformers"])
    print(f"first vector / import sentence_transformers = {share:.2f}")


if __name__ == "__main__":
    main()
