"""Vectors as arrays: the check, the unit norm, cosines and nearest neighbors that everything else uses.

A vector of norm 0 is left unchanged: it has the cosine 0 with every vector, and no function divides by 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.errors import InputError

Float32 = NDArray[np.float32]
Ids = NDArray[np.int64]

_BLOCK = 2**24  # scores in memory at a time
_SAFE = (np.float32(1e-15), np.float32(1e15))  # norms whose squares are far from the ends of float32


def checked(values: Any, name: str = "vectors", dimension: int | None = None) -> Float32:
    """Return vectors as float32 of shape (n, dim), after a check.

    Use it on what users, files or other libraries give.

    Parameters
    ----------
    values : array, tensor or list of them
        Of shape (n, dim).
    name : str
        What errors call it.
    dimension : int, optional
        The dimensions that are expected.

    Raises
    ------
    InputError
        It is not a table of finite values, has no dimensions, or other ones than expected.

    Examples
    --------
    >>> checked([[1, 2], [3, 4]]).dtype
    dtype('float32')
    """
    if isinstance(values, (list, tuple)) and any(hasattr(value, "detach") for value in values):
        values = [_array(value) for value in values]
    try:
        rows = np.asarray(_array(values), np.float32)
    except (TypeError, ValueError):
        raise InputError(
            f"{name} must be values of shape (n, dim), all rows of one length; got {type(values).__name__}"
        ) from None
    if rows.ndim != 2 or rows.shape[1] == 0:
        hint = f"; a single vector is {name}[None]" if rows.ndim == 1 else ""
        raise InputError(f"{name} must be of shape (n, dim), got {rows.shape}{hint}")
    if dimension is not None and rows.shape[1] != dimension:
        raise InputError(f"{name} have {rows.shape[1]} dimensions, but {dimension} are expected")
    finite = np.isfinite(rows).all(1)
    if not finite.all():
        raise InputError(f"{name} hold values that are not finite, the first in row {int(np.argmin(finite))}")
    return rows


def norms(rows: Any) -> Float32:
    """Return the Euclidean norm of each row of an array or a sparse matrix, float32 of shape (n,)."""
    lengths: Float32
    if hasattr(rows, "tocsr"):
        lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(1), np.float32)).ravel()
        return lengths
    with np.errstate(over="ignore", under="ignore"):
        lengths = np.linalg.norm(rows, axis=1).astype(np.float32, copy=False)
    # the squares of very large and very small values leave float32
    unsafe = ~((lengths > _SAFE[0]) & (lengths < _SAFE[1]))
    if unsafe.any():
        lengths = lengths.copy()
        lengths[unsafe] = np.linalg.norm(np.asarray(rows[unsafe], np.float64), axis=1)
    return lengths


def unit(rows: Any) -> Any:
    """Return vectors scaled to unit norm (L2-normalized); a zero vector stays zero.

    Parameters
    ----------
    rows : float32 of shape (n, dim), or a scipy sparse matrix
        Finite, see `checked`.

    Returns
    -------
    float32 of shape (n, dim), or a sparse matrix

    Examples
    --------
    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = norms(rows)
    if hasattr(rows, "tocsr"):
        scaled = rows.tocsr().copy()
        scaled.data = scaled.data / np.repeat(np.where(lengths > 0, lengths, 1), np.diff(scaled.indptr))
        return scaled
    return rows / np.where(lengths > 0, lengths, np.float32(1))[:, None]


def cosines(a: Any, b: Any | None = None) -> Float32:
    """Return the cosine of each row of `a` with each row of `b`, or of `a` itself.

    Parameters
    ----------
    a, b : float32 of shape (n, dim) and (m, dim)

    Returns
    -------
    float32 of shape (n, m)
    """
    left = unit(a)
    return _dot(left, left if b is None else unit(b))


