"""The encoders of mining, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from instructor_embedding.extras import need
from instructor_embedding.medi import mine
from instructor_embedding.medi.lexical import BM25

_OTHER = "sentence-transformers:"
_PROBE = ["How far is it from the Earth to the Moon?", "def add(a, b): return a + b"]


class Encoder(Protocol):
    """Anything that turns texts into vectors: this package's models, sentence-transformers, or `BM25`."""

    def encode(self, texts: Sequence[str]) -> Any:
        """Return vectors of shape (n, dim), of any norm."""
        ...


@dataclass(frozen=True)
class _Model:
    name: str
    encode: Callable[[Sequence[str]], Any]


def named(name: str) -> Encoder:
    """Return an encoder: ``bm25``, a hub id or folder of this package's models, or ``sentence-transformers:NAME``.

    Raises
    ------
    CheckpointError
        There is no such model, or it is of another type.
    MissingExtraError
        The library that it needs is not installed.
    """
    if name == BM25.name:
        return BM25()
    if name.startswith(_OTHER):
        library = need("sentence_transformers", f"mining with {name}")
        return _Model(name, library.SentenceTransformer(name.removeprefix(_OTHER)).encode)
    from instructor_embedding.instructor import INSTRUCTOR

    # mining uses the beginning of long texts, as docs/medi.md says
    return _Model(name, partial(INSTRUCTOR(name).encode, truncate="quiet"))


def identity(encoder: Encoder) -> str:
    """Return the name of an encoder and a hash of its vectors of two texts, which differs between weights."""
    if isinstance(encoder, BM25):
        return f"{encoder.name} (bm25s {need('bm25s', 'mining without an encoder').__version__})"
    vectors = np.asarray(mine.unit(encoder.encode(_PROBE)))
    # rounded, so that the number of threads makes no difference
    digest = sha256((np.round(vectors, 2) + 0.0).tobytes()).hexdigest()[:12]
    return f"{getattr(encoder, 'name', type(encoder).__name__)} ({digest})"
