"""The encoders of mining: BM25, or a model of any library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from instructor_embedding import encoders
from instructor_embedding.encoders import AnyEncoder
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.lexical import BM25
from instructor_embedding.vectors import checked, unit

Miner = BM25 | AnyEncoder


def load(name: str) -> Miner:
    """Return ``bm25``, or the encoder that ``encoders.load`` finds by a hub id, a folder or another library's name.

    Raises
    ------
    CheckpointError
        There is no such model, or it is of another type.
    MissingExtraError
        The library that it needs is not installed.
    """
    return BM25() if name == BM25.name else encoders.load(name)


def of(model: Any) -> Miner:
    """Return an object as an encoder of mining: `BM25`, a model of any library, or anything with ``encode(pairs)``."""
    return model if isinstance(model, BM25) else encoders.of(model)


def vectors(encoder: Miner, texts: Sequence[str]) -> Any:
    """Return the vectors of texts without instructions, of unit norm: float32 of shape (n, dim), or sparse rows.

    Long texts are truncated to what the model reads, as docs/medi.md says.
    """
    if isinstance(encoder, BM25):
        return unit(encoder.encode(texts))
    return unit(checked(encoder.encode([Pair("", text) for text in texts]), encoder.name))


def identity(encoder: Miner) -> str:
    """Return the name of an encoder and what tells it from others of its name: the version of BM25, a fingerprint."""
    if isinstance(encoder, BM25):
        return f"{encoder.name} (bm25s {need('bm25s', 'mining without an encoder').__version__})"
    return f"{encoder.name} ({encoder.fingerprint})"
