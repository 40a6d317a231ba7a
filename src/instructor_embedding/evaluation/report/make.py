"""Read results of any kind and make a report."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.report import published
from instructor_embedding.evaluation.report.comparison import comparable
from instructor_embedding.evaluation.report.runs import Run, labels_kept, merged, of_results


def read(paths: Sequence[str | os.PathLike[str]], only: Sequence[str] = (), *, leave_out: bool = False) -> list[Run]:
    """Return the runs in some results, with labels, checked to be comparable.

    Parameters
    ----------
    paths : list of path
        Files that ``instructor-embed evaluate`` wrote, folders that mteb wrote, json files of published figures.
    only : list of str
        Keep the runs whose label contains one of these.
    leave_out : bool
        Leave out tasks with different data or metrics, instead of refusing.

    Raises
    ------
    InputError
        A path has no results, or the runs cannot be compared.
    """
    runs: list[Run] = []
    for path in paths:
        if Path(path).is_dir():
            runs += published.of_mteb(path)
        elif _is_table(Path(path)):
            runs += published.of_json(path)
        else:
            runs += of_results(path)
    if not runs:
        raise InputError(f"there are no scores in {', '.join(map(str, paths))}")
    return comparable(labels_kept(merged(runs), only), leave_out)


def reference_of(runs: Sequence[Run], label: str | None) -> Run | None:
    """Return the run with this label, or None for no label."""
    return labels_kept(runs, [label])[0] if label else None


def _is_table(path: Path) -> bool:
    """Return whether a file is one json object over several lines, rather than json lines of scores."""
    if path.suffix != ".json" and ".json." not in path.name:
        return False
    try:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        return not (isinstance(json.loads(first), dict) and "task" in json.loads(first))
    except (OSError, ValueError, IndexError):
        return True
