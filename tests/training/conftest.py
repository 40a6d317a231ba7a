"""What the training tests share: a file of triples whose partners share words, and a way to run the command."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WORDS = "apple brick cloud delta ember frost grape house ivory jelly knife lemon mango night olive piano quilt river"


def triples(count=96, tasks=3, seed=0):
    """Records in which query and positive share two rare words, and the negative has others."""
    chance = random.Random(seed)
    words = [f"{first}{second}" for first in WORDS.split() for second in ("er", "ing", "ly")]
    records = []
    for number in range(count):
        task = number * tasks // count
        mine, others = chance.sample(words, 2), chance.sample(words, 2)
        records.append(
            {
                "query": [f"Represent the question {task}: ", "what is " + " ".join(mine)],
                "pos": ["Represent the answer: ", " ".join(reversed(mine)) + " it is" + " indeed" * (number % 5)],
                "neg": ["Represent the answer: ", " ".join(others) + " it is"],
                "task_id": task,
            }
        )
    return records


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder with medi-data.json, as --cache_dir."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "medi-data.json").write_text(json.dumps(triples()), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def environment():
    """Processes of one thread that find this package's source."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture
def command(environment):
    """Run train.py in a process; returns the finished process."""

    def run(*flags, timeout=240):
        arguments = [sys.executable, "train.py", *map(str, flags)]
        return subprocess.run(
            arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


def history(folder, name="loss"):
    """The values of one name in a run's history."""
    lines = (Path(folder) / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [line[name] for line in map(json.loads, lines) if name in line]
