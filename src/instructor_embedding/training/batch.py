"""From the records of one task to what one step reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.tokens import TextTokenizer
from instructor_embedding.training.data import Drawn
from instructor_embedding.training.teacher import Teacher


@dataclass(frozen=True)
class Batch:
    """What one step reads.

    Attributes
    ----------
    packed : Packed
        For N matches the N queries, the N positives, then the M negatives; for N scored pairs the N first and the N
        second texts; else N texts.
    sizes : tuple of int
        (N, N, M), (N, N) or (N,).
    keys : three int64 tensors of shape (N,), (N,) and (M,), or None
        For matches: the same number for the same text with the same instruction, for labelled texts for the same label.
    labelled : bool
        Whether the keys are labels.
    scores : float32 of shape (N,), or None
    teacher : float32 of shape (texts, d), or None
    """

    packed: Packed
    sizes: tuple[int, ...]
    keys: tuple[Tensor, ...] | None = None
    labelled: bool = False
    scores: Tensor | None = None
    teacher: Tensor | None = None


class Collate:
    """Tokenizes the records of one task into a `Batch`.

    Parameters
    ----------
    tokens : TextTokenizer
    teacher : Teacher, optional
    skip : sequence of str
        Names or patterns of the tasks that get no vectors of the teacher.
    """

    def __init__(self, tokens: TextTokenizer, teacher: Teacher | None = None, skip: Sequence[str] = ()) -> None:
        self.tokens = tokens
        self.teacher = teacher
        self.skip = skip

    def __call__(self, records: list[Drawn]) -> Batch:
        """Return the batch of these records."""
        kind, task = records[0].kind, records[0].task
        if kind == "texts":
            sides = [[record.pairs[0] for record in records]]
        else:
            sides = [[record.pairs[side] for record in records] for side in (0, 1)]
        keys = scores = None
        if kind in ("matches", "labels"):
            sides.append([pair for record in records for pair in record.pairs[2:]])
            keys = _labels(records) if kind == "labels" else tuple(torch.tensor(_keys(side)) for side in sides)
        if kind == "scores":
            scores = torch.tensor([record.score for record in records])
        pairs = [pair for side in sides for pair in side]
        vectors = None
        if self.teacher is not None and not any(fnmatchcase(task, pattern) for pattern in self.skip):
            vectors = torch.from_numpy(self.teacher.vectors(pairs))
        sizes = tuple(map(len, sides))
        return Batch(self.tokens.pack(pairs), sizes, keys, kind == "labels", scores, vectors)


def _labels(records: Sequence[Drawn]) -> tuple[Tensor, ...]:
    """Return the labels of queries, positives and negatives."""
    return tuple(torch.tensor([record.labels[side] for record in records]) for side in range(3))


def _keys(pairs: Sequence[Pair]) -> list[int]:
    """Return a number in 64 bits for each text and its instruction, the same in every process."""
    contents = (f"{pair.instruction}\0{pair.text}".encode() for pair in pairs)
    return [
        int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True) for content in contents
    ]
