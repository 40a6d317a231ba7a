"""A build that is killed at random moments and started again: no row is lost and none is there twice.

``KILLS=50 python -m pytest tests/index/test_kill.py`` kills more often.
"""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from instructor_embedding.index.index import Index
from tests.index.words import Words

COUNT = 1000
WORKER = f"""
import sys
from instructor_embedding.index.index import Index
from instructor_embedding.index.location import store_of
from tests.index.words import Words
location, store = sys.argv[1], sys.argv[2] or None
if store_of(location, store).read_manifest() is None:
    index = Index.create(location, Words(), store=store)
else:
    index = Index.open(location, Words())
print("ready", flush=True)
index.add(({{"id": str(n), "text": f"text {{n}} of bread"}} for n in range({COUNT})), size=5)
"""

pytestmark = pytest.mark.slow


@pytest.fixture(params=["lancedb", "parquet", "qdrant", "postgres"])
def target_of_kills(request, tmp_path):
    if request.param == "postgres":
        return f"{request.getfixturevalue('postgres')}#k{time.time_ns()}", ""
    library = {"lancedb": "lancedb", "qdrant": "qdrant_edge"}.get(request.param, "pyarrow")
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    return str(tmp_path / "index"), request.param


def test_killed_builds_resume(target_of_kills):
    location, store = target_of_kills
    command = [sys.executable, "-c", WORKER, location, store]
    chance, kills = random.Random(0), 0
    for _ in range(int(os.environ.get("KILLS", "6"))):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        ready = process.stdout.readline()
        time.sleep(chance.random() * 0.4)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += process.returncode == -signal.SIGKILL
        assert ready, "the worker failed"
        with Index.open(location, Words()) as index:
            rows = len(index)
            ids = [match.id for match in index.search("bread", 2 * COUNT)] if rows else []
            assert len(ids) == len(set(ids)) == rows
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with Index.open(location, Words()) as index:
        ids = [match.id for match in index.search("bread", 2 * COUNT)]
    assert sorted(map(int, ids)) == list(range(COUNT))
    assert kills
    print(f"{kills} kills")
