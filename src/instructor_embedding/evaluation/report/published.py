"""Figures that others published, and the result files of mteb, as runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.instructions import facts
from instructor_embedding.evaluation.report.runs import Entry, Run
from instructor_embedding.files.records import read_json

# names of the same figure in older and newer versions of mteb
_METRICS = {
    "cos_sim_spearman": "cosine_spearman",
    "map": "map_at_1000",
    "cos_sim_ap": "max_ap",
    "cosine_ap": "max_ap",
    "ap": "max_ap",
}
_MAIN = {
    "Classification": "accuracy",
    "Clustering": "v_measure",
    "PairClassification": "max_ap",
    "Reranking": "map_at_1000",
    "Retrieval": "ndcg_at_10",
    "STS": "cosine_spearman",
    "Summarization": "cosine_spearman",
    "TextEvaluation": "pearson",
    "PromptRetrieval": "rouge_l",
}
_FORMS = (
    '{"scores": {CATEGORY: {DATASET: VALUE}}}, {"models": {NAME: {"scores": {DATASET: VALUE}}}}, '
    '{"tasks": {DATASET: {NAME: {"main_score": VALUE}}}} or {"category_means": {NAME: {CATEGORY: VALUE}}}'
)


def metric_of(name: str) -> str:
    """Return the present name of a metric."""
    return _METRICS.get(name, name)


def of_json(path: str | os.PathLike[str]) -> list[Run]:
    """Return the runs in a json file of published figures.

    Raises
    ------
    InputError
        The file has none of the known forms.
    """
    table = read_json(path)
    if not isinstance(table, Mapping):
        raise InputError(f"{path} is not a table of published figures; known forms: {_FORMS}")
    try:
        if "category_means" in table and "scores" not in table:
            return [
                Run(name, {"model": name}, {}, published=True, category_means=dict(means))
                for name, means in table["category_means"].items()
            ]
        if "models" in table:
            metrics = {category: task.get("metric", "") for category, task in table.get("tasks", {}).items()}
            return [_run(name, _flat(model["scores"], {}, metrics)) for name, model in table["models"].items()]
        if "scores" in table:
            name = str(table.get("model") or _name_in(str(table.get("source", ""))) or Path(path).stem)
            scores = {dataset: value for category in table["scores"].values() for dataset, value in category.items()}
            categories = {dataset: category for category, names in table["scores"].items() for dataset in names}
            run = _run(name, _flat(scores, categories, table.get("main_metric", {})))
            return [replace(run, category_means=dict(table.get("category_means", {})))]
        if "tasks" in table:
            return _by_task(table["tasks"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is not a table of published figures ({error!r}); known forms: {_FORMS}") from None
    raise InputError(f"{path} is not a table of published figures; known forms: {_FORMS}")


def of_mteb(folder: str | os.PathLike[str]) -> list[Run]:
    """Return the runs in a folder that mteb wrote: one per model, revision and experiment.

    Raises
    ------
    InputError
        There are no results in it.
    """
    groups: dict[Path, dict[str, Entry]] = {}
    for file in sorted(Path(folder).rglob("*.json")):
        if file.name == "model_meta.json":
            continue
        result = read_json(file)
        if isinstance(result, Mapping) and "task_name" in result and isinstance(result.get("scores"), Mapping):
            groups.setdefault(file.parent, {}).update(_mteb_entries(result))
    if not groups:
        raise InputError(f"{folder} holds no results of mteb")
    runs = []
    for home, entries in groups.items():
        meta = home / "model_meta.json"
        about = read_json(meta) if meta.is_file() else {}
        name = str(about.get("name") or home.parent.name.replace("__", "/"))
        settings = {"model": name, "fingerprint": str(about.get("revision") or home.name)}
        settings |= {key: str(value) for key, value in (about.get("experiment_kwargs") or {}).items()}
        size = {"parameters": about["n_parameters"]} if about.get("n_parameters") else {}
        runs.append(Run(name, settings | {"file": str(home)}, entries, size=size))
    return runs


def _mteb_entries(result: Mapping[str, Any]) -> dict[str, Entry]:
    name = str(result["task_name"])
    category = category_of(name)
    entries = {}
    for split, subsets in result["scores"].items():
        task = name if split in ("test", "dev", "standard", "validation") else f"{name} ({split})"
        value = 100 * float(np.mean([subset["main_score"] for subset in subsets]))
        data = f"{result.get('dataset_revision', '')}"
        entries[task] = Entry(task, category, _MAIN.get(category, "main_score"), round(value, 4), data=data)
    return entries


def category_of(task: str) -> str:
    """Return the category of a published data set, else mteb's, where it is installed, else ``""``."""
    known = {fact.dataset: fact.category for fact in facts()}
    if task in known:
        return known[task]
    if task == "CQADupstackRetrieval":
        return "Retrieval"
    try:
        import mteb

        return str(mteb.get_task(task).metadata.type)
    except (ImportError, KeyError):
        return ""


def _flat(scores: Mapping[str, Any], categories: Mapping[str, str], metrics: Mapping[str, str]) -> dict[str, Entry]:
    entries = {}
    for dataset, value in scores.items():
        if value is None:
            continue
        task = dataset.partition(" (")[0]  # "STS17 (en-en)"
        category = categories.get(dataset) or category_of(task)
        metric = metric_of(metrics.get(category) or _MAIN.get(category, "main_score"))
        entries[task] = Entry(task, category, metric, float(value))
    return entries


def _by_task(tasks: Mapping[str, Any]) -> list[Run]:
    models: dict[str, dict[str, Entry]] = {}
    for task, rows in tasks.items():
        for name, row in rows.items():
            metric = metric_of(str(row.get("metric", "main_score")))
            models.setdefault(name, {})[task] = Entry(task, category_of(task), metric, float(row["main_score"]))
    return [_run(name, entries) for name, entries in models.items()]


def _run(name: str, entries: Mapping[str, Entry]) -> Run:
    return Run(name, {"model": name}, entries, published=True)


def _name_in(source: str) -> str:
    """Return the hub id in a text such as "README.md of ORGANIZATION/MODEL at COMMIT"."""
    return next((word for word in source.split() if word.count("/") == 1 and "." not in word), "")
