"""MTEB tasks fed from a folder on this machine: mteb's own task classes, our files, no network.

Layouts, one folder a task, named as mteb names it; files are ``SPLIT.jsonl``, ``SPLIT.jsonl.gz`` or ``SPLIT.parquet``:
STS (sentence1, sentence2, score), classification (text, label), pair classification (sentence1, sentence2, labels),
clustering (sentences, labels; a row is a set), reranking (query, positive, negative), summarization (text,
machine_summaries, human_summaries, relevance), retrieval (``corpus`` and ``queries`` with _id and text,
``qrels/SPLIT.tsv``).
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.evaluation import fingerprint
from instructor_embedding.extras import need

_PURPOSE = "evaluation on MTEB"
_ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
# columns -> task type, for folders that mteb has no task for
_TYPES = {
    ("query", "positive", "negative"): "Reranking",
    ("machine_summaries", "human_summaries"): "Summarization",
    ("sentence1", "sentence2", "score"): "STS",
    ("sentence1", "sentence2", "labels"): "PairClassification",
    ("sentences", "labels"): "Clustering",
    ("text", "label"): "Classification",
}
_METRICS = {
    "Retrieval": "ndcg_at_10",
    "Reranking": "map_at_1000",
    "Summarization": "cosine_spearman",
    "STS": "cosine_spearman",
    "PairClassification": "max_ap",
    "Clustering": "v_measure",
    "Classification": "accuracy",
}


def names_in(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names of the tasks a folder holds.

    Raises
    ------
    InputError
        There is no such folder, or no task in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"there is no folder {str(root)!r}; a folder of tasks holds one folder a task")
    found = sorted(path.name for path in root.iterdir() if path.is_dir() and list(_data_files(path)))
    if not found:
        raise InputError(f"{root} holds no task; a task is a folder with files such as test.jsonl.gz")
    return found


def load(folder: str | os.PathLike[str], name: str, split: str | None = None) -> Any:
    """Return the mteb task `name` with the data of ``folder/name``.

    The task is mteb's own where it has one of that name, and else one of mteb's class for such columns.
    Its ``metadata.dataset`` names the folder and carries a digest of the files as revision.

    Parameters
    ----------
    folder : path
    name : str
    split : str, optional
        Default: the splits that mteb evaluates.

    Raises
    ------
    InputError
        The folder lacks the task, the split or a column.
    """
    need("mteb", _PURPOSE)
    home = Path(folder) / name
    if name not in names_in(folder):
        known = names_in(folder)
        raise InputError(f"{folder} holds no task {name!r}{nearest(name, known)}; it holds {', '.join(known)}")
    retrieval = (home / "qrels").is_dir()
    kind = "Retrieval" if retrieval else _type_of(home)
    task = _task(name, kind)
    splits = [split] if split else list(task.metadata.eval_splits)
    metadata = task.metadata.model_copy(deep=True)
    metadata.eval_splits = splits
    metadata.dataset = {"path": f"local/{name}", "revision": fingerprint.of_files(_data_files(home))}
    task.metadata = metadata
    task._eval_splits = None
    task.hf_subsets = ["default"]
    if metadata.type in ("Retrieval", "Reranking"):
        read = _retrieval_split if retrieval else _reranking_split
        task.dataset = {"default": {each: read(home, each) for each in splits}}
    else:
        train = getattr(task, "train_split", None)
        task.dataset = _splits(home, [*splits, train] if train else splits)
    task.data_loaded = True
    return task


def _data_files(home: Path) -> Iterator[Path]:
    for path in sorted([*home.iterdir(), *home.glob("qrels/*")]):
        if path.name.endswith((*_ENDINGS, ".tsv")):
            yield path


def _file(home: Path, stem: str) -> Path:
    for ending in _ENDINGS:
        if (home / f"{stem}{ending}").is_file():
            return home / f"{stem}{ending}"
    have = sorted(path.name for path in _data_files(home))
    raise InputError(f"{home} has no {stem}.jsonl, {stem}.jsonl.gz or {stem}.parquet; it has {', '.join(have)}")


def rows(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a jsonl, jsonl.gz or parquet file.

    Raises
    ------
    InputError
        A line is no json object; the message has its number.
    """
    if file.suffix == ".parquet":
        table = need("pyarrow.parquet", "reading parquet files").read_table(file)
        found: list[dict[str, Any]] = table.to_pylist()
        return found
    found = []
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                found.append(dict(json.loads(line)))
            except (ValueError, TypeError):
                raise InputError(f"{file}, line {number} is no json object") from None
    return found


