"""Packed: the token ids of several texts back to back, without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Packed:
    """Token ids of `n` texts back to back; text `i` is ``ids[starts[i]:starts[i + 1]]``.

    Use it wherever a batch passes from one module to the next; a backend that needs padding calls `padded`.

    Parameters
    ----------
    ids : int32 of shape (tokens,)
        Token ids, instruction included, each text closed by the EOS token.
    starts : int32 of shape (n + 1,)
        Where each text starts; the last entry is the number of tokens.
    skip : int32 of shape (n,)
        Leading tokens left out of the mean: the instruction's. Always less than the text's length.
    full : int32 of shape (n,)
        Length before truncation; more than `lengths` where a text was truncated.
    """

    ids: Int32
    starts: Int32
    skip: Int32
    full: Int32

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.skip)

    @property
    def lengths(self) -> Int32:
        """Tokens of each text, int32 of shape (n,)."""
        return np.diff(self.starts)

    def take(self, order: npt.NDArray[np.intp]) -> Packed:
        """Return the texts whose indices are in `order`, packed again."""
        lengths = self.lengths[order]
        starts = np.zeros(len(order) + 1, np.int32)
        np.cumsum(lengths, out=starts[1:])
        # position of every token: the start of its text in self, plus its offset inside the text
        position = np.repeat(self.starts[order] - starts[:-1], lengths) + np.arange(starts[-1], dtype=np.int32)
        return Packed(self.ids[position], starts, self.skip[order], self.full[order])

    @classmethod
    def join(cls, batches: Sequence[Packed]) -> Packed:
        """Return the texts of several batches in one, in order.

        Use it to compute the texts of many requests, or shards, in one run.

        Examples
        --------
        >>> Packed.join([Packed.of([[5, 1]], [0]), Packed.of([[6, 7, 1], [1]], [2, 0])]).starts.tolist()
        [0, 2, 5, 6]
        """
        if not batches:
            return cls.of([], [])
        starts = np.zeros(sum(map(len, batches)) + 1, np.int32)
        np.cumsum(np.concatenate([batch.lengths for batch in batches]), out=starts[1:])
        ids, skip, full = (
            np.concatenate([getattr(batch, name) for batch in batches]) for name in ("ids", "skip", "full")
        )
        return cls(ids, starts, skip, full)

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Yield (first text, number of texts, their length) for each run of neighbors of equal length."""
        lengths = self.lengths
        edges = np.flatnonzero(np.diff(lengths)) + 1
        bounds = [0, *edges.tolist(), len(lengths)]
        for first, last in pairwise(bounds):
            if last > first:
                yield first, last - first, int(lengths[first])

    def padded(self, pad_id: int = 0) -> tuple[Int32, Int32]:
        """Return (ids, mask), both int32 of shape (n, longest), padded on the right."""
        lengths = self.lengths
        mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
        ids = np.full(mask.shape, pad_id, np.int32)
        ids[mask] = self.ids
        return ids, mask.astype(np.int32)

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], skip: Sequence[int], full: Sequence[int] | None = None) -> Packed:
        """Pack rows of token ids; `full` defaults to their lengths."""
        lengths = np.fromiter(map(len, rows), np.int32, len(rows))
        starts = np.zeros(len(rows) + 1, np.int32)
        np.cumsum(lengths, out=starts[1:])
        ids = np.fromiter((token for row in rows for token in row), np.int32, int(starts[-1]))
        return cls(ids, starts, np.asarray(skip, np.int32), lengths if full is None else np.asarray(full, np.int32))
