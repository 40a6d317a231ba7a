"""Fingerprints: what model, what data, what versions made a score."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.instruction import Pair
from instructor_embedding.version import __version__

# what a model without readable weights is told apart by
_PROBES = [
    Pair("", "a cat sits on the mat"),
    Pair("Represent the Science title: ", "Parton energy loss in QCD matter"),
    Pair("Represent the Wikipedia question for retrieving supporting documents: ", "where is the capital of France?"),
]
_DISTRIBUTIONS = ("torch", "numpy", "tokenizers", "mteb", "scikit-learn", "scipy", "sentence-transformers")


def of_model(model: Any) -> str:
    """Return a digest of a model: of its weights, tokenizer and length limit, or of what it computes.

    The first holds across machines (``"weights:..."``); the second (``"vectors:..."``, for objects whose weights cannot
    be read) is a digest of three vectors rounded to three decimals.
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(model):
            digest.update(part)
    except _UnreadableError:
        vectors = np.round(np.asarray(model.encode(_PROBES), np.float32), 3) + 0.0
        return "vectors:" + hashlib.sha256(vectors.tobytes()).hexdigest()[:16]
    return "weights:" + digest.hexdigest()[:16]


def of_files(files: Iterable[Path]) -> str:
    """Return a digest of the names and contents of some files, whatever their order."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    return "sha256:" + digest.hexdigest()[:16]


def of_texts(texts: Iterable[str]) -> str:
    """Return a digest of some texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return "sha256:" + digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and the libraries that enter a score."""
    found = {"python": platform.python_version(), "instructor-embedding": __version__}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class _UnreadableError(Exception):
    """The model's weights cannot be read."""


def _parts(model: Any) -> Iterator[bytes]:
    state = getattr(model, "state_dict", None)
    if state is None:
        raise _UnreadableError
    weights: Mapping[str, Any] = state()
    for name in sorted(weights):
        yield name.encode() + b"\0"
        yield from _bytes(weights[name])
    tokenizer = getattr(model, "tokenizer", None)
    backend: Any = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "to_str"):
        yield backend.to_str().encode()
    yield str(getattr(model, "max_seq_length", "")).encode()


def _bytes(value: Any) -> Iterator[bytes]:
    import torch

    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _bytes(part)
    elif isinstance(value, torch.Tensor):
        plain = value.int_repr() if value.is_quantized else value
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield plain.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif value is None or isinstance(value, (int, float, str, torch.dtype)):
        yield str(value).encode()
    else:
        raise _UnreadableError
