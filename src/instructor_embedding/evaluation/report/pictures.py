"""The pictures of a report: scores by data set, score against speed, matrices of instruction following."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from instructor_embedding.evaluation.following import matrix as following
from instructor_embedding.evaluation.following import picture
from instructor_embedding.evaluation.report.runs import Run
from instructor_embedding.evaluation.report.sections import speed_of, with_own_tasks
from instructor_embedding.extras import need
from instructor_embedding.files.picture import write

_MOST = 12  # runs that a bar chart stays readable with
_COLORS = ("#3b6ea5", "#c8553d", "#5b8c5a", "#8a6bb1", "#c99a2e", "#4fa3a5", "#8c8c8c", "#b5658f")


def draw(runs: Sequence[Run], folder: str | os.PathLike[str]) -> list[Path]:
    """Draw what the runs have figures for, and return the files: scores.png, speed.png, following.png."""
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    need("matplotlib", "pictures of a report").use("Agg")
    plots = need("matplotlib.pyplot", "pictures of a report")
    files = []
    scored = [run for run in with_own_tasks(runs) if run.entries]
    if scored and len(scored) <= _MOST:
        files.append(_scores(plots, scored, home / "scores.png"))
    if sum(speed_of(run) is not None for run in scored) > 0:
        files.append(_speed(plots, scored, home / "speed.png"))
    matrices = [matrix for run in runs for matrix in following.of_scores(run.following) if matrix.labelings]
    if matrices:
        files.append(picture.draw(matrices, home / "following.png"))
    return files


def _scores(plots: Any, runs: Sequence[Run], path: Path) -> Path:
    tasks = sorted({task for run in runs for task in run.entries}, key=str.lower)
    height = 0.9 / len(runs)
    figure, axis = plots.subplots(figsize=(8, 1 + 0.16 * len(tasks) * max(2, len(runs))), layout="constrained")
    for number, run in enumerate(runs):
        rows = [row for row, task in enumerate(tasks) if task in run.entries]
        entries = [run.entries[tasks[row]] for row in rows]
        axis.barh(
            [row + (number - (len(runs) - 1) / 2) * height for row in rows],
            [entry.value for entry in entries],
            height,
            xerr=[entry.error or 0 for entry in entries],
            label=run.label,
            color=_COLORS[number % len(_COLORS)],
            hatch="//" if run.published else None,
            edgecolor="white",
            error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
        )
    axis.set_yticks(range(len(tasks)), tasks, fontsize=8)
    axis.set_ylim(len(tasks) - 0.4, -0.6)
    axis.set_xlabel("score, percent")
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(3, len(runs)), fontsize=8, frameon=False)
    return _saved(plots, figure, path)


def _speed(plots: Any, runs: Sequence[Run], path: Path) -> Path:
    measured = [run for run in runs if speed_of(run) is not None]
    common = set.intersection(*(set(run.entries) for run in measured))
    figure, axis = plots.subplots(figsize=(7, 4.5), layout="constrained")
    for number, run in enumerate(measured):
        names = common or run.entries.keys()
        score = fmean(run.entries[task].value for task in names)
        size = run.size.get("bytes", 0) / 1e6
        color = _COLORS[number % len(_COLORS)]
        axis.scatter(speed_of(run), score, s=60 + 4 * size**0.8, color=color, alpha=0.75, edgecolor="white")
        label = run.label + (f"\n{size:.0f} MB" if size else "")
        axis.annotate(label, (speed_of(run), score), xytext=(8, 6), textcoords="offset points", fontsize=8)
    axis.set_xscale("log")
    axis.margins(x=0.25, y=0.15)
    axis.set_xlabel("texts per second, median over the data sets (log scale)")
    axis.set_ylabel(f"mean over {len(common) or 'its'} data sets, percent")
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    return _saved(plots, figure, path)


def _saved(plots: Any, figure: Any, path: Path) -> Path:
    write(figure, path)
    plots.close(figure)
    return path
