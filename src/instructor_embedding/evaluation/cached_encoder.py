"""CachedEncoder: a model under evaluation, with its name, its fingerprint and the vectors it has computed so far."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from instructor_embedding.errors import InputError, VectorError, choose
from instructor_embedding.evaluation import fingerprint
from instructor_embedding.evaluation.cost import Cost, size_of
from instructor_embedding.evaluation.instructions import Chosen
from instructor_embedding.evaluation.vector_cache import VectorCache
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32

LIBRARIES = ("instructor", "sentence-transformers")
_CHUNK = 4096  # texts per update of the progress bar and per write to the cache


class PairEncoder(Protocol):
    """What can be evaluated: any object whose `encode` takes a list of `Pair` and returns rows, (n, dim)."""

    def encode(self, pairs: list[Pair], /) -> Any:
        """Return a vector for each pair."""


class CachedEncoder:
    """A model with a name, a fingerprint and a cache of vectors, through which every evaluation encodes.

    A pair is encoded once, by this object or, with a `cache` in a folder, by an earlier run.

    Parameters
    ----------
    model : object
        An `INSTRUCTOR`, a ``SentenceTransformer`` (which gets the instruction as its prompt), or any object with
        ``encode(list of Pair)``.
    name : str
        What reports call it.
    batch_size : int
        Passed to models of the first two kinds.
    cache : VectorCache, optional
        Default: one in memory.
    progress : bool
        Show a progress bar on stderr.
    options : mapping, optional
        How the model was loaded where that changes its vectors: ``{"precision": "int8"}``. Part of every score.

    Raises
    ------
    InputError
        The object has no `encode`.
    """

    def __init__(
        self,
        model: PairEncoder | Any,
        name: str = "",
        *,
        batch_size: int = 32,
        cache: VectorCache | None = None,
        progress: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        if not callable(getattr(model, "encode", None)):
            raise InputError(f"{type(model).__name__} cannot be evaluated: it has no encode(pairs)")
        self.model: Any = model
        self.name = name or type(model).__name__
        self.progress = progress
        self.batch_size = batch_size
        self.options = dict(options or {})
        self.instructed = not _is_sentence_transformer(model)
        self.cost = Cost()
        self._kind = _kind(model)
        self._cache = VectorCache() if cache is None else cache
        self._fingerprint = ""
        self._size: dict[str, int] | None = None

    @classmethod
    def of(cls, model: CachedEncoder | PairEncoder | Any) -> CachedEncoder:
        """Return the model itself where it is a `CachedEncoder` already, else a new one around it."""
        return model if isinstance(model, cls) else cls(model)

    @property
    def fingerprint(self) -> str:
        """A digest of the model and its options, computed once."""
        if not self._fingerprint:
            digest = fingerprint.of_model(self.model if self._kind else self)
            self._fingerprint = "+".join([digest, *(f"{name}={value}" for name, value in sorted(self.options.items()))])
        return self._fingerprint

    @property
    def size(self) -> dict[str, int]:
        """``parameters`` and ``bytes`` of the weights, as far as the model tells them; computed once."""
        if self._size is None:
            self._size = size_of(self.model)
        return self._size

    def config(
        self,
        benchmark: str,
        category: str,
        chosen: Mapping[str, Chosen],
        data: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return the `config` of a `Score` of this model; `chosen` is the instruction of each side."""
        return {
            "benchmark": benchmark,
            "category": category,
            "model": {"name": self.name, "fingerprint": self.fingerprint, **self.options},
            "instructions": {side: choice.instruction for side, choice in chosen.items()},
            "sources": {side: choice.source for side, choice in chosen.items()},
            "data": dict(data),
            "settings": dict(settings),
            "versions": fingerprint.versions(),
            "size": self.size,
        }

    def encode(self, pairs: Sequence[Pair], label: str = "encode") -> Float32:
        """Return the vectors of some pairs, float32 of shape (n, dim).

        Raises
        ------
        VectorError
            The model returned another number of rows, or values that are not finite.
        """
        if not pairs:
            raise InputError("there is nothing to encode")
        rows_of: dict[Pair, int] = {}
        index = np.array([rows_of.setdefault(pair, len(rows_of)) for pair in pairs], np.intp)
        distinct = list(rows_of)
        keys = [self._cache.key(self.fingerprint if self._cache.shared else "", pair) for pair in distinct]
        cached = [row for row, key in enumerate(keys) if key in self._cache]
        missing = sorted(set(range(len(distinct))) - set(cached))
        table = np.empty((len(distinct), 0), np.float32)
        if cached:
            vectors = self._cache.get([keys[row] for row in cached])
            table = np.empty((len(distinct), vectors.shape[1]), np.float32)
            table[cached] = vectors
        with tqdm(total=len(missing), unit=" texts", desc=label, disable=not self.progress, leave=False) as bar:
            for start in range(0, len(missing), _CHUNK):
                rows = missing[start : start + _CHUNK]
                vectors = self._checked([distinct[row] for row in rows])
                self._cache.add([keys[row] for row in rows], vectors)
                if not table.shape[1]:
                    table = np.empty((len(distinct), vectors.shape[1]), np.float32)
                table[rows] = vectors
                bar.update(len(rows))
        return table if len(table) == len(index) else table[index]

    def count_tokens(self, pairs: Sequence[Pair]) -> Sequence[int]:
        """Return the tokens of each pair, instruction and EOS token included.

        Raises
        ------
        InputError
            The model cannot count them.
        """
        count = getattr(self.model, "count_tokens", None)
        if count is None:
            raise InputError(f"{self.name} cannot count tokens, which these settings need; use settings='instructed'")
        return [int(tokens) for tokens in count(list(pairs))]

    def _checked(self, pairs: list[Pair]) -> Float32:
        start = time.perf_counter()
        vectors = np.asarray(self._run(pairs), np.float32)
        self.cost.add(len(pairs), time.perf_counter() - start)
        if vectors.ndim != 2 or len(vectors) != len(pairs):
            raise VectorError(f"{self.name} returned vectors of shape {vectors.shape} for {len(pairs)} texts")
        if not np.isfinite(vectors).all():
            raise VectorError(f"{self.name} returned values that are not finite")
        return vectors

    def _run(self, pairs: list[Pair]) -> Any:
        if self._kind == "instructor":
            return self.model.encode(pairs, batch_size=self.batch_size, truncate="quiet")
        if self._kind == "sentence-transformers":
            return _prompted(self.model, pairs, self.batch_size)
        return self.model.encode(pairs)


