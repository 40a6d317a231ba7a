"""Search in an index: rate of building, memory, recall and time per query, beside bare faiss and usearch.

``python benchmarks/search.py CORPUS WORK [--rows 20000 200000] [--stores lancedb ...] [--write]``

CORPUS has ``short.jsonl.gz`` and ``passages.jsonl.gz`` with texts, whose sentences are taken as well; WORK keeps texts
and vectors, so that a run that was stopped resumes. Every index is built in a process of its own, to which vectors are
read from a file as if they were computed, so that times and memory are those of the store. The rate of building is
measured apart, with the model, in turn with `encode` on the same texts.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from instructor_embedding import Encoder, vectors
from instructor_embedding.index.index import Index
from instructor_embedding.index.models import IndexModel
from instructor_embedding.instruction import DOCUMENTS, QUERIES

RESULTS = Path(__file__).parent / "results" / "search.json"
MOST, CHUNK, K, QUERIES_TRIED = 200_000, 4096, 10, 100
RATE_ROWS = 8192
STORES = ["lancedb", "parquet", "usearch", "qdrant"]


def texts_of(corpus, work):
    """Write MOST distinct short texts, one JSON string per line; returns the path."""
    path = work / "texts.jsonl"
    if not path.exists():
        seen = {}
        with gzip.open(corpus / "short.jsonl.gz", "rt") as lines:
            seen.update((json.loads(line)["text"], None) for line in lines)
        with gzip.open(corpus / "passages.jsonl.gz", "rt") as lines:
            for line in lines:
                sentences = re.split(r"(?<=[.!?])\s+", json.loads(line)["text"])
                seen.update((text, None) for text in sentences if 4 <= len(text.split()) <= 25)
                if len(seen) >= MOST:
                    break
        path.write_text("".join(json.dumps(text) + "\n" for text in list(seen)[:MOST]))
    return path


def read_texts(path, count):
    with open(path) as lines:
        for _, line in zip(range(count), lines, strict=False):
            yield json.loads(line)


def vectors_of(texts, work, count):
    """Compute the vectors of the first texts, in files of CHUNK rows; returns one file of float32 rows."""
    encoder, folder = None, work / "chunks"
    folder.mkdir(exist_ok=True)
    every = list(read_texts(texts, count))
    for first in range(0, count, CHUNK):
        path = folder / f"{first}.npy"
        if not path.exists():
            encoder = encoder or Encoder()
            rows = encoder.encode(every[first : first + CHUNK], instruction=DOCUMENTS, truncate="quiet")
            np.save(folder / "incomplete.npy", rows)
            os.replace(folder / "incomplete.npy", path)
            print(f"{first + len(rows)} of {count} texts", file=sys.stderr, flush=True)
    joined = work / f"vectors-{count}.bin"
    with open(joined, "wb") as file:
        for first in range(0, count, CHUNK):
            file.write(np.ascontiguousarray(np.load(folder / f"{first}.npy")[: count - first], np.float32).tobytes())
    return joined


class Replay:
    """An encoder that reads the vectors of stored texts from a file, in order, and knows those of the queries."""

    name = "instructor-mini"

    def __init__(self, path, dimension, queries):
        self.path, self.dimension, self.queries = path, dimension, queries
        self.position = -1  # the first call is that of `create`, which asks for the dimension

    def encode(self, pairs):
        if pairs[0].instruction == QUERIES:
            return np.stack([self.queries[pair.text] for pair in pairs])
        first = max(0, self.position)
        self.position += len(pairs)
        size = 4 * self.dimension
        rows = np.fromfile(self.path, np.float32, len(pairs) * self.dimension, offset=first * size)
        return rows.reshape(-1, self.dimension)


def timed(function, queries):
    seconds, results = [], []
    for query in queries:
        start = time.perf_counter()
        results.append(function(query))
        seconds.append(time.perf_counter() - start)
    return results, round(1000 * float(np.median(seconds)), 2)


def recall(results, exact):
    return round(float(np.mean([len(set(a) & set(b)) / K for a, b in zip(results, exact, strict=True)])), 4)


def peak():
    """Return the most MiB in memory so far; getrusage would count those of the parent before the call of exec."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def measured(store, count, work):
    """Build and search an index; runs in a process of its own."""
    facts = json.loads((work / "run.json").read_text())
    location = str(work / f"{store}.index")
    shutil.rmtree(location, ignore_errors=True)
    queries = dict(zip(facts["queries"], np.load(work / "queries.npy"), strict=True))
    encoder = Replay(facts["vectors"], facts["dimensions"], queries)
    index = Index.create(location, IndexModel(encoder, encoder.name, "replayed", "exact"), store=store)
    row, before = {"MiB before": peak()}, (time.perf_counter(), time.process_time())
    texts = read_texts(facts["texts"], count)
    index.add({"id": str(number), "text": text} for number, text in enumerate(texts))
    row |= {
        "add, s": round(time.perf_counter() - before[0], 1),
        "add, CPU s": round(time.process_time() - before[1], 1),
    }
    row["MiB at most while adding"] = peak()
    start = time.perf_counter()
    index.optimize(approximate=True)
    row["approximate index, s"] = round(time.perf_counter() - start, 1)
    exact = facts["exact"][str(count)]
    for mode in ("exact", "approximate"):
        index.search(facts["queries"][0], K, mode=mode)
        matches, median = timed(
            lambda query, mode=mode: [int(m.id) for m in index.search(query, K, mode=mode)], facts["queries"]
        )
        row |= {f"{mode} recall@10": recall(matches, exact), f"{mode} p50, ms": median}
    row["MiB at most"] = peak()
    row["MiB on disk"] = round(sum(file.stat().st_size for file in Path(location).rglob("*") if file.is_file()) / 2**20)
    index.close()
    shutil.rmtree(location)
    return row


