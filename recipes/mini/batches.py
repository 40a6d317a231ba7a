"""Batches of texts with targets, for distillation: similar lengths together, some of them after an instruction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import read as read_triples
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.tokens import TextTokenizer
from recipes.mini.teacher import Targets
from recipes.mini.wording import LABEL_WORDS, Wording

TOKENS = 8192  # of a step, instructions not counted
WINDOW, BANDS = 8, 4  # texts of so many steps are drawn together; each step takes so many bands of similar lengths
INSTRUCTED = 0.35  # share of the texts that have an instruction
HELD_BACK = 2000  # texts that are not trained on
_BLOCK = 65_536


@dataclass(frozen=True)
class Batch:
    """The texts of a step.

    Attributes
    ----------
    rows : int array of shape (n,)
        Indices of the texts in `Targets`.
    packed : Packed
        Texts of one length are adjacent.
    tokens : int64 tensor of shape (states,)
        Index in ``packed.ids`` of each token whose state is stored.
    """

    rows: NDArray[np.int64]
    packed: Packed
    tokens: Tensor


class Batches:
    """Draws batches; the batches of an epoch depend on its number alone, so that a training resumes inside it."""

    def __init__(
        self, targets: Targets, tokens: TextTokenizer, instructions: list[str], seed: int = 0, size: int | None = None
    ) -> None:
        self.targets = targets
        self.size = size or TOKENS
        self.tokens = tokens
        self.instructions = instructions
        self.lengths = _lengths(targets.texts, tokens)
        order = np.random.default_rng(seed).permutation(len(targets.texts))
        self.held_back, self.trained = order[:HELD_BACK], order[HELD_BACK:]

    def epoch(self, number: int, first: int = 0, *, by_group: bool = False) -> Iterator[Batch]:
        """Yield the batches of one pass over the texts, from the batch with index `first`.

        Parameters
        ----------
        number, first : int
        by_group : bool
            Batches of one group each, for targets that compare the texts of a batch.
        """
        random = np.random.default_rng(number)
        for index, rows in enumerate(self._orders(random, by_group)):
            if index >= first:
                wording = Wording(np.random.default_rng([number, index]))
                yield self.batch(rows, [wording.base(self.instructions, INSTRUCTED) for _ in rows])

    def _orders(self, random: np.random.Generator, by_group: bool) -> Iterator[NDArray[np.int64]]:
        rows = random.permutation(self.trained)
        if by_group:
            groups: dict[str, list[int]] = defaultdict(list)
            for row in rows.tolist():
                groups[self.targets.groups[row]].append(row)
            batches = [batch for own in groups.values() for batch in self._split(np.array(own), self.size)]
            random.shuffle(batches)
            yield from batches
            return
        for window in self._split(rows, WINDOW * self.size):
            # texts of one length attend to each other's tokens in one call; bands mix lengths within a step
            bands = self._split(window[np.argsort(self.lengths[window], kind="stable")], self.size // BANDS)
            random.shuffle(bands)
            for first in range(0, len(bands), BANDS):
                yield np.concatenate(bands[first : first + BANDS])

    def _split(self, rows: NDArray[np.int64], tokens: int) -> list[NDArray[np.int64]]:
        """Split texts into consecutive groups of about `tokens` tokens."""
        ends = np.cumsum(self.lengths[rows])
        return np.split(rows, np.searchsorted(ends, np.arange(tokens, ends[-1], tokens)))

    def batch(self, rows: NDArray[np.int64], instructions: list[str]) -> Batch:
        """Return the batch of these texts with these instructions."""
        pairs = [
            Pair(instruction, self.targets.texts[row]) for instruction, row in zip(instructions, rows, strict=True)
        ]
        packed = self.tokens.pack(pairs)
        order = np.argsort(packed.lengths, kind="stable")
        rows, packed = rows[order], packed.take(order)
        # the tokens of the text are the last ones before EOS, whatever precedes them
        first = packed.starts[1:] - 1 - self.lengths[rows]
        tokens = [
            start + self.targets.positions_of(row) for start, row in zip(first.tolist(), rows.tolist(), strict=True)
        ]
        return Batch(rows, packed, torch.from_numpy(np.concatenate(tokens)))


def _lengths(texts: list[str], tokens: TextTokenizer) -> NDArray[np.int64]:
    """Return the number of tokens of each text, without EOS."""
    counts = [tokens.count([Pair("", text) for text in texts[at : at + _BLOCK]]) for at in range(0, len(texts), _BLOCK)]
    return np.concatenate(counts).astype(np.int64) - 1


def instructions_of(triples: Path) -> list[str]:
    """Return the instructions of triples that request no label: those under which a text has the teacher's vector."""
    instructions = {side.instruction for triple in read_triples(triples) for side in triple[:3]}
    return sorted(text for text in instructions if text and not LABEL_WORDS.search(text))
