"""Search among codes: all are scored by their codes, then the best candidates are rescored."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from instructor_embedding.errors import InputError
from instructor_embedding.quantization.codes import VectorQuantizer
from instructor_embedding.vectors import Float32, Ids, checked, top, unit

_CHUNK = 16384  # codes that are scored together, to bound memory
_POPULATION = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)  # set bits of each byte


def search_codes(
    queries: npt.ArrayLike,
    codes: npt.NDArray[Any],
    quantizer: VectorQuantizer,
    k: int = 10,
    *,
    oversampling: int = 4,
    vectors: npt.NDArray[Any] | None = None,
) -> tuple[Float32, Ids]:
    """Return the documents nearest to each query, searched among their codes.

    Use it where all codes fit into memory; with an index of faiss or usearch request ``oversampling * k`` candidates
    and call `rescore`.

    Parameters
    ----------
    queries : float of shape (q, dim)
        As the model returns them, not quantized.
    codes : int8, uint8 or bits of shape (n, width)
        As `quantizer` encodes them.
    quantizer : VectorQuantizer
    k : int
        Documents per query; fewer where there are fewer.
    oversampling : int
        Candidates that are rescored, as a multiple of `k`; 1 for no rescoring beyond the order of the `k` best.
    vectors : array of shape (n, dim), optional
        The vectors, float32 or float16; a memory map (``np.load(..., mmap_mode="r")``) is read at the candidates' rows
        alone. Default: candidates are rescored with their decoded codes.

    Returns
    -------
    scores : float32 of shape (q, k)
        Cosines in descending order.
    ids : int64 of shape (q, k)
        Rows of `codes`.

    Raises
    ------
    InputError
        A shape does not fit, or `k` or `oversampling` is below 1.
    """
    rows = checked(queries, "queries", quantizer.dimension)
    for name, value in (("k", k), ("oversampling", oversampling)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"{name} must be an integer of at least 1, got {value!r}")
    quantizer.decode(codes[:1])  # an error for codes of another quantizer
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
    """Sort the candidates of each query by cosine and return the best `k`.

    Use it after a search in an index of codes: ``rescore(queries, faiss_index.search(bits, 40)[1], vectors=vectors)``.

    Parameters
    ----------
    queries : float of shape (q, dim)
    candidates : int of shape (q, c)
        Rows of `vectors` or `codes`; -1, as faiss returns it, is not a candidate.
    k : int
    quantizer, codes
        Decoded where there are no `vectors`.
    vectors : array of shape (n, dim), optional

    Returns
    -------
    scores, ids
        As `search_codes` returns them; -inf and -1 where there are too few candidates.

    Raises
    ------
    InputError
        Neither `vectors` nor `quantizer` and `codes` are given, or a shape does not fit.
    """
    rows, indices = checked(queries, "queries"), np.asarray(candidates)
    if indices.ndim != 2 or len(indices) != len(rows):
        raise InputError(f"candidates must be of shape ({len(rows)}, c), got {indices.shape}")
    size = min(k, indices.shape[1])
    scores, ids = np.full((len(rows), size), -np.inf, np.float32), np.full((len(rows), size), -1, np.int64)
    for row, (query, own) in enumerate(zip(rows, indices, strict=True)):
        own = own[own >= 0]
        if len(own):
            near = _vectors(own, quantizer, codes, vectors)
            cosines = unit(checked(near, "vectors", len(query))) @ unit(query[None])[0]
            order = np.argsort(-cosines, kind="stable")[:size]
            scores[row, : len(order)], ids[row, : len(order)] = cosines[order], own[order]
    return scores, ids


def _vectors(
    indices: npt.NDArray[Any],
    quantizer: VectorQuantizer | None,
    codes: npt.NDArray[Any] | None,
    vectors: npt.NDArray[Any] | None,
) -> Any:
    """Return the vectors of some rows, or their decoded codes."""
    if vectors is not None:
        return vectors[indices]
    if quantizer is None or codes is None:
        raise InputError("rescore needs vectors=, or quantizer= and codes=")
    return quantizer.decode(codes[indices])


def overlap(ids: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """Return the share of the expected neighbors that are among `ids`, 0 to 1; both int of shape (q, k)."""
    shared = [len(np.intersect1d(a, b)) / len(b) for a, b in zip(ids, expected, strict=True)]
    return float(np.mean(shared))


def _best(queries: Float32, codes: npt.NDArray[Any], quantizer: VectorQuantizer, size: int) -> Ids:
    """Return the rows of the codes nearest to each query, by the codes alone: (q, size).

    The best candidates are merged chunk by chunk, so memory is bounded by the chunk and not by the number of codes.
    """
    binary = quantizer.precision == "binary"
    targets: Any = quantizer.encode(queries) if binary else unit(queries)
    best = np.empty((len(queries), 0), np.float32)
    ids = np.empty((len(queries), 0), np.int64)
    for first in range(0, len(codes), _CHUNK):
        chunk = codes[first : first + _CHUNK]
        scores = -_hamming(targets, chunk) if binary else targets @ unit(quantizer.decode(chunk)).T
        best = np.concatenate([best, scores.astype(np.float32)], axis=1)
        numbers = np.arange(first, first + len(chunk))
        ids = np.concatenate([ids, np.broadcast_to(numbers, (len(ids), len(chunk)))], axis=1)
        chosen = top(best, size)
        best, ids = np.take_along_axis(best, chosen, 1), np.take_along_axis(ids, chosen, 1)
    return ids


def _hamming(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Return the number of bits in which rows differ: (n, bytes) and (m, bytes) to (n, m)."""
    return np.stack([_bits(row[None] ^ b) for row in a])


def _bits(words: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    if hasattr(np, "bitwise_count"):
        # 8 bytes at once where rows are multiples of them
        aligned = words.shape[1] % 8 == 0
        counts = np.bitwise_count(np.ascontiguousarray(words).view(np.uint64) if aligned else words)
        return np.asarray(counts.sum(1, dtype=np.int32))
    return np.asarray(_POPULATION[words].sum(1, dtype=np.int32))