def paired_cosines(a: Any, b: Any) -> Float32:
    """Return the cosine of row i of `a` with row i of `b`, float32 of shape (n,)."""
    left, right = unit(a), unit(b)
    if hasattr(left, "multiply"):
        return np.asarray(left.multiply(right).sum(1), np.float32).ravel()
    cosines_: Float32 = np.einsum("nd,nd->n", left, right)
    return cosines_


def top(scores: NDArray[Any], k: int) -> Ids:
    """Return the columns of the `k` largest scores of each row, best first; of equal scores the lower column.

    Parameters
    ----------
    scores : array of shape (n, m)
    k : int
        At most m columns are returned.

    Returns
    -------
    int64 of shape (n, min(k, m))
    """
    size = scores.shape[1]
    k = min(k, size)
    if k == size:
        return np.argsort(-scores, axis=1, kind="stable").astype(np.int64, copy=False)
    index = np.argpartition(-scores, k - 1, axis=1)[:, :k] if k else np.empty((len(scores), 0), np.int64)
    taken = np.take_along_axis(scores, index, 1)
    order = np.lexsort((index, -taken), axis=1)
    index = np.take_along_axis(index, order, 1)
    if k:
        # a partition takes any of those that equal the last one; a full sort takes the first
        tied = np.flatnonzero((scores >= taken.min(1, keepdims=True)).sum(1) > k)
        index[tied] = np.argsort(-scores[tied], axis=1, kind="stable")[:, :k]
    return index.astype(np.int64, copy=False)


def nearest_blocks(
    queries: Any, rows: Any, k: int, *, exclude_self: bool = False
) -> Iterator[tuple[Ids, Float32, Ids]]:
    """Yield (query indices, scores, row indices) of the nearest rows, for blocks of queries, in bounded memory.

    Shapes are (b,), (b, k) and (b, k); otherwise as `nearest`.
    """
    count, size = queries.shape[0], rows.shape[0]
    step = max(1, _BLOCK // max(1, size))
    for first in range(0, count, step):
        index = np.arange(first, min(first + step, count))
        scores = _dot(queries[first : first + step], rows)
        if exclude_self:
            scores[np.arange(len(index)), index] = -np.inf
        best = top(scores, min(k, size - exclude_self))
        yield index, np.take_along_axis(scores, best, 1), best


def nearest(queries: Any, rows: Any, k: int, *, exclude_self: bool = False) -> tuple[Float32, Ids]:
    """Return the `k` rows with the largest dot product with each query, exactly.

    With rows of unit norm, see `unit`, these are the nearest by cosine.

    Parameters
    ----------
    queries : float32 of shape (q, dim), or a sparse matrix
    rows : float32 of shape (n, dim), or a sparse matrix
    k : int
        Fewer are returned where there are fewer.
    exclude_self : bool
        `queries` are `rows`, and a row is not its own neighbor.

    Returns
    -------
    scores : float32 of shape (q, k)
        Falling.
    index : int64 of shape (q, k)
        Of equal scores the lower index comes first.

    Examples
    --------
    >>> scores, index = nearest(np.eye(3, dtype=np.float32)[:1], np.eye(3, dtype=np.float32), 2)
    >>> index.tolist()
    [[0, 1]]
    """
    width = max(0, min(k, rows.shape[0] - exclude_self))
    scores = np.empty((queries.shape[0], width), np.float32)
    index = np.empty((queries.shape[0], width), np.int64)
    for block, values, best in nearest_blocks(queries, rows, width, exclude_self=exclude_self):
        scores[block], index[block] = values, best
    return scores, index


def _dot(a: Any, b: Any) -> Float32:
    product = a @ b.T
    return np.asarray(product.toarray() if hasattr(product, "toarray") else product, np.float32)


def _array(values: Any) -> Any:
    """Return a tensor as an array, on the CPU and in float32; other values unchanged."""
    return values.detach().cpu().float().numpy() if hasattr(values, "detach") else values
