"""Retrieval and its kin from a folder: reranking, retrieval and reranking with an instruction per query.

``corpus`` and ``queries`` with _id or id and text (the corpus may have a title), ``qrels/SPLIT.tsv`` or ``.jsonl`` with
query-id, corpus-id and score. Where they exist: an ``instruction`` per query, as a column of the queries or as a file
with query-id and instruction; ``top_ranked`` with query-id and corpus-ids, the documents to rerank; ``qrel_diff`` with
query-id and corpus-ids, the documents that a changed instruction makes irrelevant (FollowIR, for p-MRR). These are the
parts of mteb's own data sets on the hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.mteb.folder_files import files_named, rows_named
from instructor_embedding.extras import need

_PURPOSE = "evaluation on MTEB"
_KINDS = ("Retrieval", "Reranking", "InstructionRetrieval", "InstructionReranking")


def is_retrieval(home: Path) -> bool:
    """Return whether a task's folder has a corpus, queries and relevance judgments."""
    return bool(files_named(home, "corpus"))


def kind_of(home: Path) -> str:
    """Return the task type that the files of a folder are for."""
    instructed = files_named(home, "instruction") or "instruction" in next(rows_named(home, "queries"), {})
    return ("Instruction" if instructed else "") + ("Reranking" if files_named(home, "top_ranked") else "Retrieval")


def akin(kind: str, other: str) -> bool:
    """Return whether two task types are scored by the same class of mteb, from the same kind of files."""
    return kind in _KINDS and other in _KINDS


def read(home: Path, split: str) -> dict[str, Any]:
    """Return a split as mteb holds it: corpus, queries, relevant_docs, top_ranked."""
    datasets = need("datasets", _PURPOSE)
    relevant = _judgments(home, split)
    instructions = dict(_texts(home, "instruction", split)) if files_named(home, "instruction", split) else {}
    corpus = [
        {"id": _id(row), "title": row.get("title") or "", "text": row["text"]}
        for row in rows_named(home, "corpus", split)
    ]
    queries = []
    for row in rows_named(home, "queries", split):
        if _id(row) in relevant:
            own = instructions.get(_id(row), row.get("instruction"))
            queries.append({"id": _id(row), "text": row["text"]} | ({} if own is None else {"instruction": own}))
    if queries and any(("instruction" in row) != ("instruction" in queries[0]) for row in queries):
        lacking = next(row["id"] for row in queries if "instruction" not in row)
        raise InputError(f"{home}: the query {lacking!r} has no instruction, other queries have one")
    ranked = None
    if files_named(home, "top_ranked", split):
        ranked = {
            str(row["query-id"]): list(map(str, row["corpus-ids"])) for row in rows_named(home, "top_ranked", split)
        }
    return {
        "corpus": datasets.Dataset.from_list(corpus),
        "queries": datasets.Dataset.from_list(queries),
        "relevant_docs": relevant,
        "top_ranked": ranked,
    }


def read_reranking(home: Path, split: str) -> dict[str, Any]:
    """Return a split of rows (query, positive, negative), each query with its own documents.

    Queries without a positive or a negative document are left out, as mteb does.
    """
    datasets = need("datasets", _PURPOSE)
    corpus, queries = [], []
    relevant: dict[str, dict[str, int]] = {}
    ranked: dict[str, list[str]] = {}
    for number, row in enumerate(rows_named(home, split)):
        if not row["positive"] or not row["negative"]:
            continue
        query = f"q{number}"
        texts = [(text, 1) for text in row["positive"]] + [(text, 0) for text in row["negative"]]
        ids = [f"{query}-{position}" for position in range(len(texts))]
        queries.append({"id": query, "text": row["query"]})
        corpus += [{"id": id_, "title": "", "text": text} for id_, (text, _) in zip(ids, texts, strict=True)]
        relevant[query] = {id_: judgment for id_, (_, judgment) in zip(ids, texts, strict=True)}
        ranked[query] = ids
    return {
        "corpus": datasets.Dataset.from_list(corpus),
        "queries": datasets.Dataset.from_list(queries),
        "relevant_docs": relevant,
        "top_ranked": ranked,
    }


def score_changes(task: Any, home: Path) -> None:
    """Let a FollowIR task compute p-MRR from the folder's ``qrel_diff``; its own code fetches that from the hub.

    Raises
    ------
    InputError
        The task is scored by p-MRR, and the folder has no ``qrel_diff``.
    """
    if task.metadata.main_score != "p-MRR":
        return
    metrics = need("mteb._evaluators.retrieval_metrics", _PURPOSE)
    changed = {str(row["query-id"]): list(map(str, row["corpus-ids"])) for row in rows_named(home, "qrel_diff")}

    def scores(_scores: Any, qrels: Any, results: Any, hf_split: str, hf_subset: str) -> Any:
        return metrics.evaluate_p_mrr_change(qrels, results, changed, task.k_values)

    task.task_specific_scores = scores


def _judgments(home: Path, split: str) -> dict[str, dict[str, int]]:
    name = next((name for name in ("qrels", "default", "data") if files_named(home, name, split)), "")
    if not name:
        raise InputError(f"there is no {home / 'qrels' / split}.tsv, which states which documents are relevant")
    relevant: dict[str, dict[str, int]] = {}
    for row in rows_named(home, name, split):
        relevant.setdefault(str(row["query-id"]), {})[str(row["corpus-id"])] = int(row["score"])
    return relevant


def _texts(home: Path, name: str, split: str) -> list[tuple[str, str]]:
    return [(str(row["query-id"]), str(row[name])) for row in rows_named(home, name, split)]


def _id(row: dict[str, Any]) -> str:
    return str(row["_id"] if "_id" in row else row["id"])
