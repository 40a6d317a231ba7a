"""What an instruction changes: figures and picture of the README, from the comments of examples/demo.py.

``python benchmarks/instruction.py`` writes results/instruction.json and docs/instruction.png.
"""

import json
import sys
from pathlib import Path

import numpy as np

from instructor_embedding import INSTRUCTOR

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "instruction.json"
sys.path.insert(0, str(ROOT / "examples"))

import demo  # noqa: E402


def main():
    demo.PICTURE = ROOT / "docs" / "instruction.png"
    vectors = demo.compare(INSTRUCTOR())
    result = {}
    for instruction, rows in vectors.items():
        nearest = (rows @ rows.T - 2 * np.eye(len(rows))).argmax(1)
        result[instruction] = {}
        for column, name in enumerate(("topic", "emotion")):
            labels = np.array([comment[column] for comment in demo.COMMENTS])
            result[instruction][name] = round(float(np.mean(labels == labels[nearest])), 3)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    demo.draw(vectors)


if __name__ == "__main__":
    main()
