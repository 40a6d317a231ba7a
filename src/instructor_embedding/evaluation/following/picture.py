"""The matrix as a picture: one panel per metric, the diagonal framed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.evaluation.following.matrix import Matrix
from instructor_embedding.extras import need
from instructor_embedding.files import picture

_TITLES = {
    "linear": "linear classifier, accuracy",
    "nearest": "nearest neighbor, accuracy",
    "v_measure": "clusters, V-measure",
}


def draw(matrices: Sequence[Matrix], path: str | os.PathLike[str]) -> Path:
    """Draw matrices side by side, a row per set and model, and return the file.

    Colors compare the instructions within a labeling: each column runs from its lowest to its highest figure.
    """
    need("matplotlib", "a picture of instruction following").use("Agg")
    plots = need("matplotlib.pyplot", "a picture of instruction following")
    subjects = list(dict.fromkeys((matrix.model, matrix.name) for matrix in matrices))
    metrics = list(dict.fromkeys(matrix.metric for matrix in matrices))
    panels = {(matrix.model, matrix.name, matrix.metric): matrix for matrix in matrices}
    widest = max(len(matrix.labelings) for matrix in matrices)
    tallest = max(len(matrix.rows) for matrix in matrices)
    size = (len(metrics) * (1.6 + 1.1 * widest), len(subjects) * (1.2 + 0.55 * tallest))
    figure, axes = plots.subplots(len(subjects), len(metrics), figsize=size, squeeze=False, layout="constrained")
    for line, (model, name) in enumerate(subjects):
        for column, metric in enumerate(metrics):
            axis, matrix = axes[line][column], panels.get((model, name, metric))
            if matrix is None:
                axis.set_axis_off()
                continue
            _panel(axis, plots, matrix)
            axis.set_title(f"{Path(model).name} on {name}\n{_TITLES.get(metric, metric)}", fontsize=9)
            if column == 0:
                axis.set_ylabel("instruction for", fontsize=9)
            if line == len(subjects) - 1:
                axis.set_xlabel("labeling", fontsize=9)
    picture.write(figure, path)
    plots.close(figure)
    return Path(path)


def _panel(axis: Any, plots: Any, matrix: Matrix) -> None:
    rows, columns = matrix.rows, matrix.labelings
    values = np.array([[matrix.cells[row, name].value for name in columns] for row in rows])
    low, high = values.min(0), values.max(0)
    # at least five points between white and green, so that noise has no colors
    shade = (values - low) / np.maximum(high - low, 5)
    axis.imshow(shade, cmap="Greens", vmin=0, vmax=1.6, aspect="auto")
    for y, row in enumerate(rows):
        for x, name in enumerate(columns):
            cell = matrix.cells[row, name]
            weight = "bold" if row == name else "normal"
            axis.text(x, y, f"{cell.value:.1f}\n±{cell.error:.1f}", ha="center", va="center", fontsize=8, weight=weight)
            if row == name:
                frame = plots.Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=1.6)
                axis.add_patch(frame)
    axis.set_xticks(range(len(columns)), columns, fontsize=8)
    axis.set_yticks(range(len(rows)), rows, fontsize=8)
