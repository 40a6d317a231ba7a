"""The matrix instruction x labeling: its cells, its margins, and what the paraphrases and the control add."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from instructor_embedding.evaluation.following.measure import METRICS, standard_error
from instructor_embedding.evaluation.following.run import BENCHMARK, NONE, SHUFFLED
from instructor_embedding.evaluation.score import Score


@dataclass(frozen=True)
class Figure:
    """A value with its standard error, both in points of percent."""

    value: float
    error: float

    def __str__(self) -> str:
        """Return both, such as ``"81.2 ±1.3"``."""
        return f"{self.value:.1f} ±{self.error:.1f}"


@dataclass(frozen=True)
class Matrix:
    """How well each labeling is recovered under each instruction, by one metric.

    Parameters
    ----------
    name, model, metric : str
        The set, the model, one of ``linear``, ``nearest``, ``v_measure``.
    labelings : list of str
        The columns, and the first rows; ``none`` and ``shuffled`` follow.
    cells : dict
        (row, column) to `Figure`.
    chance : dict
        Labeling to the share of its most frequent label, in percent.
    gains : dict
        Labeling to its own instruction's figure minus the mean under the other labelings' instructions.
    over_none : dict
        Labeling to its own instruction's figure minus that without an instruction.
    paraphrases : dict
        Labeling to the lowest and the highest value over all wordings of its own instruction.
    """

    name: str
    model: str
    metric: str
    labelings: list[str]
    cells: dict[tuple[str, str], Figure]
    chance: dict[str, float]
    gains: dict[str, Figure]
    over_none: dict[str, Figure]
    paraphrases: dict[str, tuple[float, float]]

    @property
    def rows(self) -> list[str]:
        """The rows in order."""
        known = {row for row, _ in self.cells}
        return [*self.labelings, *(row for row in (NONE, SHUFFLED) if row in known)]

    @property
    def gain(self) -> Figure:
        """The mean of the gains: the one figure of the set. 0: the instruction changes nothing that matters."""
        errors = [figure.error for figure in self.gains.values()]
        value = float(np.mean([figure.value for figure in self.gains.values()]))
        return Figure(value, float(np.sqrt(np.square(errors).sum()) / len(errors)))

    @property
    def wins(self) -> int:
        """How many labelings are recovered best under their own instruction."""
        return sum(
            self.cells[name, name].value > max(self.cells[row, name].value for row in self.rows if row != name)
            for name in self.labelings
        )

    def table(self) -> list[list[str]]:
        """Return the matrix as rows of text, the header first; the diagonal in brackets."""
        lines = [["instruction for", *self.labelings]]
        for row in self.rows:
            cells = [str(self.cells[row, name]) for name in self.labelings]
            lines.append(
                [row, *(f"[{cell}]" if row == name else cell for cell, name in zip(cells, self.labelings, strict=True))]
            )
        lines.append(["chance", *(f"{self.chance[name]:.1f}" for name in self.labelings)])
        lines.append(["own - others", *(str(self.gains[name]) for name in self.labelings)])
        lines.append(["own - none", *(str(self.over_none[name]) for name in self.labelings)])
        spans = [self.paraphrases.get(name) for name in self.labelings]
        if all(span is not None for span in spans):
            lines.append(["own, all wordings", *(f"{span[0]:.1f} to {span[1]:.1f}" for span in spans if span)])
        return lines


def of_scores(scores: Iterable[Score], metrics: Sequence[str] = METRICS) -> list[Matrix]:
    """Return the matrices in some scores, one for each model, set and metric; other scores are passed over."""
    groups: dict[tuple[str, ...], list[Score]] = {}
    for score in scores:
        if score.config.get("benchmark") == BENCHMARK:
            settings, model = score.config["settings"], score.config["model"]
            identity = (
                *map(str, model.values()),
                str(score.config["data"]),
                str(settings["splits"]),
                str(settings["seed"]),
            )
            groups.setdefault(identity, []).append(score)
    return [_matrix(group, metric) for group in groups.values() for metric in metrics]


def _matrix(scores: Sequence[Score], metric: str) -> Matrix:
    main = {_position(score): score for score in scores if score.config["settings"]["wording"] == 0}
    labelings = list(dict.fromkeys(column for _, column in main))
    # a run that was interrupted lacks rows: its matrix has the labelings that are complete
    labelings = [name for name in labelings if all((row, name) in main for row in [*labelings, NONE])]
    gains, over_none = {}, {}
    for name in labelings:
        others = [main[row, name] for row in labelings if row != name]
        gains[name] = _difference(main[name, name], others, metric)
        over_none[name] = _difference(main[name, name], [main[NONE, name]], metric)
    paraphrases = {}
    for name in labelings:
        values = [_figure(score, metric).value for score in scores if _position(score) == (name, name)]
        if len(values) > 1:
            paraphrases[name] = (min(values), max(values))
    cells = {position: _figure(score, metric) for position, score in main.items() if position[1] in labelings}
    chance = {name: 100 * main[name, name].config["metrics"]["chance"] for name in labelings}
    data = scores[0].config["data"]["path"]
    return Matrix(data, scores[0].model, metric, labelings, cells, chance, gains, over_none, paraphrases)


def _position(score: Score) -> tuple[str, str]:
    return score.config["settings"]["instruction_for"], score.config["settings"]["labeling"]


def _figure(score: Score, metric: str) -> Figure:
    metrics = score.config["metrics"]
    return Figure(100 * metrics[metric], 100 * metrics[f"{metric}_error"])


def _difference(own: Score, others: Sequence[Score], metric: str) -> Figure:
    """Return own minus the mean of others; in pairs where the splits are stored, else with errors added up."""
    value = _figure(own, metric).value - float(np.mean([_figure(other, metric).value for other in others]))
    repeats: list[Any] = [score.config.get("repeats", {}).get(metric) for score in (own, *others)]
    if all(repeats):
        pairs = np.array(repeats[0]) - np.mean(repeats[1:], axis=0)
        return Figure(value, 100 * standard_error(pairs, metric))
    errors = [_figure(other, metric).error for other in others]
    return Figure(value, float(np.hypot(_figure(own, metric).error, np.sqrt(np.square(errors).sum()) / len(errors))))
