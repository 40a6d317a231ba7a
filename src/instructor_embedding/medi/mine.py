"""Positives and hard negatives for sources that have none (paper, section 2.3).

Vectors are rows of unit norm: float32 of shape (n, dim), or scipy sparse matrices. Nearest neighbors are exact, and
memory is bounded by blocks. Ties go to the lower index, so that mining is deterministic.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.vectors import nearest_blocks, unit

Indices = NDArray[np.intp]
Scores = NDArray[np.float32]

BLOCK = 2**24  # elements of a block of similarities
SAME, GUARD = 0.9, 0.95  # guards against false negatives, see `hard_negatives`


def classification(vectors: Any, labels: Sequence[str]) -> tuple[Indices, Indices]:
    """Return for each text the nearest text of its label, and the nearest of another label.

    Returns
    -------
    positives, negatives : int arrays of shape (n,)
        -1 where there is none.
    """
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]

    def same(rows: Indices, scores: Scores) -> Scores:
        scores = np.where(codes[rows][:, None] == codes[None, :], scores, -np.inf)
        scores[np.arange(len(rows)), rows] = -np.inf
        return scores

    def other(rows: Indices, scores: Scores) -> Scores:
        return np.where(codes[rows][:, None] != codes[None, :], scores, -np.inf)

    return _best(vectors, vectors, same), _best(vectors, vectors, other)


def generation(inputs: Any, outputs: Any) -> tuple[Indices, Indices]:
    """Return for each input x with output y the x' with the highest cos(x, x') + cos(y, y'), and with the highest
    cos(x, x') - cos(y, y').

    Returns
    -------
    positives, negatives : int arrays of shape (n,)
        -1 where there is none.
    """

    def combined(sign: float) -> Any:
        def score(rows: Indices, scores: Scores) -> Scores:
            scores = scores + np.float32(sign) * similarities(outputs, rows, outputs)
            scores[np.arange(len(rows)), rows] = -np.inf
            return scores

        return score

    return _best(inputs, inputs, combined(1)), _best(inputs, inputs, combined(-1))


def hard_negatives(
    queries: Any,
    positives: Any,
    ids: Sequence[int],
    matches: Sequence[Collection[int]],
    *,
    depth: int = 32,
    same: float = SAME,
    guard: float = GUARD,
) -> Indices:
    """Return for each query the nearest positive of another query that is unlikely to match it.

    Guards against false negatives: a candidate is skipped if it is known to match, if its cosine to the query's own
    positive is above `same`, or if its score is above `guard` times the score of the positive. The last guard is
    dropped for queries where it leaves no candidate.

    Parameters
    ----------
    queries, positives : vectors
        Row i of the one matches row i of the other. Scores are their dot products, cosines or others; positives need
        not have unit norm.
    ids : sequence of int
        The id of each positive's text; equal texts have equal ids.
    matches : sequence of collections of int
        For each query the ids of the texts that must not be its negative.
    depth : int
        Candidates considered.
    same, guard : float
        1 and infinity switch the guards off.

    Returns
    -------
    int array of shape (n,)
        -1 where no candidate is left.
    """
    directions = unit(positives)
    negatives = np.full(len(ids), -1, np.intp)
    for rows, scores, neighbors in nearest_blocks(queries, positives, depth):
        own = _rowwise(queries, rows, positives, rows)
        for line, row in enumerate(rows.tolist()):
            # without any overlap (a score of 0) a negative is easy, not hard
            columns = [
                column
                for column, index in enumerate(neighbors[line].tolist())
                if scores[line, column] > 0 and ids[index] not in matches[row]
            ]
            if not columns:
                continue
            candidates = neighbors[line, columns]
            likeness = _rowwise(directions, candidates, directions, np.full(len(columns), row))
            distinct = likeness <= same
            safe = distinct & (scores[line, columns] <= guard * own[line])
            allowed = np.flatnonzero(safe if safe.any() else distinct)
            if len(allowed):
                negatives[row] = candidates[allowed[0]]
    return negatives


def similarities(a: Any, rows: Indices, b: Any) -> Scores:
    """Return the cosines of some rows of `a` with all of `b`, float32 of shape (rows, len(b))."""
    scores = a[rows] @ b.T
    return np.asarray(scores.toarray() if hasattr(scores, "toarray") else scores, np.float32)


def _best(queries: Any, corpus: Any, score: Any) -> Indices:
    """Return each query's best row of the corpus by a function of (rows, cosines); -1 where all are -inf."""
    best = np.full(queries.shape[0], -1, np.intp)
    for rows in _blocks(queries.shape[0], corpus.shape[0]):
        scores = score(rows, similarities(queries, rows, corpus))
        columns = scores.argmax(1)
        best[rows] = np.where(np.isneginf(scores[np.arange(len(rows)), columns]), -1, columns)
    return best


def _rowwise(a: Any, rows: Indices, b: Any, others: Indices) -> Scores:
    """Return the dot products of pairs of rows."""
    left, right = a[rows], b[others]
    products = left.multiply(right) if hasattr(left, "multiply") else left * right
    return np.asarray(products.sum(1), np.float32).ravel()


def _blocks(count: int, width: int) -> list[Indices]:
    size = max(1, BLOCK // max(1, width))
    return [np.arange(first, min(first + size, count)) for first in range(0, count, size)]
