"""MTEB tasks fed from a folder on this machine: mteb's own task classes, our files, no network.

Layouts, one folder per task, named as mteb names it; files are ``SPLIT.jsonl``, ``.csv``, ``.tsv`` or
``.parquet``, plain, ``.gz`` or ``.zst``, or lie in a folder ``SPLIT`` as on the hub:
STS (sentence1, sentence2, score), classification (text, label), pair classification (sentence1, sentence2, labels),
clustering (sentences, labels; a row is a set, or one text), reranking (query, positive, negative), summarization (text,
machine_summaries, human_summaries, relevance), retrieval and its kin as `folder_retrieval` describes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instructor_embedding import fingerprint
from instructor_embedding.errors import InputError, nearest
from instructor_embedding.evaluation.mteb import folder_retrieval
from instructor_embedding.evaluation.mteb.folder_files import data_files, rows_named
from instructor_embedding.extras import need

_PURPOSE = "evaluation on MTEB"
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
    "InstructionRetrieval": "ndcg_at_10",
    "InstructionReranking": "ndcg_at_10",
    "Summarization": "cosine_spearman",
    "STS": "cosine_spearman",
    "PairClassification": "max_ap",
    "Clustering": "v_measure",
    "Classification": "accuracy",
}


def names_in(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names of the tasks in a folder.

    Raises
    ------
    InputError
        There is no such folder, or no task in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"there is no folder {str(root)!r}; a folder of tasks has one folder per task")
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and data_files(path))
    if not names:
        raise InputError(f"{root} holds no task; a task is a folder with files such as test.jsonl.gz")
    return names


def load(folder: str | os.PathLike[str], name: str, split: str | None = None) -> Any:
    """Return the mteb task `name` with the data of ``folder/name``.

    The task is mteb's own where it has one of that name, and else one of mteb's class for such columns.
    Its ``metadata.dataset`` names the folder and has a digest of the files as revision.

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
    home = Path(folder) / name
    known = names_in(folder)
    if name not in known:
        raise InputError(f"{folder} holds no task {name!r}{nearest(name, known)}; it holds {', '.join(known)}")
    retrieval = folder_retrieval.is_retrieval(home)
    kind = folder_retrieval.kind_of(home) if retrieval else _type_of(home)
    task = _task(name, kind)
    splits = [split] if split else list(task.metadata.eval_splits)
    metadata = task.metadata.model_copy(deep=True)
    metadata.eval_splits = splits
    metadata.dataset = {"path": f"local/{name}", "revision": fingerprint.of_files(data_files(home))}
    task.metadata = metadata
    task.hf_subsets = ["default"]
    task.folder_tasks = known  # names that a table of instructions may have keys for
    if retrieval:
        task.dataset = {"default": {split: folder_retrieval.read(home, split) for split in splits}}
        folder_retrieval.score_changes(task, home)
    elif metadata.type == "Reranking":
        task.dataset = {"default": {split: folder_retrieval.read_reranking(home, split) for split in splits}}
    else:
        train = getattr(task, "train_split", None)
        task.dataset = _splits(task, home, [*splits, train] if train else splits)
        if metadata.type == "Summarization" and not hasattr(task, "min_score"):
            judgments = [value for split in splits for values in task.dataset[split]["relevance"] for value in values]
            task.min_score, task.max_score = min(judgments), max(judgments)
    task.data_loaded = True
    return task


def _type_of(home: Path) -> str:
    file = next(file for file in data_files(home) if file.suffix != ".tsv")
    columns = set(next(iter(rows_named(home, file.name.partition(".")[0])), {}))
    if not columns:
        raise InputError(f"{file} is empty")
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
    if getattr(task, "is_aggregate", False):
        names = ", ".join(member.metadata.name for member in task.metadata.tasks)
        raise InputError(f"{name} is the mean of several tasks; give each its own folder: {names}")
    if task.metadata.type != kind and not folder_retrieval.akin(task.metadata.type, kind):
        raise InputError(f"the files of {name} are those of {kind}, but mteb's {name} is {task.metadata.type}")
    return task


def _new_task(name: str, kind: str) -> Any:
    tasks, module = need("mteb.abstasks", _PURPOSE), need("mteb.abstasks.task_metadata", _PURPOSE)
    classes = {
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
    return type(name, (classes.get(kind, tasks.AbsTaskRetrieval),), {"metadata": metadata})()


def _splits(task: Any, home: Path, splits: Sequence[str]) -> Any:
    datasets = need("datasets", _PURPOSE)
    # mteb's classes for clustering differ: the legacy one takes sets of texts, the present one single texts
    single = isinstance(task, need("mteb.abstasks", _PURPOSE).AbsTaskClustering)
    tables = {split: list(rows_named(home, split)) for split in splits}
    if single:
        tables = {split: _single_texts(rows) for split, rows in tables.items()}
    return datasets.DatasetDict({split: datasets.Dataset.from_list(rows) for split, rows in tables.items()})


def _single_texts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per distinct text of rows that may be sets of texts, as mteb does for its newer clustering."""
    labels: dict[str, Any] = {}
    for row in rows:
        if isinstance(row["sentences"], list):
            for text, label in zip(row["sentences"], row["labels"], strict=True):
                labels.setdefault(text, label)
        else:
            labels.setdefault(row["sentences"], row["labels"])
    return [{"sentences": text, "labels": label} for text, label in labels.items()]
