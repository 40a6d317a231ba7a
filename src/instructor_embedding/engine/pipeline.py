"""The path from pairs to vectors: tokenize, then run; everything else composes these two.

`encode` puts them in a row for texts of any number: windows of texts go through one after the other, so that the
tokens of one window are in memory beside the vectors, and the next window is tokenized while this one is computed.
Inside a window, equal texts are computed once, and batches are planned over true token counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from instructor_embedding.engine.backend import Backend, StatesBackend, Vectors, as_numpy
from instructor_embedding.engine.plan import Order, plan
from instructor_embedding.engine.truncation import Truncation
from instructor_embedding.errors import InputError, VectorError
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32, Int32, Packed
from instructor_embedding.model.tokens import TextTokenizer

WINDOW = 1024  # texts planned together
TOKENS_PER_TEXT = 32  # what batch_size counts as one text: the budget of a run is batch_size times this


def budget_of(batch_size: Any) -> int:
    """Return the token budget of one run for a user's `batch_size`.

    Raises
    ------
    InputError
        It is not an integer of at least 1.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise InputError(f"batch_size must be an integer of at least 1, got {batch_size!r}")
    return int(batch_size) * TOKENS_PER_TEXT


@dataclass(frozen=True)
class Tokenized:
    """Texts as token ids, equal ones once.

    Parameters
    ----------
    pairs : list of Pair
        The n texts, in order.
    packed : Packed
        The distinct texts, in the order of their first appearance.
    index : int of shape (n,)
        The row of `packed` that each text is.
    full : int32 of shape (n,)
        Tokens of each text before truncation; of very long texts a lower bound, see `TextTokenizer.pack`.
    kept : int32 of shape (n,)
        Tokens of each text that are encoded.
    """

    pairs: list[Pair]
    packed: Packed
    index: Order
    full: Int32
    kept: Int32


@dataclass(frozen=True)
class Window:
    """Some consecutive texts with their vectors.

    Parameters
    ----------
    pairs : list of Pair
    vectors : float32 of shape (n, dim)
        A numpy array, or a tensor on the backend's device.
    full, kept : int32 of shape (n,)
        Tokens of each text before and after truncation.
    states : list, optional
        States of each text's tokens, float32 of shape (kept, d_model), where they were requested.
    """

    pairs: list[Pair]
    vectors: Vectors
    full: Int32
    kept: Int32
    states: list[Any] | None = None


def tokenize(pairs: Sequence[Pair], tokens: TextTokenizer, truncate: str = "warn") -> Tokenized:
    """Tokenize pairs, equal ones once, under one policy for long texts.

    Raises
    ------
    TruncationError
        ``truncate="error"`` and a text is too long.
    """
    policy = Truncation(truncate, tokens.max_length)
    batch = _tokenized(pairs, tokens)
    policy.check(batch.full, batch.kept, _counter(batch, tokens))
    policy.warn()
    return batch


def run(backend: Backend, packed: Packed, budget: int, index_of: Callable[[int], int] = int) -> Vectors:
    """Compute the vectors of packed texts in batches of at most `budget` tokens; returns float32 of shape (n, dim).

    Raises
    ------
    VectorError
        A vector is zero, infinite or not a number; `index_of` gives the index by which the message names its text.
    """
    rows = _Rows(len(packed), backend.dimension)
    for order in plan(packed.lengths, _limited(budget, backend)):
        rows.put(order, backend.run(packed.take(order)))
    return _checked(rows.values, index_of)


def run_states(
    backend: StatesBackend, packed: Packed, budget: int, index_of: Callable[[int], int] = int
) -> tuple[list[Any], Vectors]:
    """Compute each text's token states, float32 of shape (tokens, d_model), and the vectors; otherwise as `run`."""
    rows = _Rows(len(packed), backend.dimension)
    states: list[Any] = [None] * len(packed)
    for order in plan(packed.lengths, _limited(budget, backend)):
        batch = packed.take(order)
        hidden, vectors = backend.states(batch)
        rows.put(order, vectors)
        for row, start, stop in zip(order, batch.starts[:-1], batch.starts[1:], strict=True):
            states[row] = hidden[start:stop]
    return states, _checked(rows.values, index_of)


def encode(
    pairs: Iterable[Pair],
    tokens: TextTokenizer,
    backend: Backend,
    budget: int,
    truncate: str = "warn",
    window: int = WINDOW,
) -> Iterator[Window]:
    """Encode pairs in order, a window at a time, in memory that depends on `window` and `budget` alone.

    Parameters
    ----------
    pairs : iterable of Pair
        Read one window ahead of the vectors.
    tokens, backend
        What turns pairs into ids, and ids into vectors.
    budget : int
        Tokens of one run of the backend.
    truncate : str
        ``"warn"``: truncate long texts and warn once, after the last window; ``"error"``: raise before the window that
        has one is computed; ``"quiet"``: truncate.
    window : int
        Texts planned together.

    Raises
    ------
    TruncationError
        ``truncate="error"`` and a text is too long.
    VectorError
        A vector is zero, infinite or not a number.
    """
    first = 0
    for batch in tokenized(pairs, tokens, truncate, window):
        vectors = run(backend, batch.packed, budget, _index_of(batch, first))
        if len(batch.packed) < len(batch.index):
            vectors = vectors[batch.index]
        yield Window(batch.pairs, vectors, batch.full, batch.kept)
        first += len(batch.pairs)


