"""The pipeline: tokenize ahead, run, put back in order.

Texts go through in windows, so that only one window's tokens are held beside the vectors.
The next window is tokenized while this one is computed.
Inside a window, texts that are exactly equal are computed once, and batches are planned over true token counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from instructor_embedding.engine.backend import Backend
from instructor_embedding.engine.plan import Order, plan
from instructor_embedding.errors import InputError, VectorError
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32, Int32, Packed
from instructor_embedding.model.tokens import TextTokenizer

WINDOW = 1024  # texts planned together
TOKENS_PER_TEXT = 32  # what batch_size counts as one text: the budget of a run is batch_size times this


def budget_of(batch_size: Any) -> int:
    """Return the tokens of one run for the `batch_size` that a user gave.

    Raises
    ------
    InputError
        It is no whole number of at least 1.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise InputError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
    return int(batch_size) * TOKENS_PER_TEXT


@dataclass(frozen=True)
class Window:
    """Vectors of some consecutive texts, and what became of the texts.

    Parameters
    ----------
    vectors : float32 of shape (n, dim)
    full : int32 of shape (n,)
        Tokens of each text before truncation.
    kept : int32 of shape (n,)
        Tokens of each text that were encoded.
    """

    vectors: Float32
    full: Int32
    kept: Int32


def encode(
    pairs: Iterable[Pair],
    tokens: TextTokenizer,
    backend: Backend,
    budget: int,
    check: Callable[[int, Int32, Int32], None] | None = None,
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
    check : callable, optional
        Called with (number of the first text, full lengths, kept lengths) of each window before it is computed;
        what it raises ends the work.
    window : int
        Texts planned together.

    Raises
    ------
    VectorError
        A vector is zero, infinite or not a number.
    """
    source = _chunks(pairs, window)
    first = 0
    with ThreadPoolExecutor(1, thread_name_prefix="tokenize") as ahead:

        def following() -> Future[_Tokenized] | None:
            try:
                chunk = next(source, None)
            except Exception as error:  # it is raised in its place, behind the vectors of the texts before it
                failed: Future[_Tokenized] = Future()
                failed.set_exception(error)
                return failed
            return ahead.submit(_tokenize, chunk, tokens) if chunk else None

        pending = following()
        while pending is not None:
            batch = pending.result()
            if check is not None:
                check(first, batch.full, batch.kept)
            pending = following()
            yield Window(_run(batch, backend, budget, first), batch.full, batch.kept)
            first += len(batch.where)


@dataclass(frozen=True)
class _Tokenized:
    """A window's distinct pairs, packed, and where each text finds its own: int of shape (n,)."""

    packed: Packed
    where: Order

    @property
    def full(self) -> Int32:
        return self.packed.full[self.where]

    @property
    def kept(self) -> Int32:
        return self.packed.lengths[self.where]


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


def _tokenize(pairs: Sequence[Pair], tokens: TextTokenizer) -> _Tokenized:
    numbers: dict[Pair, int] = {}
    where = np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs], np.intp)
    return _Tokenized(tokens.pack(list(numbers)), where)


def _run(batch: _Tokenized, backend: Backend, budget: int, first: int) -> Float32:
    """Compute each distinct text once and give every text its row."""
    packed = batch.packed
    rows = np.empty((len(packed), backend.dimension), np.float32)
    for order in plan(packed.lengths, budget):
        rows[order] = backend.run(packed.take(order))
    sizes = np.einsum("nd,nd->n", rows, rows)
    wrong = ~np.isfinite(sizes) | (sizes == 0)
    if wrong.any():
        place = int(np.flatnonzero(wrong[batch.where])[0])
        kind = "a zero vector" if sizes[batch.where[place]] == 0 else "numbers that are not finite"
        raise VectorError(
            f"the model computed {kind} for sentences[{first + place}]; its weights are broken, "
            "or its dtype is too narrow for them (float16 is for T5): load it again with dtype='float32'"
        )
    return rows if len(packed) == len(batch.where) else rows[batch.where]
