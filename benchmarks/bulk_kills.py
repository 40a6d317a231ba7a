"""A bulk job that is killed at random moments and resumed: its shards against those of a job that ran undisturbed.

    python benchmarks/bulk_kills.py --rows 200000 --kills 50 -o benchmarks/results/bulk_kills.jsonl
    python benchmarks/bulk_kills.py --workers 2 --kills 50        # the job, which has two workers
    python benchmarks/bulk_kills.py --workers 2 --victim worker   # workers alone, again and again

Jobs run in forks of this process, so that a kill costs no start of an interpreter. The model is a random one of two
layers (48 dimensions): files and processes are tested, and not the engine.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from instructor_embedding.bulk.pool import ModelSettings
from instructor_embedding.bulk.run import Progress, Request, run
from instructor_embedding.bulk.verify import verify

ROOT = Path(__file__).parent.parent
WORDS = ["rye", "bread", "walnut", "copper", "price", "loaf", "wheat", "zinc", "mine", "river"]


def tiny_model(folder):
    """Write a model of two layers with the tokenizer of the tests."""
    from tokenizers import Tokenizer

    from instructor_embedding.model.folder.write import write
    from instructor_embedding.model.scratch import random_embedder

    tokenizer = Tokenizer.from_file(str(ROOT / "tests" / "golden" / "tokenizer.json"))
    write(random_embedder("tiny", tokenizer), folder)


def corpus(path, rows, words=12):
    """Write synthetic texts of `words` words, all different."""
    chance = random.Random(0)
    with open(path, "w", encoding="utf-8") as file:
        for number in range(rows):
            text = " ".join(chance.choices(WORDS, k=chance.randrange(3, 2 * words - 2)))
            file.write(json.dumps({"id": str(number), "text": f"{text} {number}"}) + "\n")


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.parquet"))}


def forked(request):
    """Run a job in a process of its own; returns the process's id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        run(request, Progress())
        code = 0
    finally:
        os._exit(code)


def ended(pid):
    """Return True if a process has ended well."""
    done, status = os.waitpid(pid, os.WNOHANG)
    assert not done or status == 0, f"the job ended with {status}"
    return bool(done)


def workers_of(pid):
    listed = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True).stdout
    return [int(line) for line in listed.split()]


def killed(request, victim, chance):
    """Run a job and kill it, or a worker of it, after some shards; returns True if that was before its end."""
    out = Path(request.folder)
    before, further = len(list(out.glob("*.parquet"))), chance.randrange(4)
    pid = forked(request)
    while len(list(out.glob("*.parquet"))) < before + further or not (out / "job.json").exists():
        if ended(pid):
            return False
        time.sleep(0.005)
    time.sleep(chance.random() * 0.3)
    if victim == "job":
        if ended(pid):
            return False
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return True
    count = 0
    while not ended(pid):
        for worker in workers_of(pid)[:1]:
            if count < further + 1:
                os.kill(worker, signal.SIGKILL)
                count += 1
        time.sleep(0.5)
    return bool(count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--victim", choices=["job", "worker"], default="job")
    parser.add_argument("--shard-rows", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1e9, help="no further kills after this time")
    parser.add_argument("--folder", help="keep model, corpus and the undisturbed shards here")
    parser.add_argument("-o", "--output", help="file of JSON lines to append to")
    options = parser.parse_args()
    chance = random.Random(options.workers)
    with tempfile.TemporaryDirectory() as scratch:
        home, out = Path(options.folder or scratch), Path(scratch) / "out"
        home.mkdir(exist_ok=True)
        if not (home / "rows.jsonl").exists():
            tiny_model(home / "model")
            corpus(home / "rows.jsonl", options.rows)
        settings = ModelSettings(str(home / "model"), "cpu", threads=1)
        facts = {"id_column": "id", "shard_rows": options.shard_rows}
        complete = Request([str(home / "rows.jsonl")], str(home / "complete"), settings, **facts)
        begin = time.perf_counter()
        pid = forked(complete)  # a fork, so that this process starts no threads
        os.waitpid(pid, 0)
        expected = hashes(home / "complete")
        print(f"{len(expected)} shards, {time.perf_counter() - begin:.0f} s", flush=True)
        request = Request([str(home / "rows.jsonl")], str(out), settings, workers=options.workers, **facts)
        begin, kills, jobs = time.perf_counter(), 0, 0
        while kills < options.kills and time.perf_counter() - begin < options.seconds:
            kills += killed(request, options.victim, chance)
            print(f"{kills} kills, {len(list(out.glob('*.parquet')))} shards", flush=True)
            if (out / "manifest.json").exists():  # complete before all kills: compared, and begun again
                assert hashes(out) == expected
                jobs += 1
                shutil.rmtree(out)
        _, status = os.waitpid(forked(request), 0)
        assert status == 0, f"the last job ended with {status}"
        result = {
            "rows": options.rows, "workers": options.workers, "victim": options.victim, "kills": kills,
            "shards": len(expected), "jobs": jobs + 1, "equal": hashes(out) == expected,
            "verify": list(verify(str(out))), "seconds": round(time.perf_counter() - begin, 1),
        }  # fmt: skip
        print(json.dumps(result))
        if options.output:
            with open(options.output, "a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
        sys.exit(0 if result["equal"] and not result["verify"][1] else 1)


if __name__ == "__main__":
    main()
