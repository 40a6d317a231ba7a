"""The original's batches: record indices of one task each, in its order, for one process or many.

In-batch negatives of another task differ from the positives by their task alone, which teaches nothing, so a batch
never mixes tasks (paper, section 2.3).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instructor_embedding.errors import InputError

Numbers = NDArray[np.integer]
_CHUNK = 2**20


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of one epoch on one rank; ``for numbers in batches`` yields int arrays of shape (size,).

    Attributes
    ----------
    size : int
        Records per batch on this rank.
    dropped : dict of int to int
        Records of each task that are in no batch; empty where all are used.
    """

    size: int
    dropped: dict[int, int]
    _starts: Numbers = field(repr=False)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Numbers]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> Numbers:
        """Return the record indices of one batch, int64 of shape (size,)."""
        start = int(self._starts[index])
        return np.arange(start, start + self.size)


def original_windows(
    tasks: ArrayLike, size: int, *, seed: int = 42, max_examples: int | None = None, rank: int = 0, world: int = 1
) -> Batches:
    """Return the batches that the original's ``train.py`` forms, in its order.

    Use it to repeat a training of the original; it never shuffles records. The file
    is split into windows of ``size * world`` records in order; windows of two tasks and the short last one are dropped;
    the windows are shuffled once with ``random.seed(seed)``, and every epoch has the same order.

    Parameters
    ----------
    tasks : int array of shape (n,)
    size : int
        ``per_device_train_batch_size``.
    seed : int
        ``--seed``.
    max_examples : int, optional
        ``--max_examples``: use the first ``max_examples // (size * world)`` windows after the shuffle.
    rank, world : int
        `world` is the original's number of GPUs; each rank takes its share of every window.

    Raises
    ------
    InputError
        An argument is out of range.
    """
    numbers, total = _checked(tasks, size, rank, world)
    if max_examples is not None and max_examples < total:
        raise InputError(f"max_examples={max_examples} is less than one batch of {total} records")
    count = len(numbers) // total
    step = max(1, _CHUNK // total)
    starts: list[int] = []
    dropped: Counter[int] = Counter(np.asarray(numbers[count * total :]).tolist())
    for first in range(0, count, step):
        block = np.asarray(numbers[first * total : min(first + step, count) * total]).reshape(-1, total)
        mixed = (block != block[:, :1]).any(axis=1)
        starts += ((first + np.flatnonzero(~mixed)) * total).tolist()
        dropped.update(block[mixed].ravel().tolist())
    random.Random(seed).shuffle(starts)
    if max_examples is not None:
        used, unused = starts[: max_examples // total], starts[max_examples // total :]
        for start in unused:
            dropped[int(numbers[start])] += total
        starts = used
    return Batches(size, dict(dropped), np.array(starts, np.int64) + rank * size)


def _checked(tasks: ArrayLike, size: int, rank: int, world: int) -> tuple[Numbers, int]:
    # asanyarray keeps a memory map a memory map
    numbers = np.asanyarray(tasks)
    if numbers.ndim != 1 or not (np.issubdtype(numbers.dtype, np.integer) or len(numbers) == 0):
        raise InputError(f"tasks must be integers of shape (n,), got {numbers.dtype} of shape {numbers.shape}")
    for name, value in (("size", size), ("world", world)):
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be an integer of at least 1, got {value!r}")
    if not isinstance(rank, int) or not 0 <= rank < world:
        raise InputError(f"rank must be from 0 to world - 1 = {world - 1}, got {rank!r}")
    return numbers, size * world