def graphs(rows, query_rows, exact):
    """Yield the figures of bare libraries on the same vectors."""
    import faiss
    from usearch.index import Index as Graph

    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)
    results, median = timed(lambda query: flat.search(query[None], K)[1][0].tolist(), query_rows)
    yield "faiss, flat", {"exact recall@10": recall(results, exact), "exact p50, ms": median}
    start = time.perf_counter()
    linked = faiss.IndexHNSWFlat(rows.shape[1], 24, faiss.METRIC_INNER_PRODUCT)
    linked.hnsw.efConstruction = linked.hnsw.efSearch = 200
    linked.add(rows)
    seconds = round(time.perf_counter() - start, 1)
    results, median = timed(lambda query: linked.search(query[None], K)[1][0].tolist(), query_rows)
    yield "faiss, HNSW", _approximate(seconds, results, exact, median)
    start = time.perf_counter()
    graph = Graph(ndim=rows.shape[1], metric="ip", connectivity=24, expansion_add=200, expansion_search=200)
    graph.add(np.arange(len(rows)), rows)
    seconds = round(time.perf_counter() - start, 1)
    results, median = timed(lambda query: graph.search(query, K).keys.tolist(), query_rows)
    yield "usearch, HNSW", _approximate(seconds, results, exact, median)


def _approximate(seconds, results, exact, median):
    names = ("approximate index, s", "approximate recall@10", "approximate p50, ms")
    return dict(zip(names, (seconds, recall(results, exact), median), strict=True))


def rate(texts, work, count):
    """Build an index with the model and encode the same texts, in turn; returns the ratio of the rates."""
    encoder, totals = Encoder(), {"encode": [0.0, 0.0], "build": [0.0, 0.0]}
    location = work / "rate.index"
    shutil.rmtree(location, ignore_errors=True)
    index = Index.create(str(location), encoder)
    every = list(read_texts(texts, count))
    half = max(1, count // 2)
    for first in range(0, count, half):
        some = every[first : first + half]
        rows = [{"id": str(first + number), "text": text} for number, text in enumerate(some)]
        calls = {
            "encode": lambda some=some: encoder.encode(some, instruction=DOCUMENTS, truncate="quiet"),
            "build": lambda rows=rows: index.add(rows),
        }
        for name in ("encode", "build") if first % (2 * half) else ("build", "encode"):
            wall, cpu = time.perf_counter(), time.process_time()
            calls[name]()
            totals[name][0] += time.perf_counter() - wall
            totals[name][1] += time.process_time() - cpu
    index.close()
    ratios = [round(totals["encode"][number] / totals["build"][number], 3) for number in range(2)]
    return {"texts": count, "rate of build by encode": ratios[0], "by CPU time": ratios[1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, MOST])
    parser.add_argument("--stores", nargs="+", default=STORES)
    parser.add_argument("--rate-rows", type=int, default=RATE_ROWS)
    parser.add_argument("--write", action="store_true", help=f"store the figures in {RESULTS.name}")
    parser.add_argument("--one", nargs=2, metavar=("STORE", "ROWS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    work = arguments.work
    if arguments.one:
        print(json.dumps(measured(arguments.one[0], int(arguments.one[1]), work)))
        return
    work.mkdir(parents=True, exist_ok=True)
    results, sizes = {"load average at the start": os.getloadavg()[0]}, sorted(arguments.rows)
    texts = texts_of(arguments.corpus, work)
    path = vectors_of(texts, work, sizes[-1])
    encoder = Encoder()
    rows = vectors.unit(np.fromfile(path, np.float32).reshape(sizes[-1], encoder.dimension))
    every = list(read_texts(texts, sizes[0]))
    queries = [every[number] for number in np.random.default_rng(1).permutation(len(every))[:QUERIES_TRIED]]
    query_rows = vectors.unit(encoder.encode(queries, instruction=QUERIES))
    np.save(work / "queries.npy", query_rows)
    exact = {count: vectors.nearest(query_rows, rows[:count], K)[1].tolist() for count in sizes}
    facts = {"texts": str(texts), "vectors": str(path), "dimensions": encoder.dimension, "queries": queries}
    (work / "run.json").write_text(json.dumps(facts | {"exact": exact}))
    results["build"] = rate(texts, work, arguments.rate_rows)
    for count in sizes:
        for store in arguments.stores:
            command = [sys.executable, __file__, str(arguments.corpus), str(work), "--one", store, str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results.setdefault(str(count), {})[store] = json.loads(done.stdout)
            print(json.dumps({store: results[str(count)][store], "rows": count}), flush=True)
        for name, row in graphs(rows[:count], query_rows, exact[count]):
            results[str(count)][name] = row
            print(json.dumps({name: row, "rows": count}), flush=True)
    results["load average at the end"] = os.getloadavg()[0]
    print(json.dumps(results["build"]))
    if arguments.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
