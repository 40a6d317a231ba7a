"""Runs: the scores of one model under one set of settings, read from files of results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.evaluation import score as scores_
from instructor_embedding.evaluation.following.run import BENCHMARK as FOLLOWING
from instructor_embedding.evaluation.score import Score

_PER_TASK = ("seed",)  # settings that repetitions of one run differ in


@dataclass(frozen=True)
class Entry:
    """One task of a run.

    Parameters
    ----------
    task, category, metric : str
    value : float
        In percent; the mean of the repetitions where there are several.
    n : int
        Judged items; 0 where it is not known.
    data : str
        Path and revision of the data; ``""`` where it is not known, as of published figures.
    repeats : tuple of float
        Values of the repetitions, in percent: experiments of a classification, splits, seeds.
    seconds, texts_per_second, peak_memory_mb : float or None
        What it cost; texts from a cache of vectors do not count as encoded.
    """

    task: str
    category: str
    metric: str
    value: float
    n: int = 0
    data: str = ""
    repeats: tuple[float, ...] = ()
    seconds: float | None = None
    texts_per_second: float | None = None
    peak_memory_mb: float | None = None

    @property
    def error(self) -> float | None:
        """The standard error of the mean of the repetitions, in points; None without repetitions."""
        if len(self.repeats) < 2:
            return None
        return float(np.std(self.repeats, ddof=1) / np.sqrt(len(self.repeats)))


@dataclass(frozen=True)
class Run:
    """The scores of one model under one set of settings.

    Parameters
    ----------
    label : str
        What tables call it.
    settings : dict
        What may differ between runs: model, fingerprint, instructions, precision, versions.
    entries : dict
        Task to `Entry`.
    following : list of Score
        Of the instruction-following benchmark, which is reported as matrices.
    size : dict
        ``parameters`` and ``bytes`` of the model, where they are known.
    published : bool
        Figures that others published; how they were made is not in the file.
    category_means : dict
        Published means of categories whose tasks are not listed.
    """

    label: str
    settings: Mapping[str, str]
    entries: Mapping[str, Entry]
    following: Sequence[Score] = ()
    size: Mapping[str, int] = field(default_factory=dict)
    published: bool = False
    category_means: Mapping[str, float] = field(default_factory=dict)


def of_results(path: str | os.PathLike[str]) -> list[Run]:
    """Return the runs in a file of scores that ``instructor-embed evaluate`` wrote.

    Raises
    ------
    InputError
        The file cannot be read, or a run has one task twice with different data.
    """
    return of_scores(scores_.read(path), str(path))


def of_scores(scores: Iterable[Score], path: str = "") -> list[Run]:
    """Return the runs of some scores, one for each model and settings."""
    groups: dict[tuple[str, ...], list[Score]] = {}
    for score in scores:
        groups.setdefault(_identity(score), []).append(score)
    return [_run(group, path) for group in groups.values()]


def merged(runs: Sequence[Run]) -> list[Run]:
    """Join runs of the same settings from different files whose tasks differ, and give each run its own label."""
    joined: list[Run] = []
    for run in runs:
        twin = next(
            (
                index
                for index, other in enumerate(joined)
                if _same(run, other) and not (run.entries.keys() & other.entries.keys())
            ),
            None,
        )
        if twin is None or run.published:
            joined.append(run)
            continue
        other = joined[twin]
        joined[twin] = replace(
            other, entries={**other.entries, **run.entries}, following=[*other.following, *run.following]
        )
    return _labeled(joined)


def _same(run: Run, other: Run) -> bool:
    names = ("model", "fingerprint", "precision", "backend", "dtype", "instructions", "settings")
    # following has its own instructions, so it joins whatever run of the model there is
    apart = {"instructions", "settings"} if not run.entries or not other.entries else set()
    return not other.published and all(
        run.settings.get(name) == other.settings.get(name) for name in names if name not in apart
    )


def _identity(score: Score) -> tuple[str, ...]:
    model = score.config.get("model", {})
    return (*map(str, model.values()), _instructions(score), _settings_name(score))


def _instructions(score: Score) -> str:
    name = score.config.get("instructions_from")
    if name:
        return str(name)
    sources = [str(source).partition(" (")[0] for source in score.config.get("sources", {}).values()]
    return next((source for source in sources if source != "default"), sources[0] if sources else "")


def _settings_name(score: Score) -> str:
    settings = score.config.get("settings", {})
    extra = settings.get("query_instructions", "instruction")
    name = str(settings.get("name", ""))
    return name if extra == "instruction" else f"{name}, query instructions: {extra}"


def _run(scores: Sequence[Score], path: str) -> Run:
    first = scores[0]
    model = {name: str(value) for name, value in first.config.get("model", {}).items()}
    settings = {"model": model.pop("name", "")} | model
    settings |= {"instructions": _instructions(first), "settings": _settings_name(first), "file": path}
    versions: dict[str, set[str]] = {}
    for score in scores:
        for name, version in score.config.get("versions", {}).items():
            versions.setdefault(name, set()).add(str(version))
    settings |= {name: ", ".join(sorted(known)) for name, known in sorted(versions.items())}
    by_task: dict[str, list[Score]] = {}
    for score in scores:
        if score.config.get("benchmark") != FOLLOWING:
            by_task.setdefault(_task_name(score), []).append(score)
    entries = {task: _entry(task, group, path) for task, group in by_task.items()}
    following = [score for score in scores if score.config.get("benchmark") == FOLLOWING]
    return Run(first.model or "model", settings, entries, following, dict(first.config.get("size", {})))


def _task_name(score: Score) -> str:
    """Return the task, with its split where mteb evaluates several."""
    split = str(score.config.get("data", {}).get("split", "test"))
    return score.task if split in ("test", "dev", "standard", "validation") else f"{score.task} ({split})"


def _entry(task: str, scores: Sequence[Score], path: str) -> Entry:
    """Return one entry of the scores of a task: the last of equal runs, the mean over seeds."""
    seeds: dict[str, Score] = {}
    for score in scores:
        seeds[str(score.config.get("settings", {}).get("seed", ""))] = score
    last = list(seeds.values())[-1]
    if len({(score.metric, _data(score)) for score in seeds.values()}) > 1:
        raise InputError(f"{path} has {task} of one run with different data or metrics; report them apart")
    values = [score.value for score in seeds.values()]
    repeats = tuple(values)
    if len(values) == 1:
        repeats = tuple(100 * value for value in last.config.get("repeats", {}).get(last.metric, ()))
    cost = last.config.get("cost", {})
    return Entry(
        task, last.category, last.metric, float(np.mean(values)), last.n, _data(last), repeats,
        last.config.get("seconds"), cost.get("texts_per_second"), cost.get("peak_memory_mb"),
    )  # fmt: skip


def _data(score: Score) -> str:
    data = score.config.get("data", {})
    return " ".join(str(data[name]) for name in ("path", "revision", "items") if data.get(name))


def _labeled(runs: Sequence[Run]) -> list[Run]:
    """Give each run a label of its own: its model's name, and what sets it apart from others of the same name."""
    names = [Path(run.label).name or run.label for run in runs]
    result = []
    for run, name in zip(runs, names, strict=True):
        twins = [
            other for other, twin in zip(runs, names, strict=True) if twin == name and other.published == run.published
        ]
        label = name
        for key in ("label", "instructions", "precision", "backend", "dtype", "settings", "fingerprint", "file"):
            values = [_value(other, key) for other in twins]
            if len(set(values)) > 1 and _value(run, key):
                label = f"{label} ({_value(run, key)})" if key != "label" else run.label
            if len({_value(other, "label") for other in twins}) == len(twins) or len(set(values)) == len(twins):
                break
        result.append(replace(run, label=f"{label}, published" if run.published else label))
    return result


def _value(run: Run, key: str) -> str:
    if key == "label":
        return run.label
    value = run.settings.get(key, "")
    return Path(value).stem if key == "file" else value


def labels_kept(runs: Iterable[Run], only: Sequence[str]) -> list[Run]:
    """Return the runs whose label contains one of some strings; all without any."""
    runs = list(runs)
    for text in only:
        if not any(text.lower() in run.label.lower() for run in runs):
            raise InputError(f"no run is called {text!r}; there are {', '.join(run.label for run in runs[:20])}")
    return [run for run in runs if not only or any(text.lower() in run.label.lower() for text in only)]
