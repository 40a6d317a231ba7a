"""Batches under a token budget, from lengths alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Order = npt.NDArray[np.intp]


def plan(lengths: npt.NDArray[np.int32], budget: int) -> list[Order]:
    """Split texts into batches of at most `budget` tokens each, texts of similar length together, longest first.

    A text longer than the budget is a batch of its own.

    Parameters
    ----------
    lengths : int32 of shape (n,)
        Tokens of each text.
    budget : int
        Tokens of a batch.

    Returns
    -------
    list of int arrays
        Each text's index is in exactly one of them.

    Examples
    --------
    >>> [batch.tolist() for batch in plan(np.array([3, 9, 4, 2], np.int32), budget=7)]
    [[1], [2, 0], [3]]
    """
    order = np.argsort(-lengths, kind="stable")
    batches, first, used = [], 0, 0
    for position, length in enumerate(lengths[order].tolist()):
        if used + length > budget and position > first:
            batches.append(order[first:position])
            first, used = position, 0
        used += length
    if first < len(order):
        batches.append(order[first:])
    return batches
