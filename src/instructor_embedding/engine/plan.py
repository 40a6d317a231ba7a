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


def bucket(tokens: int) -> int:
    """Return `tokens` rounded up so that few counts exist: to a multiple of 128, and of a sixteenth of its size."""
    step = max(128, 1 << max(0, tokens.bit_length() - 5))
    return max(1, -(-tokens // step)) * step


def padded_length(length: int) -> int:
    """Return the length that attention pads a text to: multiples of 16, from 128 on of an eighth of its size."""
    step = max(16, 1 << max(0, length.bit_length() - 4))
    return -(-length // step) * step
