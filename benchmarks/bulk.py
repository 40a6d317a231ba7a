"""Memory and speed of `instructor-embed bulk`: flat from 10,000 rows on, and against `encode` in memory.

    python benchmarks/bulk.py memory --rows 10000 2000000     # a random model of two layers
    python benchmarks/bulk.py speed --rows 20000              # instructor-mini: encode, bulk, bulk with two workers

Times are CPU time of all processes beside wall time, for machines that do something else as well.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bulk_kills import corpus, tiny_model

IN_MEMORY = """
import json, sys, time
from instructor_embedding import Encoder
from instructor_embedding.files.pairs import read_pairs
encoder = Encoder(sys.argv[2])
pairs = list(read_pairs(sys.argv[1], instruction="Represent the document for retrieval: "))
encoder.encode(pairs[:100])
start = time.perf_counter(), time.process_time()
encoder.encode(pairs)
print(json.dumps({"wall": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}))
"""


def peak_of(pid, peaks):
    """Follow the resident memory of a process and its children."""
    while os.path.exists(f"/proc/{pid}"):
        total = 0
        listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
        for process in (pid, *map(int, listed)):
            try:
                status = Path(f"/proc/{process}/status").read_text()
            except OSError:
                continue
            total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
        peaks.append(total)
        time.sleep(0.2)


def bulk(path, model, out, *options):
    """Run a job; returns wall and CPU seconds, rows and the peak of memory in MiB."""
    command = [sys.executable, "-m", "instructor_embedding", "bulk", str(path), "-m", str(model), "-o", str(out)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen([*command, "--id", "id", "--device", "cpu", "--json", *options], stdout=subprocess.PIPE)
    peaks = []
    watcher = threading.Thread(target=peak_of, args=(process.pid, peaks))
    watcher.start()
    facts = json.loads(process.communicate()[0])
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "rows": facts["rows"], "tokens": facts["tokens"], "wall": round(time.perf_counter() - start, 2),
        "cpu": round(cpu, 2), "peak_mib": round(max(peaks) / 1024, 1),
        "bytes": sum(file.stat().st_size for file in Path(out).glob("*.parquet")),
    }  # fmt: skip


def memory(options, home):
    tiny_model(home / "model")
    for rows in options.rows:
        corpus(home / "rows.jsonl", rows)
        for workers in options.workers:
            result = bulk(home / "rows.jsonl", home / "model", home / f"{rows}-{workers}", "--workers", str(workers))
            yield {"kind": "memory", "workers": workers, **result}
            subprocess.run(["rm", "-r", str(home / f"{rows}-{workers}")], check=True)


def speed(options, home):
    for rows in options.rows:
        corpus(home / "rows.jsonl", rows)
        for turn in range(options.repeats):
            done = subprocess.run(
                [sys.executable, "-c", IN_MEMORY, home / "rows.jsonl", options.model], capture_output=True, check=True
            )
            yield {"kind": "encode in memory", "rows": rows, **json.loads(done.stdout)}
            for workers in options.workers:
                out = home / f"{turn}-{workers}"
                yield {
                    "kind": "bulk", "workers": workers,
                    **bulk(home / "rows.jsonl", options.model, out, "--workers", str(workers)),
                }  # fmt: skip
            few = home / "few.jsonl"
            few.write_text("".join((home / "rows.jsonl").read_text().splitlines(True)[:10]))
            yield {"kind": "bulk, start and end alone", **bulk(few, options.model, home / f"{turn}-few")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["memory", "speed"])
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--model", default="instructor-mini")
    parser.add_argument("-o", "--output", help="file of JSON lines to append to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for result in (memory if options.what == "memory" else speed)(options, Path(scratch)):
            print(json.dumps(result), flush=True)
            if options.output:
                with open(options.output, "a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
