"""The sections of a report: tables with a title and notes, whatever they are printed as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from instructor_embedding.evaluation.following import matrix as following
from instructor_embedding.evaluation.report import averages
from instructor_embedding.evaluation.report.comparison import delta, differing
from instructor_embedding.evaluation.report.runs import Run

_EMPTY = "-"


@dataclass(frozen=True)
class Section:
    """A table.

    Parameters
    ----------
    title : str
    rows : list of list of str
        The header first.
    notes : list of str
        What a reader must know, one sentence each.
    """

    title: str
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def sections(runs: Sequence[Run], reference: Run | None = None, *, complete: bool = False) -> list[Section]:
    """Return the sections of a report.

    Parameters
    ----------
    runs : list of Run
        Comparable, see `comparison.comparable`.
    reference : Run, optional
        What differences are taken to; default: the first run.
    complete : bool
        List the published figures of all data sets, instead of those of the measured runs.
    """
    scored = [run for run in (runs if complete else with_own_tasks(runs)) if run.entries]
    listed = [run for run in runs if run.entries or run.category_means]
    result = []
    if listed:
        result += [_averages(listed)]
    if scored:
        result += [_scores(scored)]
        if len(scored) > 1:
            label = reference.label if reference is not None else ""
            first = next((run for run in scored if run.label == label), scored[0])
            result += [_deltas([run for run in scored if run is not first], first)]
    result += _following(runs)
    if changes := differing(runs):
        result.append(_settings(runs, changes))
    if scored and any(entry.seconds is not None for run in scored for entry in run.entries.values()):
        result.append(_cost(scored))
    return result


def with_own_tasks(runs: Sequence[Run]) -> list[Run]:
    """Return the runs, the published ones with the tasks of the measured runs alone; unchanged if all are published."""
    own = {task for run in runs if not run.published for task in run.entries}
    return [
        replace(run, entries={task: entry for task, entry in run.entries.items() if task in own})
        if own and run.published
        else run
        for run in runs
    ]


def _scores(runs: Sequence[Run]) -> Section:
    rows = [["data set", "metric", *(run.label for run in runs)]]
    for category in _categories(runs):
        tasks = [task for task in _tasks(runs) if _category(runs, task) == category]
        for task in tasks:
            entries = [run.entries.get(task) for run in runs]
            metric = next(entry.metric for entry in entries if entry is not None)
            cells = []
            for entry in entries:
                error = entry.error if entry is not None else None
                noise = "" if error is None else f" ±{error:.2f}"
                cells.append(_EMPTY if entry is None else f"{entry.value:.2f}{noise}")
            rows.append([task, metric, *cells])
    notes = ["Scores in percent; ± is the standard error over the repetitions, where the benchmark repeats."]
    if any(run.published for run in runs) and not all(run.published for run in runs):
        notes.append(
            "Published figures are of the public data sets; your own files of the same name may differ from them."
        )
    return Section("Scores", rows, notes)


def _averages(runs: Sequence[Run]) -> Section:
    means_of = [averages.of_run(run) for run in runs]
    rows = [["average", *(run.label for run in runs)]]
    names = dict.fromkeys([*averages.CATEGORIES, *(name for means in means_of for name in means.categories)])
    for name in names:
        if any(name in means.categories for means in means_of):
            cells = [_count(means.categories.get(name), means.counts.get(name)) for means in means_of]
            rows.append([f"mean of {name or 'others'}", *cells])
    shared = [set(run.entries) for run in runs if run.entries]
    common = set.intersection(*shared) if shared else set()
    rows.append(["mean over data sets", *(_count(means.data_sets, means.count) for means in means_of)])
    if len(shared) > 1 and any(names != common for names in shared) and common:
        values = [fmean(run.entries[task].value for task in common) if run.entries else None for run in runs]
        rows.append(["mean over shared data sets", *(_count(value, len(common)) for value in values)])
    rows.append(["MTEB(eng, v1), 56 data sets", *(_cell(means.mteb) for means in means_of)])
    rows.append(["paper's headline, 9 categories", *(_cell(means.headline) for means in means_of)])
    notes = ["In brackets: the number of data sets; means over different data sets do not compare."]
    for run, means in zip(runs, means_of, strict=True):
        if means.headline is None and len(means.lacking) < 9:
            notes.append(f"The headline of {run.label} lacks {'; '.join(means.lacking)}.")
    return Section("Averages", rows, notes)


def _deltas(runs: Sequence[Run], first: Run) -> Section:
    rows = [["data set", *(run.label for run in runs)]]
    for task in _tasks([first]):
        differences = [delta(run.entries[task], first.entries[task]) if task in run.entries else None for run in runs]
        if any(difference is not None for difference in differences):
            cells = [
                _EMPTY if difference is None else f"{difference}{' *' if difference.clear else ''}"
                for difference in differences
            ]
            rows.append([task, *cells])
    notes = [
        f"Points above {first.label}; ± is the standard error, from the repetitions that both runs share.",
        "* more than two standard errors; a difference without ± has no repetitions that tell its noise.",
    ]
    return Section(f"Differences from {first.label}", rows, notes)


def _settings(runs: Sequence[Run], changes: dict[str, list[str]]) -> Section:
    rows = [["setting", *(run.label for run in runs)]]
    rows += [[name, *(value or _EMPTY for value in values)] for name, values in changes.items()]
    return Section("Settings that differ", rows)


def _cost(runs: Sequence[Run]) -> Section:
    rows = [["run", "parameters", "MB", "texts/s", "peak memory, MB", "seconds"]]
    for run in runs:
        entries = list(run.entries.values())
        speed = speed_of(run)
        memory = [entry.peak_memory_mb for entry in entries if entry.peak_memory_mb]
        seconds = [entry.seconds for entry in entries if entry.seconds is not None]
        parameters, size = run.size.get("parameters"), run.size.get("bytes")
        rows.append(
            [
                run.label,
                f"{parameters / 1e6:.1f} M" if parameters else _EMPTY,
                f"{size / 1e6:.1f}" if size else _EMPTY,
                f"{speed:.0f}" if speed else _EMPTY,
                f"{max(memory):.0f}" if memory else _EMPTY,
                f"{sum(seconds):.0f}" if seconds else _EMPTY,
            ]
        )
    rows = [row for row in rows if set(row[1:]) != {_EMPTY}]
    notes = ["texts/s is the median over the data sets, of texts that were encoded and not read from a cache."]
    return Section("Cost", rows, notes)


def speed_of(run: Run) -> float | None:
    """Return the median of a run's texts per second over its data sets."""
    known = sorted(entry.texts_per_second for entry in run.entries.values() if entry.texts_per_second)
    return known[len(known) // 2] if known else None


_MEASURES = {"linear": "linear classifier", "nearest": "nearest neighbor", "v_measure": "V-measure of clusters"}


def _following(runs: Sequence[Run]) -> list[Section]:
    """Return a summary of instruction following, and the matrices that it sums up."""
    rows = [["run", "texts", *(f"{name}: own - others" for name in _MEASURES.values()), "own instruction best"]]
    result = []
    for run in runs:
        by_set: dict[str, dict[str, following.Matrix]] = {}
        for matrix in following.of_scores(run.following):
            if matrix.labelings:
                by_set.setdefault(matrix.name, {})[matrix.metric] = matrix
        for name, matrices in by_set.items():
            wins = sum(matrix.wins for matrix in matrices.values())
            count = sum(len(matrix.labelings) for matrix in matrices.values())
            gains = [str(matrices[metric].gain) if metric in matrices else _EMPTY for metric in _MEASURES]
            rows.append([run.label, name, *gains, f"{wins} of {count}"])
            for matrix in matrices.values():
                title = f"Instruction following: {run.label} on {name}, {_MEASURES[matrix.metric]}"
                size = len(matrix.labelings)
                note = f"{matrix.wins} of {size} labelings are recovered best under their own instruction."
                result.append(Section(title, matrix.table(), [note]))
    if not result:
        return []
    notes = [
        "own - others: by how many points a labeling is recovered better under its own instruction than under others.",
        "A model that ignores instructions has 0; what is within two standard errors of 0 shows nothing.",
    ]
    return [Section("Instruction following", rows, notes), *result]


def _categories(runs: Sequence[Run]) -> list[str]:
    known = dict.fromkeys(_category(runs, task) for task in _tasks(runs))
    return sorted(
        known, key=lambda name: (averages.CATEGORIES.index(name) if name in averages.CATEGORIES else 99, name)
    )


def _category(runs: Sequence[Run], task: str) -> str:
    return next(run.entries[task].category for run in runs if task in run.entries)


def _tasks(runs: Sequence[Run]) -> list[str]:
    return sorted({task for run in runs for task in run.entries}, key=lambda task: (task.lower(), task))


def _count(value: float | None, count: int | None) -> str:
    return _EMPTY if value is None else f"{value:.2f}" + (f" [{count}]" if count else "")


def _cell(value: float | None) -> str:
    return _EMPTY if value is None else f"{value:.2f}"
