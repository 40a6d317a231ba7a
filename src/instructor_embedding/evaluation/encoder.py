"""Encoder: the one door between an evaluation and a model of any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from instructor_embedding.errors import InputError, VectorError, nearest
from instructor_embedding.evaluation import fingerprint
from instructor_embedding.evaluation.instructions import Chosen
from instructor_embedding.evaluation.vectors import VectorCache
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32

LIBRARIES = ("instructor", "sentence-transformers")
_CHUNK = 4096  # texts between two movements of the bar, and between two writes of the cache


class PairEncoder(Protocol):
    """What can be evaluated: any object whose `encode` takes a list of `Pair` and returns rows, (n, dim)."""

    def encode(self, pairs: list[Pair], /) -> Any:
        """Return a vector for each pair."""


class Encoder:
    """A model with a name, a fingerprint and a memory, through which every evaluation encodes.

    A pair that was encoded before is not encoded again, by this object or, with a `cache` in a folder, by a later run.

    Parameters
    ----------
    model : object
        An `INSTRUCTOR`, a ``SentenceTransformer`` (which gets the instruction as its prompt), or any object with
        ``encode(list of Pair)``.
    name : str
        What reports call it.
    batch_size : int
        Passed on to models of the first two kinds.
    cache : VectorCache, optional
        Default: one in memory.
    progress : bool
        Show a bar on stderr.

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
    ) -> None:
        if not callable(getattr(model, "encode", None)):
            raise InputError(f"{type(model).__name__} cannot be evaluated: it has no encode(pairs)")
        self.model: Any = model
        self.name = name or type(model).__name__
        self.progress = progress
        self.batch_size = batch_size
        self.instructed = not _is_sentence_transformer(model)
        self._kind = _kind(model)
        self._cache = VectorCache() if cache is None else cache
        self._fingerprint = ""

    @property
    def fingerprint(self) -> str:
        """A digest of the model, computed once; see `fingerprint.of_model`."""
        if not self._fingerprint:
            self._fingerprint = fingerprint.of_model(self.model if self._kind else self)
        return self._fingerprint

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
            "model": {"name": self.name, "fingerprint": self.fingerprint},
            "instructions": {side: each.instruction for side, each in chosen.items()},
            "sources": {side: each.source for side, each in chosen.items()},
            "data": dict(data),
            "settings": dict(settings),
            "versions": fingerprint.versions(),
        }

    def encode(self, pairs: Sequence[Pair], label: str = "encode") -> Float32:
        """Return the vectors of some pairs, float32 of shape (n, dim).

        Raises
        ------
        VectorError
            The model returned another number of rows, or numbers that are not finite.
        """
        if not pairs:
            raise InputError("there is nothing to encode")
        numbers: dict[Pair, int] = {}
        where = np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs], np.intp)
        distinct = list(numbers)
        keys = [self._cache.key(self.fingerprint if self._cache.shared else "", pair) for pair in distinct]
        known = [place for place, key in enumerate(keys) if key in self._cache]
        table = np.empty((len(distinct), 0), np.float32)
        if known:
            rows = self._cache.get([keys[place] for place in known])
            table = np.empty((len(distinct), rows.shape[1]), np.float32)
            table[known] = rows
        missing = sorted(set(range(len(distinct))) - set(known))
        with tqdm(total=len(missing), unit=" texts", desc=label, disable=not self.progress, leave=False) as bar:
            for start in range(0, len(missing), _CHUNK):
                places = missing[start : start + _CHUNK]
                rows = self._checked([distinct[place] for place in places])
                self._cache.add([keys[place] for place in places], rows)
                if not table.shape[1]:
                    table = np.empty((len(distinct), rows.shape[1]), np.float32)
                table[places] = rows
                bar.update(len(places))
        return table if len(table) == len(where) else table[where]

    def count_tokens(self, pairs: Sequence[Pair]) -> Sequence[int]:
        """Return the tokens of each pair, instruction and end mark included.

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
        rows = np.asarray(self._run(pairs), np.float32)
        if rows.ndim != 2 or len(rows) != len(pairs):
            raise VectorError(f"{self.name} returned vectors of shape {rows.shape} for {len(pairs)} texts")
        if not np.isfinite(rows).all():
            raise VectorError(f"{self.name} returned numbers that are not finite")
        return rows

    def _run(self, pairs: list[Pair]) -> Any:
        if self._kind == "instructor":
            return self.model.encode(pairs, batch_size=self.batch_size, truncate="quiet")
        if self._kind == "sentence-transformers":
            return _prompted(self.model, pairs, self.batch_size)
        return self.model.encode(pairs)


def load(name: str, library: str = "instructor", device: str | None = None, dtype: str = "float32") -> Any:
    """Load a model to evaluate: a hub id or a folder.

    Parameters
    ----------
    name : str
    library : str
        ``"instructor"``: every T5 checkpoint this package reads; ``"sentence-transformers"``: what that library reads.
    device, dtype : str
        As for `INSTRUCTOR`.

    Raises
    ------
    InputError
        The library is unknown.
    MissingExtraError
        It is not installed.
    """
    if library not in LIBRARIES:
        raise InputError(f"library={library!r} is unknown{nearest(library, LIBRARIES)}; known: {', '.join(LIBRARIES)}")
    if library == "instructor":
        from instructor_embedding.instructor import INSTRUCTOR

        return INSTRUCTOR(name, device=device, dtype=dtype)
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
    """Encode with a model that takes one instruction a call, as its prompt."""
    places: dict[str, list[int]] = {}
    for place, pair in enumerate(pairs):
        places.setdefault(pair.instruction, []).append(place)
    rows: Float32 | None = None
    for instruction, chosen in places.items():
        texts = [pairs[place].text for place in chosen]
        found = model.encode(texts, prompt=instruction or None, batch_size=batch_size, show_progress_bar=False)
        rows = np.empty((len(pairs), found.shape[1]), np.float32) if rows is None else rows
        rows[chosen] = found
    assert rows is not None
    return rows
