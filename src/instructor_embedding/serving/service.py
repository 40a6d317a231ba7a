"""The service: the models, their queue and limits; what every route works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from instructor_embedding.engine.backend import as_numpy
from instructor_embedding.engine.pipeline import run, run_states
from instructor_embedding.errors import InputError, nearest
from instructor_embedding.fingerprint import of_model
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.tokens import TextTokenizer
from instructor_embedding.serving import instructions
from instructor_embedding.serving.lane import Lane
from instructor_embedding.serving.metrics import Metrics
from instructor_embedding.serving.queue import Queue
from instructor_embedding.serving.schema import ModelFacts


class Encoder(Protocol):
    """What is served: `INSTRUCTOR`, or an encoder without torch."""

    @property
    def tokens(self) -> TextTokenizer:
        """Turns pairs into ids."""

    @property
    def backend(self) -> Any:
        """Computes packed batches."""

    @property
    def max_seq_length(self) -> int:
        """Tokens that are read of a text."""


@dataclass(frozen=True)
class Limits:
    """What a request and the queue may hold.

    Parameters
    ----------
    batch_tokens : int
        Tokens of one batch of the backend.
    client_batch : int
        Texts of a request.
    body : int
        Bytes of a request.
    queue_tokens : int
        Tokens of all requests in the queue.
    wait : float
        Seconds that a request may wait for its first batch.
    body_seconds : float
        Seconds that a client may take to send a body.
    """

    batch_tokens: int = 2048
    client_batch: int = 2048
    body: int = 32 * 2**20
    queue_tokens: int = 4 * 2**20
    wait: float = 10.0
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise InputError(f"{name} must be above 0, got {value!r}")


@dataclass(eq=False)
class Served:
    """A model and what the server does with it.

    Parameters
    ----------
    name : str
        What requests call it.
    lane : Lane
        Computes vectors.
    states : Lane or None
        Computes token states, where the backend can.
    table : dict
        Named instructions.
    normalized : bool
        The model's vectors have unit norm.
    facts : ModelFacts
    """

    name: str
    lane: Lane
    states: Lane | None
    table: instructions.Table
    normalized: bool
    facts: ModelFacts

    @property
    def tokens(self) -> TextTokenizer:
        """The model's tokenizer."""
        return self.lane.tokens

    def check_dimensions(self, requested: int | None) -> None:
        """Refuse a request for more dimensions than the model has, before anything is computed.

        Raises
        ------
        InputError
            There are fewer.
        """
        if requested is not None and requested > self.facts.dimension:
            raise InputError(f"dimensions must be at most {self.facts.dimension}, the model's own, got {requested}")


@dataclass(eq=False)
class Service:
    """Models, queue and limits of one server.

    Parameters
    ----------
    models : list of Served
        The first answers requests that name none.
    limits : Limits
    default_instruction : str, optional
        Instruction of texts that come without one.
    """

    models: Sequence[Served]
    limits: Limits = field(default_factory=Limits)
    default_instruction: str | None = None
    metrics: Metrics = field(default_factory=Metrics)
    ready: bool = False
    active: int = 0  # requests that are being answered

    def __post_init__(self) -> None:
        self.queue = Queue(self.limits.queue_tokens, self.limits.wait, self.metrics)
        self.by_name = {served.name: served for served in self.models}
        if len(self.by_name) < len(self.models):
            raise InputError("two models have the same name; write NAME=MODEL to rename one")

    def served(self, name: str | None) -> Served:
        """Return the model that a request names.

        Raises
        ------
        UnknownModelError
            There is none of that name; the message lists those there are.
        """
        if name is None:
            return self.models[0]
        if name not in self.by_name:
            known = ", ".join(self.by_name)
            raise UnknownModelError(f"model={name!r} is not served here{nearest(name, self.by_name)}; known: {known}")
        return self.by_name[name]

    async def start(self) -> None:
        """Start the queue and run each model twice: the first request is as fast as the next, and the rate is known."""
        self.queue.start()
        for served in self.models:
            pairs = [
                Pair("Represent the sentence: ", f"A text to start with, number {number}.") for number in range(32)
            ]
            for count in (1, len(pairs)):
                self.queue.rate = 0.0  # of the batch that comes, not of the slower one before it
                await self.queue.submit(served.lane, pairs[:count]).result
        self.ready = True


class UnknownModelError(InputError):
    """A request names a model that is not served."""


def served(name: str, encoder: Encoder, limits: Limits, extra: instructions.Table | None = None) -> Served:
    """Prepare an encoder: its lanes, named instructions and facts."""
    backend = encoder.backend
    lane = Lane(name, encoder.tokens, _vectors_of(backend, limits.batch_tokens), limits.batch_tokens)
    compute = _states_of(encoder, backend, limits.batch_tokens)
    states = None if compute is None else Lane(name, encoder.tokens, compute, limits.batch_tokens)
    facts = ModelFacts(
        id=name,
        dimension=backend.dimension,
        max_input_length=encoder.max_seq_length,
        precision=str(getattr(encoder, "precision", "exact")),
        fingerprint=of_model(encoder),
    )
    probe = lane.compute(encoder.tokens.pack([Pair("", "A text."), Pair("", "Another.")]))
    normalized = bool(np.allclose(np.linalg.norm(probe, axis=1), 1, atol=1e-3))
    return Served(name, lane, states, instructions.published(name) | (extra or {}), normalized, facts)


def _vectors_of(backend: Any, budget: int) -> Callable[[Packed], Any]:
    return lambda packed: as_numpy(run(backend, packed, budget))


def _states_of(encoder: Any, backend: Any, budget: int) -> Callable[[Packed], Any] | None:
    """Return what computes token states: the backend, else torch's modules, or None where there are none."""
    if not hasattr(backend, "states"):
        if not hasattr(encoder, "head"):
            return None
        from instructor_embedding.engine.backends.eager import EagerBackend

        backend = EagerBackend(encoder)
    return lambda packed: [as_numpy(rows) for rows in run_states(backend, packed, budget)[0]]
