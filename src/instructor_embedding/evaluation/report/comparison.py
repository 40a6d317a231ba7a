"""Comparison of runs: what may be compared, which settings differ, and by how much scores differ beside their noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.report.published import metric_of
from instructor_embedding.evaluation.report.runs import Entry, Run


@dataclass(frozen=True)
class Delta:
    """By how much a run's score differs from another's.

    Parameters
    ----------
    value : float
        In points.
    error : float or None
        Its standard error; None where there are no repetitions to tell.
    paired : bool
        The error is that of differences within repetitions, which both runs share.
    """

    value: float
    error: float | None
    paired: bool = False

    @property
    def clear(self) -> bool | None:
        """Whether the difference exceeds two standard errors; None where the error is not known."""
        return None if self.error is None else abs(self.value) > 2 * self.error

    def __str__(self) -> str:
        """Return the difference with its error, such as ``"+1.20 ±0.40"``."""
        return f"{self.value:+.2f}" + ("" if self.error is None else f" ±{self.error:.2f}")


def unlike(runs: Sequence[Run]) -> dict[str, str]:
    """Return the tasks whose scores must not be compared, each with the reason."""
    reasons: dict[str, str] = {}
    for task in dict.fromkeys(task for run in runs for task in run.entries):
        entries = {run.label: run.entries[task] for run in runs if task in run.entries}
        metrics = {label: metric_of(entry.metric) for label, entry in entries.items() if entry.metric != "main_score"}
        data = {label: entry.data for label, entry in entries.items() if entry.data}
        for what, values in (("metrics", metrics), ("data", data)):
            if len(set(values.values())) > 1:
                named = [f"{label}: {value}" for label, value in values.items()]
                reasons[task] = f"different {what} ({'; '.join(named[:4])})"
                break
    return reasons


def comparable(runs: Sequence[Run], leave_out: bool = False) -> list[Run]:
    """Return runs whose tasks can be compared.

    Parameters
    ----------
    runs : list of Run
    leave_out : bool
        Leave out the tasks that cannot, instead of refusing.

    Raises
    ------
    InputError
        Two runs have a task with different data or metrics.
    """
    reasons = unlike(runs)
    if not reasons:
        return list(runs)
    if leave_out:
        return [
            replace(run, entries={task: entry for task, entry in run.entries.items() if task not in reasons})
            for run in runs
        ]
    task, reason = next(iter(reasons.items()))
    more = f" ({len(reasons) - 1} more such tasks)" if len(reasons) > 1 else ""
    raise InputError(
        f"{task} cannot be compared: {reason}{more}; report these runs apart, or leave such tasks out with --leave-out"
    )


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the settings that differ between runs whose settings are known: name to the value of each run."""
    known = [run for run in runs if not run.published]
    names = dict.fromkeys(name for run in known for name in run.settings if name != "file")
    differing_ = {}
    for name in names:
        values = [run.settings.get(name, "") for run in known]
        if len(set(values)) > 1:
            differing_[name] = [run.settings.get(name, "") if not run.published else "" for run in runs]
    return differing_


def delta(entry: Entry, reference: Entry) -> Delta:
    """Return by how many points an entry is above a reference."""
    value = entry.value - reference.value
    if len(entry.repeats) == len(reference.repeats) > 1:
        # both runs repeated the same splits or seeds, so the noise that they share cancels out
        differences = np.array(entry.repeats) - np.array(reference.repeats)
        return Delta(value, float(differences.std(ddof=1) / np.sqrt(len(differences))), paired=True)
    if entry.error is None or reference.error is None:
        return Delta(value, None)
    return Delta(value, float(np.hypot(entry.error, reference.error)))
