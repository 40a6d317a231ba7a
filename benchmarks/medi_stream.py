"""Print time and memory of writing, reading, checking and indexing files of training triples.

    python benchmarks/medi_stream.py [--sizes 1000000,10000000] [--forms jsonl,json,parquet] [--folder FOLDER] [--write]

Each size and form is a process of its own. Memory is given twice: what the process has taken for itself, which must not
grow with the file, and pages of files that are mapped, which the system takes back when it needs them. The triples are
made up, in 300 tasks of uneven size, three texts of 4 to 40 words each. With --write into results/medi_stream.json.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "medi_stream.json"
TASKS = 300


class Memory:
    """Peaks of a process's own memory and of mapped files, in MiB, sampled each 20 ms."""

    def __init__(self) -> None:
        self.own = self.mapped = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.look()
            time.sleep(0.02)

    def look(self) -> None:
        status = Path("/proc/self/status").read_text()
        anonymous, file, shared = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in NAMES)
        self.own = max(self.own, anonymous)
        self.mapped = max(self.mapped, file + shared)


NAMES = ("RssAnon", "RssFile", "RssShmem")


def triples(count: int) -> Iterator:
    from instructor_embedding import Pair
    from instructor_embedding.medi.triple import Triple

    chance = random.Random(0)
    words = [f"word{n}" for n in range(5000)]
    texts = [" ".join(chance.choices(words, k=chance.randint(4, 40))) for _ in range(5003)]
    tasks = chance.choices(range(TASKS), weights=[1 / (10 + task) for task in range(TASKS)], k=4999)
    query, document = "Represent the question for retrieval: ", "Represent the document for retrieval: "
    for n in range(count):
        task = tasks[n % 4999]
        query_text, pos, neg = f"{n} {texts[n % 5003]}", texts[(n + 1) % 5003], texts[(n + 7) % 5003]
        yield Triple(Pair(query, query_text), Pair(document, pos), Pair(document, neg), task, f"task {task}")


def measure(form: str, count: int, folder: Path) -> None:
    from instructor_embedding.medi.check import check
    from instructor_embedding.medi.triple import TripleFile, read, write

    path = folder / f"medi.{form}"
    memory = Memory()

    @contextmanager
    def step(name: str) -> Iterator[None]:
        memory.own = memory.mapped = 0.0
        start = time.perf_counter()
        yield
        taken = time.perf_counter() - start
        memory.look()
        output = {"form": form, "triples": count, "step": name, "seconds": taken}
        print(json.dumps(output | {"own MiB": memory.own, "mapped MiB": memory.mapped, "GB": size()}), flush=True)

    def size() -> float:
        return path.stat().st_size / 1e9

    with step("write"):
        assert write(path, triples(count)) == count
    with step("read"):
        assert sum(1 for _ in read(path)) == count
    with step("check"):
        assert check(path).clean
    with step("index"):
        file = TripleFile(path, scratch=folder)
    with step("read in random order"):
        chance = random.Random(0)
        for number in (chance.randrange(count) for _ in range(count)):
            assert file[number].task == file.tasks[number]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000000,10000000")
    parser.add_argument("--forms", default="jsonl,json,parquet")
    parser.add_argument("--folder", type=Path, help="where the files are made; default: the system's for such")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.one:
            measure(options.one[0], int(options.one[1]), Path(folder))
            return
    output = []
    home = options.folder or tempfile.gettempdir()
    for form in options.forms.split(","):
        for size in options.sizes.split(","):
            command = [sys.executable, __file__, "--one", form, size, "--folder", str(home)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout:
                    result = json.loads(line)
                    output.append(result)
                    rate = result["triples"] / result["seconds"] / 1000
                    what = f"{form:8} {result['triples']:>11,}  {result['GB']:5.1f} GB  {result['step']:21}"
                    taken = f"{result['seconds']:7.1f} s {rate:8.1f} thousand/s"
                    memory = f"{result['own MiB']:6.0f} MiB own  {result['mapped MiB']:6.0f} MiB mapped"
                    print(what, taken, memory, flush=True)
            if process.returncode:
                sys.exit(process.returncode)
    if options.write:
        RESULTS.write_text(json.dumps(output, indent=1) + "\n")


if __name__ == "__main__":
    main()