def stream(
    pairs: Iterable[Pair], tokens: TextTokenizer, backend: Backend, batch_size: Any, truncate: str, window: Any
) -> Iterator[Float32]:
    """Return an iterator of the vectors of pairs one by one, float32 of shape (dim,), after a check of arguments.

    Raises
    ------
    InputError
        ``batch_size`` or `window` is not an integer of at least 1, or the policy is unknown.
    """
    budget = budget_of(batch_size)
    if not isinstance(window, int) or window < 1:
        raise InputError(f"window must be an integer of at least 1, got {window!r}")
    Truncation(truncate, tokens.max_length)
    windows = encode(pairs, tokens, backend, budget, truncate, window)
    return (row for window in windows for row in as_numpy(window.vectors))


def encode_states(
    pairs: Iterable[Pair], tokens: TextTokenizer, backend: StatesBackend, budget: int, truncate: str = "warn"
) -> Iterator[Window]:
    """Encode pairs as `encode` does; windows also hold the states of each text's tokens."""
    first = 0
    for batch in tokenized(pairs, tokens, truncate):
        states, vectors = run_states(backend, batch.packed, budget, _index_of(batch, first))
        yield Window(batch.pairs, vectors[batch.index], batch.full, batch.kept, [states[row] for row in batch.index])
        first += len(batch.pairs)


def tokenized(
    pairs: Iterable[Pair], tokens: TextTokenizer, truncate: str = "warn", window: int = WINDOW
) -> Iterator[Tokenized]:
    """Tokenize pairs a window at a time, each one while its predecessor is in use, under one policy."""
    policy = Truncation(truncate, tokens.max_length)
    source = _chunks(pairs, window)
    ahead = _Ahead()
    try:
        pending = _following(source, tokens, None)
        while pending is not None:
            batch = pending.result()
            policy.check(batch.full, batch.kept, _counter(batch, tokens))
            pending = _following(source, tokens, ahead)
            yield batch
    except GeneratorExit:
        policy.warn()
        raise
    finally:
        ahead.close()
    policy.warn()


class _Ahead:
    """A thread that tokenizes, started when a second window comes: none is started for one text."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, chunk: list[Pair], tokens: TextTokenizer) -> Future[Tokenized]:
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        try:
            return self._pool.submit(_tokenized, chunk, tokens)
        except RuntimeError:  # the interpreter is shutting down, or the system has no thread to give
            return _at_once(chunk, tokens)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _following(source: Iterator[list[Pair]], tokens: TextTokenizer, ahead: _Ahead | None) -> Future[Tokenized] | None:
    """Return the next window, tokenized at once or ahead; what reading it raises is raised by its ``result()``."""
    try:
        chunk = next(source, None)
    except Exception as error:  # raised in order, after the vectors of the texts before it
        failed: Future[Tokenized] = Future()
        failed.set_exception(error)
        return failed
    if not chunk:
        return None
    return _at_once(chunk, tokens) if ahead is None else ahead.submit(chunk, tokens)


def _at_once(chunk: list[Pair], tokens: TextTokenizer) -> Future[Tokenized]:
    done: Future[Tokenized] = Future()
    try:
        done.set_result(_tokenized(chunk, tokens))
    except Exception as error:
        done.set_exception(error)
    return done


def _tokenized(pairs: Sequence[Pair], tokens: TextTokenizer) -> Tokenized:
    rows: dict[Pair, int] = {}
    index = np.array([rows.setdefault(pair, len(rows)) for pair in pairs], np.intp)
    packed = tokens.pack(list(rows))
    return Tokenized(list(pairs), packed, index, packed.full[index], packed.lengths[index])


def _counter(batch: Tokenized, tokens: TextTokenizer) -> Callable[[int], int]:
    """Return what counts the tokens of one of the texts exactly."""
    return lambda index: int(tokens.count([batch.pairs[index]])[0])


def _index_of(batch: Tokenized, first: int) -> Callable[[int], int]:
    """Return what gives, for a row of distinct texts, the index of its first text among all texts of the call."""
    return lambda row: first + int(np.flatnonzero(batch.index == row)[0])


def _chunks(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    """Yield the pairs in lists of `size`; when reading fails, those read so far come first."""
    chunk: list[Pair] = []
    try:
        for pair in pairs:
            chunk.append(pair)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


class _Rows:
    """Vectors of batches, put in order: an array or, where the backend gives tensors, a tensor on their device."""

    def __init__(self, count: int, dimension: int) -> None:
        self._shape = (count, dimension)
        self.values: Vectors = None if count else np.empty(self._shape, np.float32)

    def put(self, order: Order, vectors: Vectors) -> None:
        if self.values is None:
            on_device = hasattr(vectors, "new_empty")
            self.values = vectors.new_empty(self._shape) if on_device else np.empty(self._shape, np.float32)
        self.values[order] = vectors


def _limited(budget: int, backend: Backend) -> int:
    most = getattr(backend, "max_tokens", None)
    budget *= getattr(backend, "batch_scale", 1)  # a GPU is idle with as few tokens as keep a CPU busy
    return budget if most is None else min(budget, most)


def _checked(vectors: Vectors, index_of: Callable[[int], int]) -> Vectors:
    """Return `vectors`, or say which text has one that is zero or not finite."""
    if isinstance(vectors, np.ndarray):
        squares = np.einsum("nd,nd->n", vectors, vectors)
    else:
        squares = (vectors * vectors).sum(1).cpu().numpy()
    wrong = ~np.isfinite(squares) | (squares == 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        kind = "a zero vector" if squares[row] == 0 else "values that are not finite"
        raise VectorError(
            f"the model computed {kind} for sentences[{index_of(row)}]; its weights are corrupt, "
            "or its dtype is too narrow for them (float16 is for T5): load it again with dtype='float32'"
        )
    return vectors
