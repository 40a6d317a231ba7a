"""Robustness: how much a score depends on the wording of the instruction (paper, section on instruction robustness).

Each task is run with several paraphrases of its instruction, whose best and worst are compared, and with progressively
less detail: a detailed instruction, a simple one, the name of the data set, none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from instructor_embedding.encoders import PairEncoder
from instructor_embedding.errors import choose
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.instructions import SIDES, Fact, Instructions, published
from instructor_embedding.evaluation.mteb.run import evaluate as evaluate_tasks
from instructor_embedding.evaluation.score import Results, Score

# {what} is domain and text type, {objective} what the vectors are for
_PARAPHRASES = (
    "Represent the {what} for {objective}: ",
    "Encode the {what} for {objective}: ",
    "Embed this {what}, which is used for {objective}: ",
    "Given a {what}, produce a representation for {objective}: ",
    "A {what}, to be represented for {objective}: ",
)
_DETAIL = ("none", "dataset tag", "simple", "detailed")
VARIANTS = (*_DETAIL, *(f"paraphrase {number}" for number in range(1, len(_PARAPHRASES) + 1)))


def instruction(variant: str, task: str, category: str, side: str = "text", model: str = "large") -> str:
    """Return a variant of a task's instruction.

    Parameters
    ----------
    variant : str
        ``"none"``: empty; ``"dataset tag"``: the data set's name; ``"simple"``: what the texts are; ``"detailed"``: the
        published instruction, or the default of the task type; ``"paraphrase 1"`` to ``"paraphrase 5"``: the same
        content in other words.
    task, category, side : str
        As for `Instructions.choose`.
    model : str
        ``"base"``, ``"large"`` or ``"xl"``: whose published instruction.

    Raises
    ------
    InputError
        The variant is unknown.

    Examples
    --------
    >>> instruction("simple", "HotpotQA", "Retrieval", "query")
    'Wikipedia question: '
    """
    check([variant])
    detailed = Instructions(model=model).choose(task, category, side).instruction
    if variant == "none":
        return ""
    if variant == "dataset tag":
        return f"{_spaced(task)}: "
    if variant == "detailed":
        return detailed
    what, objective = _content(published(task, side, model), detailed)
    if variant == "simple":
        return f"{what}: "
    template = _PARAPHRASES[int(variant.rpartition(" ")[2]) - 1]
    return template.format(what=what, objective=objective or category.lower())


def check(variants: Iterable[str]) -> None:
    """Raise InputError for a variant that is not in ``VARIANTS``."""
    for variant in variants:
        choose("variant", variant, VARIANTS)


def evaluate(
    model: CachedEncoder | PairEncoder | Any,
    tasks: Iterable[Any],
    *,
    variants: Sequence[str] = VARIANTS,
    prompt: str = "large",
    results: Results | None = None,
) -> list[Score]:
    """Score a model on mteb tasks with every variant of their instructions.

    Parameters
    ----------
    model : CachedEncoder, INSTRUCTOR or object with encode(pairs)
    tasks : list of mteb tasks
        As `mteb.tasks_named` returns them.
    variants : list of str
        Of ``VARIANTS``.
    prompt : str
        Whose published instructions: ``"base"``, ``"large"`` or ``"xl"``.
    results : Results, optional
        Scores in it are not computed again; new ones are added.

    Returns
    -------
    list of Score
        One for each task and variant; ``config["sources"]`` says which. `summary` sums them up.
    """
    encoder = CachedEncoder.of(model)
    scores: list[Score] = []
    for task in tasks:
        metadata = task.metadata
        for variant in variants:
            sides = {
                side: instruction(variant, metadata.name, metadata.type, side, Instructions(model=prompt).model)
                for side in SIDES
            }
            table = Instructions({metadata.name: sides}, name=variant)
            scores += evaluate_tasks(encoder, [task], instructions=table, results=results)
    return scores


def variant_of(score: Score) -> str:
    """Return the variant that a score of `evaluate` was made with."""
    return str(next(iter(score.config["sources"].values()))).partition(" (")[0]


def summary(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Return one row per task: the value of each variant, and of the paraphrases the best, the worst and their gap.

    Parameters
    ----------
    scores : list of Score
        As `evaluate` returns them.

    Returns
    -------
    list of dict
        ``task``, the variants, ``best``, ``worst``, ``gap``; the last three where there are two paraphrases or more.
    """
    rows: dict[str, dict[str, Any]] = {}
    for score in scores:
        rows.setdefault(score.task, {"task": score.task})[variant_of(score)] = score.value
    for row in rows.values():
        values = [value for name, value in row.items() if name.startswith("paraphrase")]
        if len(values) > 1:
            row |= {"best": max(values), "worst": min(values), "gap": max(values) - min(values)}
    return list(rows.values())


def _content(fact: Fact | None, detailed: str) -> tuple[str, str]:
    """Return what the texts are and the objective of their vectors."""
    if fact is not None:
        return " ".join(word for word in (fact.domain, fact.text_type) if word), fact.objective
    match = re.fullmatch(r"represent (?:the |an? )?(.+?)(?: for (.+?))?[:;,]* *", detailed, re.I)
    return (match[1], match[2] or "") if match else ("text", "")


def _spaced(name: str) -> str:
    """Return a data set's name as words: ``"Banking 77 Classification"``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Z][a-z])", " ", name)
