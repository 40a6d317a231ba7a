"""Search in an index: rate of building, memory, recall and time per query, beside bare faiss and usearch.

``python benchmarks/search.py TEXTS.json VECTORS.npy FOLDER [STORE ...]``: texts, their vectors by the bundled model
under the default instruction (``instructor-embed encode -o VECTORS.npy``), and a folder for the indexes.
Vectors are read instead of computed, so that the figures are those of the stores.
"""

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from instructor_embedding import INSTRUCTOR, vectors
from instructor_embedding.index.index import Index
from instructor_embedding.index.models import IndexModel
from instructor_embedding.instruction import QUERIES

QUERIES_TRIED = 100
K = 10


class Computed:
    """An encoder that returns vectors which are there: stored texts' from the array, queries' from the model."""

    name = "instructor-mini"

    def __init__(self, texts, rows, queries):
        self.row_of = {text: number for number, text in enumerate(texts)}
        self.rows, self.queries = rows, queries

    def encode(self, pairs):
        if pairs[0].instruction == QUERIES:
            return np.stack([self.queries[pair.text] for pair in pairs])
        return self.rows[[self.row_of.get(pair.text, 0) for pair in pairs]]


def timed(function, queries):
    seconds, results = [], []
    for query in queries:
        start = time.perf_counter()
        results.append(function(query))
        seconds.append(time.perf_counter() - start)
    return results, round(1000 * float(np.median(seconds)), 2)


def recall(results, exact):
    return round(float(np.mean([len(set(a) & set(b)) / K for a, b in zip(results, exact, strict=True)])), 4)


def measured(store, texts, encoder, queries, folder, exact):
    location = str(folder / store)
    shutil.rmtree(location, ignore_errors=True)
    model = IndexModel(encoder, encoder.name, "precomputed", "exact")
    index = Index.create(location, model, store=store)
    start = time.perf_counter()
    index.add({"id": str(number), "text": text} for number, text in enumerate(texts))
    added = time.perf_counter() - start
    start = time.perf_counter()
    index.optimize(approximate=True)
    optimized = time.perf_counter() - start
    row = {"texts a second": round(len(texts) / added), "approximate index, s": round(optimized, 1)}
    for mode in ("exact", "approximate"):
        index.search(queries[0], K, mode=mode)
        matches, median = timed(
            lambda query, mode=mode: [int(m.id) for m in index.search(query, K, mode=mode)], queries
        )
        row |= {f"{mode} recall@10": recall(matches, exact), f"{mode} p50, ms": median}
    row["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    row["MiB on disk"] = round(sum(file.stat().st_size for file in Path(location).rglob("*") if file.is_file()) / 2**20)
    return row


def graphs(rows, query_rows, exact):
    import faiss
    from usearch.index import Index as Graph

    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)
    results, median = timed(lambda query: flat.search(query[None], K)[1][0].tolist(), query_rows)
    yield "faiss, flat", {"exact recall@10": recall(results, exact), "exact p50, ms": median}
    start = time.perf_counter()
    graph = Graph(ndim=rows.shape[1], metric="ip", connectivity=24, expansion_add=200, expansion_search=200)
    graph.add(np.arange(len(rows)), rows)
    seconds = round(time.perf_counter() - start, 1)
    results, median = timed(lambda query: graph.search(query, K).keys.tolist(), query_rows)
    yield (
        "usearch, HNSW",
        {
            "approximate index, s": seconds,
            "approximate recall@10": recall(results, exact),
            "approximate p50, ms": median,
        },
    )


def main():
    texts, rows = json.loads(Path(sys.argv[1]).read_text()), np.load(sys.argv[2])
    texts, folder = texts[: len(rows)], Path(sys.argv[3])
    rows = vectors.unit(rows)
    chosen = np.random.default_rng(1).permutation(len(texts))[:QUERIES_TRIED]
    queries = [texts[number] for number in chosen]
    query_rows = vectors.unit(INSTRUCTOR().encode(queries, instruction=QUERIES))
    exact = vectors.nearest(query_rows, rows, K)[1].tolist()
    encoder = Computed(texts, rows, dict(zip(queries, query_rows, strict=True)))
    print(json.dumps({"texts": len(texts), "dimensions": rows.shape[1]}), flush=True)
    for store in sys.argv[4:] or ["lancedb", "parquet", "qdrant"]:
        print(json.dumps({store: measured(store, texts, encoder, queries, folder, exact)}), flush=True)
    for name, row in graphs(rows, query_rows, exact):
        print(json.dumps({name: row}), flush=True)


if __name__ == "__main__":
    main()
