"""Which examples a prompt shows: the most similar ones that fit, by cosines of mean-centered vectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from instructor_embedding.evaluation.prompt_retrieval.language_models import LanguageModel
from instructor_embedding.evaluation.prompt_retrieval.task import Example, PromptTask
from instructor_embedding.vectors import Float32, unit

_SAME = 1 - 1e-6  # float32 cosines above it count as 1


def retrieve(
    task: PromptTask,
    pool: Sequence[Example],
    tests: Sequence[Example],
    pool_vectors: Float32,
    test_vectors: Float32,
    language_model: LanguageModel | None,
    budget: int,
    head: str = "",
) -> list[list[int]]:
    """Return for each item the indices of the examples to show, the most similar last.

    Parameters
    ----------
    pool, tests : list of Example
    pool_vectors, test_vectors : float32 of shape (pool, dim) and (tests, dim)
    language_model : LanguageModel, optional
        Its tokenizer counts; without one, four bytes count as a token.
    budget : int
        Tokens of a prompt.
    head : str
        The start of every prompt.
    """
    count = language_model.count if language_model is not None else _quarter_bytes
    # the published budget has a margin for the separators; the context of a small model does not
    between = task.between if budget < task.budget else ""
    lengths = [count(task.render(example, True) + between) for example in pool]
    cosines = centered(test_vectors) @ centered(pool_vectors).T
    start = count(head) if head else 0
    return [
        select(row, lengths, budget - start - count(test.prompt), task.longest, task.at_most, task.skip_same)
        for row, test in zip(cosines, tests, strict=True)
    ]


def centered(vectors: Float32) -> Float32:
    """Return vectors, float32 of shape (n, dim), minus their mean and L2-normalized; a zero vector stays zero."""
    rows: Float32 = unit(vectors - vectors.mean(0, keepdims=True))
    return rows


def select(
    cosines: Any,
    lengths: Sequence[int],
    budget: int,
    longest: int | None = None,
    at_most: int | None = None,
    skip_same: bool = False,
) -> list[int]:
    """Return the indices of the examples to show, the most similar last.

    Examples are taken in order of similarity: one that is too long is skipped, and the first that exceeds what is left
    of the budget ends the selection.

    Parameters
    ----------
    cosines : float32 of shape (pool,)
    lengths : list of int
        Tokens of each example.
    budget : int
        Tokens of all examples together.
    longest, at_most, skip_same
        As in `PromptTask`.

    Examples
    --------
    >>> select(np.array([0.1, 0.9, 0.5]), [4, 4, 4], budget=8)
    [2, 1]
    """
    chosen: list[int] = []
    for index in np.argsort(-np.asarray(cosines), kind="stable")[:at_most].tolist():
        if (skip_same and cosines[index] >= _SAME) or (longest is not None and lengths[index] > longest):
            continue
        budget -= lengths[index]
        if budget < 0:
            break
        chosen.append(index)
    return chosen[::-1]


def prompt_of(task: PromptTask, examples: Iterable[Example], test: Example, head: str = "") -> str:
    """Return the prompt of an item: examples with their answers, then the item without."""
    shown = [task.render(example, True) for example in examples]
    return head + task.between.join([*shown, task.render(test, False)])


def _quarter_bytes(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)
