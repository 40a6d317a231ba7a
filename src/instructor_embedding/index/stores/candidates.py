"""Approximate search over vectors in a file: by their signs, or by a graph of USearch.

Both are derived from the vectors and made in memory by the process that searches; what they return is compared again
with the vectors themselves. A graph in a file is never opened: loaders of graphs trust the offsets in them.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.extras import need
from instructor_embedding.index.store import Float32

_BLOCK = 2**14
_LINKS, _BUILDING, _SEARCHING = 24, 200, 200  # of a row in the graph; candidates when a row is added, of a query


class Candidates(Protocol):
    """Rows that may be the nearest; an object belongs to one field."""

    per_result: int  # candidates that are compared again, for each result

    def near(self, rows: Float32, query: Float32, size: int) -> NDArray[np.int64]:
        """Return the indices of `size` rows near a query, rising; rows have been appended at most since the last call.

        Parameters
        ----------
        rows : float32 of shape (n, dim)
            Of unit norm, memory-mapped.
        query : float32 of shape (dim,)
        size : int
            At most n.
        """


class Signs:
    """Compares the signs of the values, 32 times smaller than the values, with all rows."""

    per_result = 16

    def __init__(self) -> None:
        self._bits = np.empty((0, 0), np.uint64)

    def near(self, rows: Float32, query: Float32, size: int) -> NDArray[np.int64]:
        """See `Candidates`."""
        target = _signs(query[None])
        bits = self._bits if len(self._bits) else np.empty((0, target.shape[1]), np.uint64)
        blocks = [_signs(np.asarray(rows[at : at + _BLOCK])) for at in range(len(bits), len(rows), _BLOCK)]
        self._bits = bits = np.concatenate([bits, *blocks]) if blocks else bits
        distances = np.empty(len(bits), np.uint16)
        for at in range(0, len(bits), _BLOCK):
            distances[at : at + _BLOCK] = np.bitwise_count(bits[at : at + _BLOCK] ^ target).sum(1, dtype=np.uint16)
        return np.sort(np.argpartition(distances, size - 1)[:size]).astype(np.int64)


class Graph:
    """A graph of USearch (HNSW) over 16-bit values."""

    per_result = 4

    def __init__(self) -> None:
        self._library: Any = need("usearch.index", "an index with a graph in memory")
        self._graph: Any = None

    def near(self, rows: Float32, query: Float32, size: int) -> NDArray[np.int64]:
        """See `Candidates`; the first call adds all rows, later ones those that are new."""
        if self._graph is None:
            self._graph = self._library.Index(
                ndim=rows.shape[1], metric="ip", dtype="f16", connectivity=_LINKS, expansion_add=_BUILDING
            )
        for at in range(len(self._graph), len(rows), _BLOCK):
            block = np.ascontiguousarray(rows[at : at + _BLOCK])
            self._graph.add(np.arange(at, at + len(block), dtype=np.uint64), block)
        self._graph.expansion_search = max(_SEARCHING, size)
        keys = self._graph.search(np.ascontiguousarray(query), size).keys
        return np.sort(np.asarray(keys).astype(np.int64))


def _signs(rows: Float32) -> NDArray[np.uint64]:
    """Return the signs of vectors as words of 64 bits, (n, words)."""
    packed = np.packbits(rows > 0, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
