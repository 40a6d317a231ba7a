"""Averages: per data set, per category, and the paper's headline; three figures that are never mixed.

The paper's headline (58.4 for instructor-large) is the mean of nine category means: seven of MTEB, Billboard and Prompt
Retrieval. Summarization, one data set, weighs as much in it as Retrieval with fifteen. The mean over the 56 data sets
of MTEB (61.6) is another figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.instructions import facts
from instructor_embedding.evaluation.report.runs import Run

MTEB = ("Retrieval", "Reranking", "Clustering", "PairClassification", "Classification", "STS", "Summarization")
CATEGORIES = (*MTEB, "TextEvaluation", "PromptRetrieval")
_AGGREGATE = "CQADupstackRetrieval"
_UNPUBLISHED = {"PromptRetrieval": {"dbpedia_14", "multi_woz"}}  # of the eleven tasks, those without an instruction


@dataclass(frozen=True)
class Averages:
    """The averages of a run.

    Parameters
    ----------
    categories : dict
        Category to the mean of its data sets, whatever their number.
    counts : dict
        Category to that number.
    data_sets : float or None
        The mean over all data sets, the parts of an aggregate counted as one.
    count : int
        Their number.
    mteb : float or None
        The mean over the 56 data sets of MTEB(eng, v1); None unless all are there.
    headline : float or None
        The mean of the nine category means; None unless all categories are complete.
    lacking : list of str
        What the headline lacks.
    """

    categories: Mapping[str, float]
    counts: Mapping[str, int]
    data_sets: float | None
    count: int
    mteb: float | None
    headline: float | None
    lacking: list[str]


def headline(category_means: Mapping[str, float]) -> float:
    """Return the paper's headline: the mean of the nine category means.

    Raises
    ------
    InputError
        A category is missing.

    Examples
    --------
    >>> large = dict(zip(CATEGORIES, (47.6, 57.5, 45.3, 85.9, 73.9, 83.2, 31.8, 36.9, 63.2)))
    >>> round(headline(large), 1)
    58.4
    """
    missing = [category for category in CATEGORIES if category not in category_means]
    if missing:
        raise InputError(f"the headline is the mean of nine categories; missing: {', '.join(missing)}")
    return float(np.mean([category_means[category] for category in CATEGORIES]))


def of_run(run: Run) -> Averages:
    """Return the averages of a run."""
    values = _values(run)
    by_category: dict[str, dict[str, float]] = {}
    for task, (category, value) in values.items():
        by_category.setdefault(category, {})[task] = value
    means = {category: float(np.mean(list(tasks.values()))) for category, tasks in by_category.items()}
    counts = {category: len(tasks) for category, tasks in by_category.items()}
    lacking = []
    for category in CATEGORIES:
        if category in run.category_means and category not in means:
            means[category] = run.category_means[category]
            continue
        missing = sorted(paper_tasks()[category] - by_category.get(category, {}).keys())
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            lacking.append(f"{category}: {', '.join(missing[:3])}{more}")
    every = [value for _, value in values.values()]
    tasks = {task for category in MTEB for task in paper_tasks()[category]}
    paper = [value for task, (_, value) in values.items() if task in tasks]
    complete = len(paper) == len(tasks)
    return Averages(
        means,
        counts,
        float(np.mean(every)) if every else None,
        len(every),
        float(np.mean(paper)) if complete else None,
        headline(means) if not lacking else None,
        lacking,
    )


@cache
def paper_tasks() -> Mapping[str, frozenset[str]]:
    """Return the data sets of each of the nine categories; an aggregate stands for its parts."""
    tasks: dict[str, set[str]] = {category: set() for category in CATEGORIES}
    for fact in facts():
        if fact.category in tasks:
            tasks[fact.category].add(_aggregate(fact.dataset))
    for category, names in _UNPUBLISHED.items():
        tasks[category] |= names
    tasks["TextEvaluation"] = {"wmt20-zh-en" if name == "mt" else name for name in tasks["TextEvaluation"]}
    return {category: frozenset(names) for category, names in tasks.items()}


def _values(run: Run) -> dict[str, tuple[str, float]]:
    """Return category and value of each data set; the parts of an aggregate become one, their mean, if complete."""
    values = {task: (entry.category, entry.value) for task, entry in run.entries.items()}
    members = [task for task in values if _aggregate(task) == _AGGREGATE and task != _AGGREGATE]
    if len(members) == len(_members()):
        mean = float(np.mean([values[task][1] for task in members]))
        values = {task: value for task, value in values.items() if task not in members}
        values[_AGGREGATE] = ("Retrieval", mean)
    elif _AGGREGATE in values:
        values = {task: value for task, value in values.items() if task not in members}
    return values


@cache
def _members() -> frozenset[str]:
    return frozenset(fact.dataset for fact in facts() if _aggregate(fact.dataset) == _AGGREGATE)


def _aggregate(dataset: str) -> str:
    """Return the aggregate that a data set is a part of, else the data set."""
    return _AGGREGATE if dataset.startswith("CQADupstack") else dataset
