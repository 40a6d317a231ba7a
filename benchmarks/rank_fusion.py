"""Retrieval by a model, by BM25 and by both: nDCG@10 of a set in BEIR's layout, for several constants of the fusion.

    python benchmarks/rank_fusion.py DATA/SciFact [--model instructor-mini] [--instructions FILE] [--cache FOLDER]
                                                   [--write]

Without ``--instructions`` texts are encoded without any. ``--cache`` takes vectors that evaluation.py stored. With
``--write`` into results/rank_fusion.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from instructor_embedding import encoders
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.files.records import read_records
from instructor_embedding.index.fusion import fused_scores
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.lexical import BM25
from instructor_embedding.vectors import cosines

RESULTS = Path(__file__).parent / "results" / "rank_fusion.json"
CUT = 10
CONSTANTS = (10, 60)
Gains = list[dict[int, int]]


def retrieval_set(folder: Path) -> tuple[list[str], list[str], Gains]:
    """Return the queries and documents of a set, and for each query the gain of each relevant document."""
    corpus = [row for _, row in read_records(folder / "corpus.jsonl.gz")]
    columns = {str(row["_id"]): column for column, row in enumerate(corpus)}
    documents = [f"{row.get('title', '')} {row['text']}".strip() for row in corpus]
    texts = {str(row["_id"]): row["text"] for _, row in read_records(folder / "queries.jsonl.gz")}
    gains: dict[str, dict[int, int]] = {}
    for _, row in read_records(folder / "qrels" / "test.tsv"):
        if int(row["score"]) > 0:
            gains.setdefault(row["query-id"], {})[columns[row["corpus-id"]]] = int(row["score"])
    return [texts[query] for query in gains], documents, list(gains.values())


def bm25(queries: list[str], documents: list[str]) -> np.ndarray:
    """Return the BM25 score of each document for each query."""
    asked, indexed = BM25().relate(queries, documents)
    return (asked @ indexed.T).toarray()


def fused(by_meaning: np.ndarray, by_words: np.ndarray, constant: int) -> np.ndarray:
    """Return the fused score of each document for each query."""
    scores = np.empty(by_meaning.shape)
    for row, both in enumerate(zip(by_meaning, by_words, strict=True)):
        fusion = fused_scores((np.argsort(-own, kind="stable").tolist() for own in both), constant)
        scores[row, list(fusion)] = list(fusion.values())
    return scores


def ndcg(scores: np.ndarray, relevant: Gains) -> float:
    """Return the mean nDCG@10 in percent; `relevant` maps the columns of each query to their gain."""
    values = []
    for row, gains in zip(scores, relevant, strict=True):
        order = np.argsort(-row, kind="stable")[:CUT]
        discounts = 1 / np.log2(np.arange(2, CUT + 2))
        ideal = sorted(gains.values(), reverse=True)[:CUT]
        reached = sum(gains.get(int(column), 0) * discount for column, discount in zip(order, discounts, strict=True))
        values.append(reached / (np.array(ideal) * discounts[: len(ideal)]).sum())
    return 100 * float(np.mean(values))


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="instructor-mini")
    parser.add_argument("--instructions", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    queries, documents, relevant = retrieval_set(options.folder)
    sides = {"query": "", "document": ""}
    if options.instructions:
        sides = json.loads(options.instructions.read_text(encoding="utf-8"))[options.folder.name]
    model = CachedEncoder(encoders.load(options.model, device="cpu"), progress=True, cache_dir=options.cache)
    by_meaning = cosines(
        model.encode([Pair(sides["query"], text) for text in queries]),
        model.encode([Pair(sides["document"], text) for text in documents]),
    )
    by_words = bm25(queries, documents)
    scores = {Path(options.model).name: ndcg(by_meaning, relevant), "BM25": ndcg(by_words, relevant)}
    for constant in CONSTANTS:
        scores[f"both, fused by rank with k = {constant}"] = ndcg(fused(by_meaning, by_words, constant), relevant)
    for name, score in scores.items():
        print(f"{name}: {score:.1f}")
    if options.write:
        content = {"set": options.folder.name, "instructions": sides, "ndcg_at_10": scores}
        RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
