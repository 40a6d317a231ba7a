"""A build that is killed at random moments and started again: no row is lost and none is there twice."""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from instructor_embedding.index.index import Index

COUNT = 400
WORKER = """
import sys
from instructor_embedding import INSTRUCTOR
from instructor_embedding.index.index import Index
from instructor_embedding.index.location import store_of
location, folder, store = sys.argv[1:]
model = INSTRUCTOR(folder, device="cpu")
if store_of(location, store).read_manifest() is None:
    index = Index.create(location, model, store=store)
else:
    index = Index.open(location, model)
print("ready", flush=True)
index.add(({"id": str(n), "text": f"text {n} of bread"} for n in range(400)), size=10)
"""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("store", ["lancedb", "parquet"])
def test_killed_builds_resume(store, folders, tmp_path):
    if store == "lancedb" and importlib.util.find_spec("lancedb") is None:
        pytest.skip("lancedb is not installed")
    location = str(tmp_path / "index")
    command = [sys.executable, "-c", WORKER, location, str(folders["relu"]), store]
    chance, kills = random.Random(0), 0
    for _ in range(int(os.environ.get("KILLS", "8"))):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(chance.random() * 0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += process.returncode == -signal.SIGKILL
        with Index.open(location) as index:
            rows = len(index)
            ids = [match.id for match in index.search("bread", 2 * COUNT)] if rows else []
            assert len(ids) == len(set(ids)) == rows
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with Index.open(location) as index:
        ids = [match.id for match in index.search("bread", 2 * COUNT)]
    assert sorted(map(int, ids)) == list(range(COUNT))
    assert kills
