"""Positives and hard negatives for sources that have none (paper, section 2.3).

Vectors are rows of length 1, see `unit`: float32 arrays of shape (n, dim), or scipy sparse matrices. Nearest neighbors
are exact, and memory is bounded by blocks. Ties fall to the lower number, so that mining is the same each time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.errors import InputError

Places = NDArray[np.intp]
Scores = NDArray[np.float32]

BLOCK = 2**24  # cells of a block of similarities


def classification(vectors: Any, labels: Sequence[str]) -> tuple[Places, Places]:
    """Find for each text the nearest of the same label, and the nearest of another label.

    Returns
    -------
    positives, negatives : int arrays of shape (n,)
        -1 where there is none.
    """
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]

    def same(rows: Places, scores: Scores) -> Scores:
        scores = np.where(codes[rows][:, None] == codes[None, :], scores, -np.inf)
        scores[np.arange(len(rows)), rows] = -np.inf
        return scores

    def other(rows: Places, scores: Scores) -> Scores:
        return np.where(codes[rows][:, None] != codes[None, :], scores, -np.inf)

    return _best(vectors, vectors, same), _best(vectors, vectors, other)


def generation(inputs: Any, outputs: Any) -> tuple[Places, Places]:
    """Find for each input x with output y the one with the highest cos(x, x') + cos(y, y'), and with the highest
    cos(x, x') - cos(y, y').

    Returns
    -------
    positives, negatives : int arrays of shape (n,)
        -1 where there is none.
    """

    def combined(sign: float) -> Any:
        def score(rows: Places, scores: Scores) -> Scores:
            scores = scores + np.float32(sign) * similarities(outputs, rows, outputs)
            scores[np.arange(len(rows)), rows] = -np.inf
            return scores

        return score

    return _best(inputs, inputs, combined(1)), _best(inputs, inputs, combined(-1))


def hard_negatives(
    queries: Any,
    positives: Any,
    numbers: Sequence[int],
    matches: Sequence[Collection[int]],
    *,
    depth: int = 32,
    same: float = 0.9,
    guard: float = 0.95,
) -> Places:
    """Find for each query the nearest text among the positives of others that is no likely match itself.

    Guards against false negatives: a candidate is passed over if it is known to match, if its cosine to the query's own
    positive is above `same`, or if its score is above `guard` times that of the positive. The last one is lifted where
    none of the candidates keeps to it.

    Parameters
    ----------
    queries, positives : vectors
        Row i of the one matches row i of the other. Their products are the scores, cosines or others; positives need
        not have length 1.
    numbers : sequence of int
        The number of each positive's text; equal texts have equal numbers.
    matches : sequence of collections of int
        For each query the numbers of the texts that must not be its negative.
    depth : int
        Candidates looked at.

    Returns
    -------
    int array of shape (n,)
        -1 where no candidate is left.
    """
    likenesses = unit(positives)
    found = np.full(len(numbers), -1, np.intp)
    for rows, places, scores in nearest(queries, positives, depth):
        own = _rowwise(queries, rows, positives, rows)
        for line, row in enumerate(rows.tolist()):
            kept = [
                n
                for n, place in enumerate(places[line].tolist())
                if scores[line, n] > 0 and numbers[place] not in matches[row]
            ]
            if not kept:
                continue
            candidates = places[line, kept]
            likeness = _rowwise(likenesses, candidates, likenesses, np.full(len(kept), row))
            apart = likeness <= same
            safe = apart & (scores[line, kept] <= guard * own[line])
            choice = np.flatnonzero(safe if safe.any() else apart)
            if len(choice):
                found[row] = candidates[choice[0]]
    return found


def unit(vectors: Any) -> Any:
    """Return what an encoder gave as rows of length 1, float32 of shape (n, dim); sparse rows stay sparse.

    Raises
    ------
    InputError
        It is no table of numbers, or holds one that is not finite.
    """
    if hasattr(vectors, "tocsr"):
        rows = vectors.tocsr()
        lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(1), np.float32)).ravel()
        scale = rows.copy()
        scale.data = rows.data / np.repeat(lengths, np.diff(rows.indptr))
        return scale
    if hasattr(vectors, "detach"):  # a tensor
        vectors = vectors.detach().cpu().float()
    try:
        rows = np.asarray(vectors, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"encode gave {type(vectors).__name__}, no vectors of one size: {error}") from None
    if rows.ndim != 2:
        raise InputError(f"encode gave an array of shape {rows.shape}; vectors must have shape (n, dim)")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise InputError(f"encode gave a vector that is not finite, for text {int(np.argmin(np.isfinite(lengths)))}")
    return rows / np.where(lengths > 0, lengths, 1)


def nearest(queries: Any, corpus: Any, count: int) -> Any:
    """Yield (rows, places, scores) for blocks of queries: the `count` nearest of the corpus, best first.

    Shapes are (b,), (b, count) and (b, count); places hold all of the corpus if it is smaller.
    """
    size = corpus.shape[0]
    count = min(count, size)
    for rows in _blocks(queries.shape[0], size):
        scores = similarities(queries, rows, corpus)
        places = (
            np.argpartition(-scores, count - 1, axis=1)[:, :count]
            if count < size
            else np.tile(np.arange(size), (len(rows), 1))
        )
        taken = np.take_along_axis(scores, places, 1)
        order = np.lexsort((places, -taken), axis=1)
        yield rows, np.take_along_axis(places, order, 1), np.take_along_axis(taken, order, 1)


def similarities(a: Any, rows: Places, b: Any) -> Scores:
    """Return the cosines of some rows of `a` with all of `b`, float32 of shape (rows, len(b))."""
    product = a[rows] @ b.T
    return np.asarray(product.toarray() if hasattr(product, "toarray") else product, np.float32)


def _best(queries: Any, corpus: Any, score: Any) -> Places:
    """Find each query's best place in the corpus by a function of (rows, cosines); -1 where all are -inf."""
    found = np.full(queries.shape[0], -1, np.intp)
    for rows in _blocks(queries.shape[0], corpus.shape[0]):
        scores = score(rows, similarities(queries, rows, corpus))
        places = scores.argmax(1)
        found[rows] = np.where(np.isneginf(scores[np.arange(len(rows)), places]), -1, places)
    return found


def _rowwise(a: Any, rows: Places, b: Any, others: Places) -> Scores:
    """Return the cosines of pairs of rows."""
    left, right = a[rows], b[others]
    product = left.multiply(right) if hasattr(left, "multiply") else left * right
    return np.asarray(product.sum(1), np.float32).ravel()


def _blocks(count: int, width: int) -> list[Places]:
    size = max(1, BLOCK // max(1, width))
    return [np.arange(first, min(first + size, count)) for first in range(0, count, size)]