def load(
    name: str,
    library: str = "instructor",
    device: str | None = None,
    dtype: str = "float32",
    backend: str = "torch",
    precision: str | None = None,
) -> Any:
    """Load a model to evaluate: a hub id or a folder.

    Parameters
    ----------
    name : str
    library : str
        ``"instructor"``: every T5 checkpoint this package reads; ``"sentence-transformers"``: what that library reads.
    device, dtype, backend, precision : str
        As for `INSTRUCTOR`; sentence-transformers takes the first two.

    Raises
    ------
    InputError
        The library is unknown.
    MissingExtraError
        It is not installed.
    """
    if choose("library", library, LIBRARIES) == "instructor":
        from instructor_embedding.instructor import INSTRUCTOR

        return INSTRUCTOR(name, device=device, dtype=dtype, backend=backend, precision=precision)
    if backend != "torch" or precision not in (None, "exact"):
        raise InputError("--backend and --precision are for --library instructor")
    peer = need("sentence_transformers", f"loading {name} with sentence-transformers")
    return peer.SentenceTransformer(name, device=device, model_kwargs={"dtype": dtype})


def _is_sentence_transformer(model: Any) -> bool:
    return any(kind.__module__.startswith("sentence_transformers.") for kind in type(model).__mro__)


def _kind(model: Any) -> str:
    """Return how the model is called; ``""`` for any object with encode(pairs)."""
    from instructor_embedding.instructor import INSTRUCTOR

    if isinstance(model, INSTRUCTOR):
        return "instructor"
    return "sentence-transformers" if _is_sentence_transformer(model) else ""


def _prompted(model: Any, pairs: list[Pair], batch_size: int) -> Float32:
    """Encode with a model that takes one instruction per call, as its prompt."""
    rows_of: dict[str, list[int]] = {}
    for row, pair in enumerate(pairs):
        rows_of.setdefault(pair.instruction, []).append(row)
    table: Float32 | None = None
    for instruction, rows in rows_of.items():
        texts = [pairs[row].text for row in rows]
        vectors = model.encode(texts, prompt=instruction or None, batch_size=batch_size, show_progress_bar=False)
        table = np.empty((len(pairs), vectors.shape[1]), np.float32) if table is None else table
        table[rows] = vectors
    assert table is not None
    return table
