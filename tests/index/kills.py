"""Writers that are killed at random moments, and readers beside them.

``python -m tests.index.kills [STORE ...] [--kills 50]`` builds an index and then adds to it, again and again; the
writer dies of SIGKILL in the midst of it, and the same command is given again. After every kill the index is opened
and searched: every acknowledged row must be there, none twice. A reader beside a writer must see complete batches.
"""

import argparse
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from instructor_embedding.index.index import Index
from instructor_embedding.index.location import store_of
from tests.index.words import Words

ROOT = Path(__file__).parent.parent.parent
STORES = {
    "lancedb": "lancedb",
    "parquet": "pyarrow",
    "usearch": "usearch",
    "qdrant": "qdrant_edge",
    "postgres": "pgserver",
}
APPENDED = ("parquet", "usearch")  # rows are added, never changed
ALONE = ("qdrant",)  # one process at a time: there is no reader beside a writer
ROWS, BATCH = 400, 5
MOST = 24  # batches that a writer stores at most before the one in which it is killed


def rows_of(step):
    """Rows of ``build`` and of ``add``, which changes every second row and brings as many new ones."""
    first, last = (0, ROWS) if step == "build" else (ROWS // 2, ROWS + ROWS // 2)
    return [
        {"id": str(number), "text": f"text {number} of {'bread' if number < ROWS else 'copper'}"}
        for number in range(first, last)
    ]


def changed(step, store):
    """As `rows_of`, with other texts where the store can replace rows."""
    if step == "build" or store in APPENDED:
        return rows_of(step)
    return [row | {"text": row["text"].replace("bread", "wheat")} for row in rows_of(step)]


def write(location, store, step, stop, share):
    """The writer: prints a line when it starts and one per batch that it stores; dies within the batch after `stop`."""
    kind = None if "://" in location else store
    if store_of(location, kind).read_manifest() is None:
        index = Index.create(location, Words(), store=kind)
    else:
        index = Index.open(location, Words())
    print("ready", flush=True)
    # a batch per call: when `add` returns, its rows are acknowledged
    rows, stored = changed(step, store), 0
    for at in range(0, len(rows), BATCH):
        start = time.perf_counter()
        added = index.add(rows[at : at + BATCH])
        if not (added.new or added.updated):
            continue
        print(at + BATCH, flush=True)
        stored += 1
        if stored == stop:
            delay = 1.5 * share * (time.perf_counter() - start)
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
    index.close()


def checked(location, acknowledged, growing=False):
    """Open and search an index, to which a writer may be adding; returns its rows by id."""
    with Index.open(location, Words()) as index:
        count = len(index)
        matches = index.search("text", 10 * ROWS) if count else []
    rows = {match.id: match.text for match in matches}
    assert len(rows) == len(matches), f"{len(matches)} matches of {len(rows)} ids"
    assert count == len(rows) or (growing and count < len(rows)), f"{count} rows, {len(matches)} matches"
    missing = [row["id"] for row in acknowledged if rows.get(row["id"]) != row["text"]]
    assert not missing, f"acknowledged rows are missing: {missing[:5]}"
    return rows


def killed(location, store, step, chance, reads):
    """Start a writer and kill it at a random moment; returns the rows that it acknowledged, and whether it died."""
    stop, share = 1 + chance.randrange(MOST), chance.random()
    command = [sys.executable, "-m", "tests.index.kills", "--write", location, store, step, str(stop), str(share)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    assert writer.stdout.readline() == "ready\n", "the writer failed"
    line = writer.stdout.readline()
    if store not in ALONE and line:
        rows = checked(location, changed(step, store)[: int(line)], growing=True)
        assert len(rows) % BATCH == 0, f"a reader saw {len(rows)} rows, not complete batches of {BATCH}"
        reads.append(writer.poll() is None)
    lines = [line, *writer.stdout]
    writer.wait()
    stored = max((int(line) for line in lines if line), default=0)
    return changed(step, store)[:stored], writer.returncode == -signal.SIGKILL


def run(store, kills, folder, seed=0):
    """Kill writers of a store `kills` times; returns counts of kills, reads beside a writer, and complete indexes."""
    chance, counts, reads = random.Random(seed), {"build": 0, "add": 0, "indexes": 0}, []
    while counts["build"] + counts["add"] < kills:
        location = (
            str(folder / f"{store}-{counts['indexes']}") if store != "postgres" else f"{folder}#k{time.time_ns()}"
        )
        for step in ("build", "add"):
            count = counts[step]
            while counts["build"] + counts["add"] < kills:
                acknowledged, dead = killed(location, store, step, chance, reads)
                counts[step] += dead
                checked(location, acknowledged)
                if not dead or counts[step] >= count + max(1, kills // 4):
                    break
            write_again(location, store, step)
            checked(location, changed(step, store))
        everything = checked(location, [])
        assert sorted(map(int, everything)) == list(range(ROWS + ROWS // 2)), "rows are missing"
        counts["indexes"] += 1
        print(store, counts, file=sys.stderr, flush=True)
    return counts | {"reads beside a writer": sum(reads)}


def write_again(location, store, step):
    """Give the same command again, undisturbed."""
    index = Index.open(location, Words())
    index.add(changed(step, store), size=BATCH * 20)
    index.close()


@contextmanager
def home(store):
    """A folder for indexes, or the address of a PostgreSQL server."""
    with tempfile.TemporaryDirectory() as folder:
        if store != "postgres":
            yield Path(folder)
            return
        import pgserver

        os.chmod(folder, 0o755)  # the server runs as a user of its own
        server = pgserver.get_server(folder, cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", nargs="*", help=f"default: those of {', '.join(STORES)} that are installed")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--write", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        *target, stop, share = arguments.write
        return write(*target, int(stop), float(share))
    for store in arguments.stores or [name for name, library in STORES.items() if importlib.util.find_spec(library)]:
        start = time.time()
        with home(store) as folder:
            counts = run(store, arguments.kills, folder)
        print(json.dumps({store: counts, "seconds": round(time.time() - start)}), flush=True)
    return None


if __name__ == "__main__":
    main()
