"""Search among codes: a first look at all of them, then a second, finer one at the best."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from instructor_embedding.errors import InputError
from instructor_embedding.model.packed import Float32
from instructor_embedding.quantization.vectors import VectorQuantizer, table, unit

_CHUNK = 16384  # codes that are compared together, to bound memory
_POPULATION = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)  # bits of each byte

Ids = npt.NDArray[np.int64]


def search_codes(
    queries: npt.ArrayLike,
    codes: npt.NDArray[Any],
    quantizer: VectorQuantizer,
    k: int = 10,
    *,
    oversampling: int = 4,
    vectors: npt.NDArray[Any] | None = None,
) -> tuple[Float32, Ids]:
    """Find the documents nearest to each query among codes.

    Use it where all codes fit in memory; from an index of faiss or usearch take ``oversampling * k`` candidates
    and call `rescore`.

    Parameters
    ----------
    queries : float of shape (q, dim)
        As the model gives them, not quantized.
    codes : int8, uint8 or bits of shape (n, width)
        As `quantizer` gives them.
    quantizer : VectorQuantizer
    k : int
        Documents to find for each query; fewer where there are fewer.
    oversampling : int
        How many times `k` candidates get the finer look; 1 is none.
    vectors : array of shape (n, dim), optional
        The vectors themselves, float32 or float16, on disk if need be (``np.load(..., mmap_mode="r")``): candidates'
        rows alone are read. Default: the finer look compares the query with what the codes stand for.

    Returns
    -------
    scores : float32 of shape (q, k)
        Cosines, falling.
    ids : int64 of shape (q, k)
        Rows of `codes`.

    Raises
    ------
    InputError
        A shape does not fit, or `k` or `oversampling` is below 1.
    """
    rows = table(queries, "queries", quantizer.dimension)
    for name, value in (("k", k), ("oversampling", oversampling)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    quantizer.decode(codes[:1])  # refuses codes of another quantizer
    candidates = _best(rows, codes, quantizer, min(int(k * oversampling), len(codes)))
    return rescore(rows, candidates, k, quantizer=quantizer, codes=codes, vectors=vectors)


def rescore(
    queries: npt.ArrayLike,
    candidates: npt.NDArray[np.integer[Any]],
    k: int = 10,
    *,
    quantizer: VectorQuantizer | None = None,
    codes: npt.NDArray[Any] | None = None,
    vectors: npt.NDArray[Any] | None = None,
) -> tuple[Float32, Ids]:
    """Order each query's candidates anew and keep the best `k`.

    Use it behind an index of codes: ``rescore(queries, faiss_index.search(bits, 40)[1], 10, vectors=vectors)``.

    Parameters
    ----------
    queries : float of shape (q, dim)
    candidates : int of shape (q, c)
        Rows of `vectors` or `codes`; -1, as faiss writes it, is no candidate.
    k : int
    quantizer, codes
        Compare with what the codes stand for, where there are no `vectors`.
    vectors : array of shape (n, dim), optional

    Returns
    -------
    scores, ids
        As `search_codes` returns them; where candidates are too few, -inf and -1.

    Raises
    ------
    InputError
        Neither `vectors` nor `quantizer` and `codes` are given, or a shape does not fit.
    """
    rows, places = table(queries, "queries"), np.asarray(candidates)
    if places.ndim != 2 or len(places) != len(rows):
        raise InputError(f"candidates must be of shape ({len(rows)}, c), got {places.shape}")
    size = min(k, places.shape[1])
    scores, ids = np.full((len(rows), size), -np.inf, np.float32), np.full((len(rows), size), -1, np.int64)
    for number, (query, found) in enumerate(zip(rows, places, strict=True)):
        found = found[found >= 0]
        if len(found):
            near = _rows(found, quantizer, codes, vectors)
            cosines = unit(table(near, "vectors", len(query))) @ unit(query[None])[0]
            order = np.argsort(-cosines, kind="stable")[:size]
            scores[number, : len(order)], ids[number, : len(order)] = cosines[order], found[order]
    return scores, ids


def _rows(
    found: npt.NDArray[Any],
    quantizer: VectorQuantizer | None,
    codes: npt.NDArray[Any] | None,
    vectors: npt.NDArray[Any] | None,
) -> Any:
    """Return the vectors of some rows, or what their codes stand for."""
    if vectors is not None:
        return vectors[found]
    if quantizer is None or codes is None:
        raise InputError("rescore needs vectors=, or quantizer= and codes=")
    return quantizer.decode(codes[found])


def overlap(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """Return the part of the expected neighbors that were found, 0 to 1; both int of shape (q, k)."""
    shared = [len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, expected, strict=True)]
    return float(np.mean(shared))


def neighbors(vectors: npt.ArrayLike, k: int = 10, queries: npt.ArrayLike | None = None) -> Ids:
    """Return the rows nearest to each vector, itself left out, or to each query: int64 of shape (n or q, k)."""
    rows = unit(table(vectors, "vectors"))
    asked = rows if queries is None else unit(table(queries, "queries", rows.shape[1]))
    size = min(k, len(rows) - (queries is None))
    found = np.empty((len(asked), size), np.int64)
    for first in range(0, len(asked), 1024):
        scores = asked[first : first + 1024] @ rows.T
        if queries is None:
            scores[np.arange(len(scores)), np.arange(first, first + len(scores))] = -np.inf
        found[first : first + len(scores)] = _top(scores, size)
    return found


def _best(queries: Float32, codes: npt.NDArray[Any], quantizer: VectorQuantizer, size: int) -> Ids:
    """Return the rows of the codes nearest to each query, by the codes alone: (q, size)."""
    binary = quantizer.precision == "binary"
    asked: Any = quantizer.encode(queries) if binary else unit(queries)
    best = np.empty((len(queries), 0), np.float32)
    ids = np.empty((len(queries), 0), np.int64)
    for first in range(0, len(codes), _CHUNK):
        part = codes[first : first + _CHUNK]
        scores = -_hamming(asked, part) if binary else asked @ unit(quantizer.decode(part)).T
        best = np.concatenate([best, scores.astype(np.float32)], axis=1)
        numbers = np.arange(first, first + len(part))
        ids = np.concatenate([ids, np.broadcast_to(numbers, (len(ids), len(part)))], axis=1)
        chosen = _top(best, min(size, best.shape[1]))
        best, ids = np.take_along_axis(best, chosen, 1), np.take_along_axis(ids, chosen, 1)
    return ids


def _hamming(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Count the bits in which rows differ: (n, bytes) and (m, bytes) give (n, m)."""
    return np.stack([_bits(row[None] ^ b) for row in a])


def _bits(words: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    if hasattr(np, "bitwise_count"):
        wide = words.shape[1] % 8 == 0
        counts = np.bitwise_count(np.ascontiguousarray(words).view(np.uint64) if wide else words)
        return np.asarray(counts.sum(1, dtype=np.int32))
    return np.asarray(_POPULATION[words].sum(1, dtype=np.int32))


def _top(scores: Float32, size: int) -> Ids:
    """Return the columns of the largest scores of each row, falling; equal ones in order."""
    if size < scores.shape[1]:
        chosen = np.sort(np.argpartition(-scores, size - 1, axis=1)[:, :size], axis=1)
    else:
        chosen = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, chosen, 1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, 1).astype(np.int64)
