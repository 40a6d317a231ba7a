"""A lane: one model, and what the queue computes with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from instructor_embedding.engine.pipeline import tokenize
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Int32, Packed
from instructor_embedding.model.tokens import TextTokenizer

Input: TypeAlias = Pair | Packed
CHARACTERS_PER_TOKEN = 4  # English text under the tokenizer of T5


@dataclass(eq=False)
class Lane:
    """What the queue has to know about a model.

    Parameters
    ----------
    name : str
        The model's name, for metrics.
    tokens : TextTokenizer
    compute : callable
        From `Packed` to one row per text; in most lanes the second stage of the pipeline.
    budget : int
        Tokens of one batch.
    """

    name: str
    tokens: TextTokenizer
    compute: Callable[[Packed], Any]
    budget: int

    def estimate(self, item: Input) -> int:
        """Estimate the tokens of an input without tokenizing it."""
        if isinstance(item, Packed):
            return len(item.ids)
        return min(self.tokens.max_length, (len(item.instruction) + len(item.text)) // CHARACTERS_PER_TOKEN + 2)

    def tokenized(self, inputs: Sequence[Input]) -> tuple[Packed, Any, Int32, Int32]:
        """Tokenize inputs of one kind; return the distinct texts, the index of each input's text, and its lengths."""
        if isinstance(inputs[0], Packed):
            packed = Packed.join([item for item in inputs if isinstance(item, Packed)])
            return packed, np.arange(len(packed)), packed.full, packed.lengths
        batch = tokenize([item for item in inputs if isinstance(item, Pair)], self.tokens, "quiet")
        return batch.packed, batch.index, batch.full, batch.kept
