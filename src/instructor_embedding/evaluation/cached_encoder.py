"""CachedEncoder: an encoder under evaluation, with the vectors it has computed so far and what they cost."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from instructor_embedding import encoders
from instructor_embedding.encoders import AnyEncoder, PairEncoder
from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.cost import Cost, size_of
from instructor_embedding.evaluation.instructions import Chosen
from instructor_embedding.evaluation.versions import versions
from instructor_embedding.instruction import Pair
from instructor_embedding.store import VectorStore
from instructor_embedding.vectors import Float32

_CHUNK = 4096  # texts per update of the progress bar and per write to the cache


class CachedEncoder:
    """An encoder with a cache of vectors, through which every evaluation encodes.

    A pair is encoded once, by this object or, with a folder, by an earlier run.

    Parameters
    ----------
    model : object
        What `encoders.load` returns, an `INSTRUCTOR`, a ``SentenceTransformer`` (which gets the instruction as its
        prompt), or any object with ``encode(list of Pair)``.
    name : str
        What reports call it.
    batch_size : int
        Passed to models of this package and of sentence-transformers.
    cache_dir : path, optional
        Where vectors are stored for later runs, in a folder per model; default: in memory alone.
    progress : bool
        Show a progress bar on stderr.
    options : mapping, optional
        How the model was loaded where that changes its vectors: ``{"precision": "int8"}``. Part of every score.

    Raises
    ------
    InputError
        The object has no `encode`, or the folder cannot be written.
    """

    def __init__(
        self,
        model: AnyEncoder | PairEncoder | Any,
        name: str = "",
        *,
        batch_size: int = 32,
        cache_dir: str | Path | None = None,
        progress: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._encoder = encoders.of(model, name, batch_size=batch_size)
        self.name = name or self._encoder.name
        self.progress = progress
        self.options = dict(options or {})
        self.cost = Cost()
        self._size: dict[str, int] | None = None
        # a store in memory is this model's alone, so that its fingerprint, which takes time, is not needed yet
        home = Path(cache_dir) / re.sub(r"[^\w.=-]+", "-", self.fingerprint) if cache_dir else None
        self._store = VectorStore(home, self.fingerprint if cache_dir else "")

    @classmethod
    def of(cls, model: CachedEncoder | PairEncoder | Any) -> CachedEncoder:
        """Return the model itself if it is a `CachedEncoder` already, else a new one around it."""
        return model if isinstance(model, cls) else cls(model)

    @property
    def model(self) -> Any:
        """The object that has the weights."""
        return self._encoder.model

    @property
    def instructed(self) -> bool:
        """Whether the model itself reads pairs; otherwise the instruction is a prompt before the text."""
        return self._encoder.instructed

    @property
    def fingerprint(self) -> str:
        """The identity of the model and its options, computed once; a ``fingerprint`` of the model's own goes first."""
        own = getattr(self.model, "fingerprint", None)
        identity = own if isinstance(own, str) else self._encoder.fingerprint
        return "+".join([identity, *(f"{key}={value}" for key, value in sorted(self.options.items()))])

    @property
    def size(self) -> dict[str, int]:
        """``parameters`` and ``bytes`` of the weights, as far as the model exposes them; computed once."""
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
        table: str = "",
    ) -> dict[str, Any]:
        """Return the `config` of a `Score` of this model.

        `chosen` is the instruction of each side, `table` the name of the `Instructions` that they were chosen from.
        """
        return {
            "benchmark": benchmark,
            "category": category,
            "model": {"name": self.name, "fingerprint": self.fingerprint, **self.options},
            "instructions": {side: choice.instruction for side, choice in chosen.items()},
            "sources": {side: choice.source for side, choice in chosen.items()},
            "data": dict(data),
            "settings": dict(settings),
            "versions": dict(versions()),
            "size": self.size,
            "instructions_from": table,
        }

    def encode(self, pairs: Sequence[Pair], label: str = "encode") -> Float32:
        """Return the vectors of some pairs, float32 of shape (n, dim).

        Raises
        ------
        InputError
            There are no pairs.
        VectorError
            The model returned another number of rows, or values that are not finite.
        """
        if not pairs:
            raise InputError("there is nothing to encode")
        row_of: dict[Pair, int] = {}
        index = np.array([row_of.setdefault(pair, len(row_of)) for pair in pairs], np.intp)
        distinct = list(row_of)
        known = self._store.known(distinct)
        table = np.empty((len(distinct), self._store.dimension), np.float32)
        if known.any():
            table[known] = self._store.get([distinct[row] for row in np.flatnonzero(known)])
        missing = np.flatnonzero(~known)
        # disable=None: no bar where stderr is not a terminal
        hidden = None if self.progress else True
        with tqdm(total=len(missing), unit=" texts", desc=label, disable=hidden, leave=False) as bar:
            for start in range(0, len(missing), _CHUNK):
                rows = missing[start : start + _CHUNK]
                vectors = self._timed([distinct[row] for row in rows])
                self._store.add([distinct[row] for row in rows], vectors)
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
        try:
            return self._encoder.count_tokens(pairs)
        except InputError as error:
            raise InputError(f"{error}, which these settings need; use settings='instructed'") from None

    def _timed(self, pairs: list[Pair]) -> Float32:
        start = time.perf_counter()
        vectors = self._encoder.encode(pairs)
        self.cost.add(len(pairs), time.perf_counter() - start)
        return vectors
