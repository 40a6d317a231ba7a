"""Temporary: the two stages of the pipeline until they land in `engine.pipeline`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from instructor_embedding.engine import encode as old
from instructor_embedding.model.packed import Packed


@dataclass(frozen=True)
class Tokenized:
    """As in engine.pipeline."""

    packed: Packed
    index: Any
    full: Any
    kept: Any


def tokenize(pairs: Any, tokens: Any, truncate: str = "warn") -> Tokenized:
    """As in engine.pipeline."""
    batch = old._tokenize(pairs, tokens)
    return Tokenized(batch.packed, batch.where, batch.full, batch.kept)


def run(backend: Any, packed: Packed, budget: int) -> Any:
    """As in engine.pipeline."""
    return old._run(old._Tokenized(packed, np.arange(len(packed))), backend, budget, 0)


def join(batches: Sequence[Packed]) -> Packed:
    """As Packed.join."""
    lengths = np.concatenate([batch.lengths for batch in batches])
    starts = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=starts[1:])
    ids, skip, full = (np.concatenate([getattr(b, n) for b in batches]) for n in ("ids", "skip", "full"))
    return Packed(ids, starts, skip, full)
