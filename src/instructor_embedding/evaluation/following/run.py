"""Measure how well each labeling is recovered under each instruction; one `Score` for each of these pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from instructor_embedding.encoders import PairEncoder
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.cost import Clock
from instructor_embedding.evaluation.following.data import LabeledTexts, instructions_for
from instructor_embedding.evaluation.following.measure import METRICS, recovery, standard_error
from instructor_embedding.evaluation.instructions import Chosen
from instructor_embedding.evaluation.score import Results, Score
from instructor_embedding.instruction import Pair

BENCHMARK, CATEGORY = "Following", "InstructionFollowing"
NONE, SHUFFLED = "none", "shuffled"


@dataclass(frozen=True)
class Condition:
    """What the texts are encoded with.

    Parameters
    ----------
    row : str
        The labeling that the instruction asks for, ``"none"`` or ``"shuffled"``.
    wording : int
        0: the main wording; from 1: its paraphrases.
    instructions : list of str
        One for all texts, or, where they are shuffled, those that are drawn from.
    columns : list of str
        The labelings that are measured.
    """

    row: str
    wording: int
    instructions: Sequence[str]
    columns: Sequence[str]


def conditions(instructions: Mapping[str, Sequence[str]], paraphrases: bool = True) -> Iterator[Condition]:
    """Yield what a set is encoded with: each labeling's instruction, none, the control, the paraphrases."""
    columns = list(instructions)
    for labeling, wordings in instructions.items():
        yield Condition(labeling, 0, wordings[:1], columns)
    yield Condition(NONE, 0, [""], columns)
    yield Condition(SHUFFLED, 0, [wordings[0] for wordings in instructions.values()], columns)
    for labeling, wordings in instructions.items() if paraphrases else ():
        for number, wording in enumerate(wordings[1:], 1):
            yield Condition(labeling, number, [wording], [labeling])


def evaluate(
    model: CachedEncoder | PairEncoder | Any,
    data: LabeledTexts,
    *,
    instructions: Mapping[str, str] | None = None,
    paraphrases: bool = True,
    splits: int = 10,
    seed: int = 0,
    results: Results | None = None,
) -> list[Score]:
    """Measure whether a model's vectors follow the instruction.

    Parameters
    ----------
    model : CachedEncoder, INSTRUCTOR, SentenceTransformer or object with encode(pairs)
    data : LabeledTexts
        `data.built_in()`, or a user's from `data.read`.
    instructions : mapping, optional
        Labeling to instruction; default: the first of `data.WORDINGS`.
    paraphrases : bool
        Also measure each labeling under the other wordings of its instruction.
    splits : int
        Stratified halves that the classifier and the clusters are repeated on.
    seed : int
        Of the splits, and of the shuffled instructions.
    results : Results, optional
        Scores in it are not computed again; new ones are added.

    Returns
    -------
    list of Score
        One for each condition and labeling; `matrix.of_scores` sums them up. The value is the accuracy of the linear
        classifier; ``config["metrics"]`` has the nearest neighbor's, the V-measure, standard errors and chance.
    """
    encoder = CachedEncoder.of(model)
    results = Results() if results is None else results
    scores = []
    for condition in conditions(instructions_for(data, instructions), paraphrases):
        configs = {column: _config(encoder, data, condition, column, splits, seed) for column in condition.columns}
        known = {column: results.find(_task(data, column), config) for column, config in configs.items()}
        if any(score is None for score in known.values()):
            clock = Clock(encoder.cost)
            vectors = encoder.encode(_pairs(data, condition, seed), f"{data.name} {condition.row}")
            for column, config in configs.items():
                if known[column] is None:
                    measured = recovery(vectors, data.labels[column], splits=splits, seed=seed)
                    known[column] = score = _score(_task(data, column), measured, config, clock)
                    results.add(score)
        scores += [score for score in known.values() if score is not None]
    return scores


def _task(data: LabeledTexts, column: str) -> str:
    return f"{data.name}/{column}"


def _pairs(data: LabeledTexts, condition: Condition, seed: int) -> list[Pair]:
    if len(condition.instructions) == 1:
        return [Pair(condition.instructions[0], text) for text in data.texts]
    drawn = np.random.default_rng(seed).integers(0, len(condition.instructions), len(data.texts))
    return [Pair(condition.instructions[number], text) for number, text in zip(drawn, data.texts, strict=True)]


def _config(
    encoder: CachedEncoder, data: LabeledTexts, condition: Condition, column: str, splits: int, seed: int
) -> dict[str, Any]:
    text = condition.instructions[0] if len(condition.instructions) == 1 else " | ".join(condition.instructions)
    settings = {
        "instruction_for": condition.row,
        "wording": condition.wording,
        "labeling": column,
        "splits": splits,
        "seed": seed,
    }
    source = {"path": data.name, "revision": data.digest, "texts": len(data.texts)}
    chosen = {"text": Chosen(text, f"following ({condition.row})")}
    return encoder.config(BENCHMARK, CATEGORY, chosen, source, settings, "following")


def _score(task: str, measured: Any, config: dict[str, Any], clock: Clock) -> Score:
    metrics = {"chance": measured.chance}
    for metric in METRICS:
        metrics[metric] = float(measured.values(metric).mean())
        metrics[f"{metric}_error"] = standard_error(measured.values(metric), metric)
    repeats = {
        metric: [round(float(value), 6) for value in measured.values(metric)] for metric in ("linear", "v_measure")
    }
    complete = config | clock.circumstances(metrics) | {"repeats": repeats}
    return Score(task, "linear", round(100 * metrics["linear"], 4), len(measured.nearest), complete)
