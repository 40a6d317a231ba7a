"""Run mteb tasks and return a `Score` for each, with everything that made it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from instructor_embedding.encoders import PairEncoder
from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.cost import Clock
from instructor_embedding.evaluation.instructions import Instructions
from instructor_embedding.evaluation.mteb.instructed import InstructedEncoder, Settings
from instructor_embedding.evaluation.network import reachable, without_waiting
from instructor_embedding.evaluation.score import Results, Score
from instructor_embedding.extras import need

_PURPOSE = "evaluation on MTEB"
_TWO_SIDED = ("Retrieval", "Reranking", "InstructionRetrieval", "InstructionReranking")


def evaluate(
    model: CachedEncoder | PairEncoder | Any,
    tasks: Iterable[Any],
    *,
    instructions: Instructions | None = None,
    settings: str | Settings = "instructed",
    output_dir: str | os.PathLike[str] | None = None,
    results: Results | None = None,
) -> list[Score]:
    """Score a model on mteb tasks.

    Parameters
    ----------
    model : CachedEncoder, INSTRUCTOR, SentenceTransformer or object with encode(pairs)
    tasks : list of mteb tasks
        As `tasks_named` returns them.
    instructions, settings
        As for `InstructedEncoder`.
    output_dir : path, optional
        Where mteb's result files go, in its own layout.
    results : Results, optional
        A task that has a `Score` in it, by the same model, data, instructions, settings and versions, is not run again;
        new scores are added.

    Returns
    -------
    list of Score
        One for each task and split, in order.

    Raises
    ------
    InputError
        A task's data cannot be loaded: there is no network, or no such data set.
    """
    tasks = list(tasks)
    wrapped = InstructedEncoder(model, instructions, settings)
    verify(wrapped.instructions, tasks)
    results = Results() if results is None else results
    scores: list[Score] = []
    for task in tasks:
        configs = {split: _config(wrapped, task, split) for split in task.eval_splits}
        known = {split: results.find(task.metadata.name, config) for split, config in configs.items()}
        if any(score is None for score in known.values()):
            for split, score in _run(wrapped, task, configs, output_dir).items():
                if known[split] is None:
                    results.add(score)
                    known[split] = score
        scores += [score for score in known.values() if score is not None]
    return scores


def verify(instructions: Instructions, tasks: Iterable[Any]) -> None:
    """Raise InputError where a table of instructions has a key that is neither a task of mteb nor a task type."""
    mteb = need("mteb", _PURPOSE)
    names = [name for task in tasks for name in getattr(task, "folder_tasks", [task.metadata.name])]
    instructions.verify(names, lambda: {name for task in mteb.get_tasks() for name in _names(task.metadata)})


def _names(metadata: Any) -> tuple[str, str]:
    return metadata.name, metadata.type


def _config(wrapped: InstructedEncoder, task: Any, split: str) -> dict[str, Any]:
    metadata = task.metadata
    chosen = {side: wrapped.choose(metadata, side) for side in _sides(task)}
    data = {
        "path": metadata.dataset.get("path", ""),
        "revision": metadata.dataset.get("revision", ""),
        "split": split,
        "subsets": list(task.hf_subsets),
    }
    settings = asdict(wrapped.settings)
    if not metadata.type.startswith("Instruction"):
        del settings["query_instructions"]  # plays no part in tasks whose queries bring no instruction
    return wrapped.encoder.config("MTEB", metadata.type, chosen, data, settings, wrapped.instructions.name)


def _sides(task: Any) -> list[str]:
    if task.metadata.type in _TWO_SIDED:
        return ["query", "document"]
    sides = {
        getattr(getattr(task, name, None), "value", "text") for name in ("input1_prompt_type", "input2_prompt_type")
    }
    return sorted(sides)


def _run(
    wrapped: InstructedEncoder, task: Any, configs: dict[str, dict[str, Any]], output_dir: Any
) -> dict[str, Score]:
    """Run all splits of a task."""
    mteb = need("mteb", _PURPOSE)
    clock = Clock(wrapped.encoder.cost)
    loaded = task.data_loaded
    try:
        with _quiet():
            if not loaded:
                load_data(task)
            result = mteb.evaluate(
                wrapped,
                task,
                cache=mteb.ResultCache(output_dir) if output_dir else None,
                co2_tracker=False,
                overwrite_strategy="always",
                show_progress_bar=False,
            ).task_results[0]
        counts = {split: judged(task, split) for split in configs}
    finally:
        if not loaded and task.data_loaded:
            task.unload_data()
    scores = {}
    for split, config in configs.items():
        subsets = result.scores[split]
        value = float(np.mean([subset["main_score"] for subset in subsets]))
        complete = config | clock.circumstances(_figures(subsets))
        if repeats := _repeats(subsets, task.metadata.main_score):
            complete["repeats"] = {task.metadata.main_score: repeats}
        scores[split] = Score(
            task.metadata.name, task.metadata.main_score, round(100 * value, 4), counts[split], complete
        )
    return scores


def load_data(task: Any) -> None:
    """Load a task's data from the hub or its cache; one line, at once, where there is neither."""
    name, path = task.metadata.name, task.metadata.dataset.get("path", "")
    try:
        with warnings.catch_warnings(), without_waiting():
            warnings.simplefilter("ignore")
            task.load_data()
    except Exception as error:  # what datasets, the hub's client and their transports raise is not documented
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        cause = reason if reachable() else "the hub cannot be reached"
        how = f"use --data-dir with the files of {name}, or load {path} once with a network"
        raise InputError(f"cannot load the data of {name}: {cause}; {how}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and notes that mteb and datasets print beside ours."""
    logger, bars = logging.getLogger("mteb"), need("datasets.utils", _PURPOSE)
    level, shown = logger.level, not bars.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    bars.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is superseded by.*")
            yield
    finally:
        logger.setLevel(level)
        if shown:
            bars.enable_progress_bars()


def _figures(subsets: list[dict[str, Any]]) -> dict[str, float]:
    """Return the plain figures of a result, the mean over its subsets."""
    names = [name for name, value in subsets[0].items() if isinstance(value, float) and name != "main_score"]
    means = {name: float(np.mean([subset[name] for subset in subsets if name in subset])) for name in names}
    return {name: value for name, value in means.items() if value == value}


def _repeats(subsets: list[dict[str, Any]], metric: str) -> list[float]:
    """Return the values of the repetitions that mteb takes the mean of, where it records them."""
    values = [_repetitions(subset, metric) for subset in subsets]
    if len({len(repeats) for repeats in values}) != 1 or not values[0]:
        return []
    return [round(float(value), 6) for value in np.mean(values, axis=0)]


def _repetitions(subset: dict[str, Any], metric: str) -> list[float]:
    """Return a subset's repetitions: experiments of a classification, sets or samples of a clustering."""
    experiments = subset.get("scores_per_experiment") or []
    samples = subset.get(f"{metric}s") or []
    if isinstance(samples, dict):  # by level of the labels
        samples = [value for level in samples.values() for value in level]
    values = [experiment.get(metric) for experiment in experiments] or list(samples)
    return values if all(isinstance(value, float) for value in values) else []


def judged(task: Any, split: str) -> int:
    """Return how many items a task's split judges: queries of retrieval, pairs, summaries, else texts."""
    kinds = need("mteb.abstasks", _PURPOSE)
    legacy = need("mteb.abstasks.clustering_legacy", _PURPOSE).AbsTaskClusteringLegacy
    summaries = need("mteb.abstasks.text.summarization", _PURPOSE).AbsTaskSummarization
    total = 0
    for subset in task.hf_subsets:
        data = task.dataset.get(subset, task.dataset)
        rows = data[split]
        if isinstance(task, kinds.AbsTaskRetrieval):
            total += len(rows["queries"])
        elif isinstance(task, legacy):
            total += sum(len(texts) for texts in rows["sentences"])
        elif isinstance(task, summaries):
            total += sum(len(texts) for texts in rows["machine_summaries"])
        elif isinstance(task, kinds.AbsTaskPairClassification) and isinstance(rows[0]["labels"], list):
            total += sum(len(labels) for labels in rows["labels"])
        else:
            total += len(rows)
    return total
