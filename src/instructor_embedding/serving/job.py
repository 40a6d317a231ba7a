"""A request in the queue: its texts, the slices that are scheduled, and the order they get."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from instructor_embedding.errors import InstructorError
from instructor_embedding.model.packed import Int32, Packed
from instructor_embedding.serving.lane import Input, Lane

SLICE_TEXTS = 32  # texts of a request that are scheduled together
SHARE = 4  # a slice has at most 1 / SHARE of a batch's tokens


class OverloadedError(InstructorError):
    """The queue has more work than it can begin in time; `retry_after` is in seconds."""

    def __init__(self, retry_after: float, reason: str) -> None:
        self.retry_after = max(1, math.ceil(retry_after))
        super().__init__(f"the server is overloaded: {reason}; try again in {self.retry_after} s")


class DrainingError(InstructorError):
    """The server is about to stop and takes no new work."""


@dataclass(eq=False)
class Job:
    """The texts of one request, from submission to result.

    Parameters
    ----------
    lane : Lane
        The model that computes them, and what it computes.
    inputs : sequence of Pair or Packed
        A `Pair`, or one text that is already tokenized.
    truncate : bool
        Truncate texts that are too long; else the request fails with TruncationError.
    result : asyncio.Future
        Resolved in the event loop with `rows`.
    rows : list
        One item per text: float32 of shape (dim,), or of shape (tokens, d_model) for token states.
    remaining : int
        Tokens that are not computed yet, estimated.
    full, lengths : int32 of shape (n,)
        Tokens before and after truncation.
    queue_seconds, tokenize_seconds, compute_seconds : float
        Where the time went, for the reply's headers.
    """

    lane: Lane
    inputs: Sequence[Input]
    truncate: bool
    result: asyncio.Future[Job]
    remaining: int
    deadline: float
    submitted: float = field(default_factory=time.perf_counter)
    rows: list[Any] = field(init=False)
    full: Int32 = field(init=False)
    lengths: Int32 = field(init=False)
    started: bool = False
    over: bool = False  # answered, failed or abandoned: its slices are dropped
    pending: int = field(init=False)
    queue_seconds: float = 0.0
    tokenize_seconds: float = 0.0
    compute_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.pending = len(self.inputs)
        self.rows = [None] * len(self.inputs)
        self.full = np.zeros(len(self.inputs), np.int32)
        self.lengths = np.zeros(len(self.inputs), np.int32)

    @property
    def truncated(self) -> int:
        """Texts that were truncated."""
        return int((self.full > self.lengths).sum())


@dataclass(eq=False)
class Slice:
    """Some consecutive texts of a job: what is scheduled. `tokens` is an estimate until they are tokenized."""

    job: Job
    first: int
    last: int
    tokens: int
    packed: Packed | None = None
    index: Any = None


def sliced(job: Job, costs: list[int], budget: int) -> list[Slice]:
    """Split a job into slices of at most a share of the budget in estimated tokens, or of one text."""
    most = max(1, budget // SHARE)
    slices, first, tokens = [], 0, 0
    for position, cost in enumerate(costs):
        if position > first and (tokens + cost > most or position - first == SLICE_TEXTS):
            slices.append(Slice(job, first, position, tokens))
            first, tokens = position, 0
        tokens += cost
    slices.append(Slice(job, first, len(costs), tokens))
    return slices


def tags(slices: list[Slice], start: float, budget: int) -> list[float]:
    """Return each slice's tag; those that fit in one batch share the tag of the last, so that they stay together."""
    result: list[float] = []
    first, total = 0, start
    for position, slice_ in enumerate(slices):
        if position > first and total + slice_.tokens - start > budget:
            result += [total] * (position - first)
            first, start = position, total
        total += slice_.tokens
    return result + [total] * (len(slices) - first)
