"""Retrieval by a model, by BM25 and by both: nDCG@10 of a set in BEIR's layout, for several constants of the fusion.

    python benchmarks/rank_fusion.py DATA/SciFact [--model instructor-mini] [--instructions FILE] [--json FILE]

Without ``--instructions`` texts are encoded without any.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from instructor_embedding import INSTRUCTOR
from instructor_embedding.files.records import read_records
from instructor_embedding.index.fusion import fused_scores
from instructor_embedding.medi.lexical import BM25
from instructor_embedding.vectors import cosines

CUT = 10
CONSTANTS = (10, 60)


def fused(by_meaning, by_words, constant):
    """Return the fused score of each document for each query."""
    scores = np.empty(by_meaning.shape)
    for row, both in enumerate(zip(by_meaning, by_words, strict=True)):
        fusion = fused_scores((np.argsort(-own, kind="stable").tolist() for own in both), constant)
        scores[row, list(fusion)] = list(fusion.values())
    return scores


def ndcg(scores, relevant):
    """Return the mean nDCG@10 in percent; `relevant` maps the columns of each query to their gain."""
    values = []
    for row, gains in zip(scores, relevant, strict=True):
        order = np.argsort(-row, kind="stable")[:CUT]
        discounts = 1 / np.log2(np.arange(2, CUT + 2))
        ideal = sorted(gains.values(), reverse=True)[:CUT]
        reached = sum(gains.get(int(column), 0) * discount for column, discount in zip(order, discounts, strict=True))
        values.append(reached / (np.array(ideal) * discounts[: len(ideal)]).sum())
    return 100 * float(np.mean(values))


def main():
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="instructor-mini")
    parser.add_argument("--instructions", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    corpus = [row for _, row in read_records(arguments.folder / "corpus.jsonl.gz")]
    columns = {str(row["_id"]): column for column, row in enumerate(corpus)}
    documents = [f"{row.get('title', '')} {row['text']}".strip() for row in corpus]
    texts = {str(row["_id"]): row["text"] for _, row in read_records(arguments.folder / "queries.jsonl.gz")}
    gains = {}
    for _, row in read_records(arguments.folder / "qrels" / "test.tsv"):
        if int(row["score"]) > 0:
            gains.setdefault(row["query-id"], {})[columns[row["corpus-id"]]] = int(row["score"])
    queries = [texts[query] for query in gains]
    sides = {"query": "", "document": ""}
    if arguments.instructions:
        sides = json.loads(arguments.instructions.read_text())[arguments.folder.name]
    model = INSTRUCTOR(arguments.model, device="cpu")
    by_meaning = cosines(
        model.encode(queries, instruction=sides["query"], truncate="quiet"),
        model.encode(documents, instruction=sides["document"], truncate="quiet"),
    )
    asked, indexed = BM25().relate(queries, documents)
    by_words = (asked @ indexed.T).toarray()
    relevant = list(gains.values())
    scores = {Path(arguments.model).name: ndcg(by_meaning, relevant), "BM25": ndcg(by_words, relevant)}
    for constant in CONSTANTS:
        scores[f"both, fused by rank with k = {constant}"] = ndcg(fused(by_meaning, by_words, constant), relevant)
    for name, score in scores.items():
        print(f"{name}: {score:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({arguments.folder.name: scores}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