def _first_row(home: Path) -> dict[str, Any]:
    file = next(file for file in _data_files(home) if not file.name.endswith(".tsv"))
    found = rows(file)
    if not found:
        raise InputError(f"{file} is empty")
    return found[0]


def _type_of(home: Path) -> str:
    columns = set(_first_row(home))
    for needed, kind in _TYPES.items():
        if columns.issuperset(needed):
            return kind
    known = "; ".join(f"{kind}: {', '.join(needed)}" for needed, kind in _TYPES.items())
    raise InputError(f"{home} has the columns {', '.join(sorted(columns))}, which fit no task type ({known})")


def _task(name: str, kind: str) -> Any:
    """Return mteb's own task of this name, or a new one of mteb's class for the type."""
    mteb = need("mteb", _PURPOSE)
    try:
        task = mteb.get_task(name)
    except KeyError:
        return _new_task(name, kind)
    if task.metadata.type != kind:
        raise InputError(f"the files of {name} are those of {kind}, but mteb's {name} is {task.metadata.type}")
    return task


def _new_task(name: str, kind: str) -> Any:
    tasks, module = need("mteb.abstasks", _PURPOSE), need("mteb.abstasks.task_metadata", _PURPOSE)
    classes = {
        "Retrieval": tasks.AbsTaskRetrieval,
        "Reranking": tasks.AbsTaskRetrieval,
        "Summarization": need("mteb.abstasks.text.summarization", _PURPOSE).AbsTaskSummarization,
        "STS": tasks.AbsTaskSTS,
        "PairClassification": tasks.AbsTaskPairClassification,
        "Clustering": need("mteb.abstasks.clustering_legacy", _PURPOSE).AbsTaskClusteringLegacy,
        "Classification": tasks.AbsTaskClassification,
    }
    metadata = module.TaskMetadata(
        name=name,
        description=f"{name}, from a folder.",
        dataset={"path": f"local/{name}", "revision": "local"},
        type=kind,
        eval_langs=["eng-Latn"],
        main_score=_METRICS[kind],
    )
    return type(name, (classes[kind],), {"metadata": metadata})()


def _splits(home: Path, splits: Sequence[str]) -> Any:
    datasets = need("datasets", _PURPOSE)

    return datasets.DatasetDict({split: datasets.Dataset.from_list(rows(_file(home, split))) for split in splits})


def _retrieval_split(home: Path, split: str) -> dict[str, Any]:
    """Read the BEIR layout; document text is title and text, which mteb joins."""
    datasets = need("datasets", _PURPOSE)

    relevant = _qrels(home / "qrels" / f"{split}.tsv")
    corpus = [
        {"id": str(row["_id"]), "title": row.get("title") or "", "text": row["text"]}
        for row in rows(_file(home, "corpus"))
    ]
    queries = [
        {"id": str(row["_id"]), "text": row["text"]}
        for row in rows(_file(home, "queries"))
        if str(row["_id"]) in relevant
    ]
    return {
        "corpus": datasets.Dataset.from_list(corpus),
        "queries": datasets.Dataset.from_list(queries),
        "relevant_docs": relevant,
        "top_ranked": None,
    }


def _qrels(file: Path) -> dict[str, dict[str, int]]:
    if not file.is_file():
        raise InputError(f"there is no {file}, which says which documents are relevant")
    found: dict[str, dict[str, int]] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            found.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return found


def _reranking_split(home: Path, split: str) -> dict[str, Any]:
    """Give each query its own documents; those without a positive or a negative are left out, as mteb does."""
    datasets = need("datasets", _PURPOSE)

    corpus, queries = [], []
    relevant: dict[str, dict[str, int]] = {}
    ranked: dict[str, list[str]] = {}
    for number, row in enumerate(rows(_file(home, split))):
        if not row["positive"] or not row["negative"]:
            continue
        query = f"q{number}"
        texts = [(text, 1) for text in row["positive"]] + [(text, 0) for text in row["negative"]]
        ids = [f"{query}-{place}" for place in range(len(texts))]
        queries.append({"id": query, "text": row["query"]})
        corpus += [{"id": id_, "title": "", "text": text} for id_, (text, _) in zip(ids, texts, strict=True)]
        relevant[query] = {id_: judged for id_, (_, judged) in zip(ids, texts, strict=True)}
        ranked[query] = ids
    return {
        "corpus": datasets.Dataset.from_list(corpus),
        "queries": datasets.Dataset.from_list(queries),
        "relevant_docs": relevant,
        "top_ranked": ranked,
    }
