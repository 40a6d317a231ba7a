"""The model of an index: loaded by the manifest, and refused where it is another one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding import encoders, fingerprint
from instructor_embedding.encoders import AnyEncoder
from instructor_embedding.errors import InputError, ModelNotFoundError
from instructor_embedding.files.manifest import Manifest
from instructor_embedding.instruction import Pair
from instructor_embedding.vectors import Float32, unit


class IndexModel:
    """An encoder with what a manifest records of it.

    Parameters
    ----------
    encoder : AnyEncoder
    name : str
        Hub id or folder.
    fingerprint : str
        Of the model.
    precision : str
        It computes in.
    """

    def __init__(self, encoder: AnyEncoder, name: str, fingerprint: str, precision: str) -> None:
        self.encoder, self.name = encoder, name
        self.fingerprint, self.precision = fingerprint, precision

    def check(self, manifest: Manifest, where: str) -> None:
        """Raise InputError if the vectors of an index were made by another model or in another precision."""
        if self.fingerprint != manifest.fingerprint:
            raise InputError(
                f"{where} was made with {manifest.model} ({manifest.fingerprint}), and {self.name} is another model "
                f"({self.fingerprint}), whose vectors cannot be compared with it; use -m {manifest.model}, or build "
                f"another index: instructor-embed index build FILE -o NEW -m {self.name}"
            )
        if self.precision != manifest.precision:
            raise InputError(
                f"{where} was made in the precision {manifest.precision!r}, and this model computes in "
                f"{self.precision!r}; use --precision {manifest.precision}"
            )

    def vectors(self, manifest: Manifest, instruction: str, texts: Sequence[str]) -> Float32:
        """Return the vectors of texts under an instruction, of unit norm, float32 of shape (n, dimension).

        Raises
        ------
        InputError
            The model makes vectors of other dimensions than the index has.
        """
        if not texts:
            return np.empty((0, manifest.dimension), np.float32)
        rows = unit(self.encoder.encode([Pair(instruction, text) for text in texts]))
        if rows.shape[1] != manifest.dimension:
            raise InputError(
                f"the index has vectors of {manifest.dimension} dimensions, and {self.name} makes {rows.shape[1]}; "
                f"use -m {manifest.model}"
            )
        return np.asarray(rows, np.float32)


def of(model: Any, name: str = "", batch_size: int = 32, truncate: str = "quiet") -> IndexModel:
    """Return a loaded model, or the one that a name stands for."""
    if isinstance(model, IndexModel):
        return model
    if isinstance(model, (str, os.PathLike)):
        return load(os.fspath(model), batch_size=batch_size, truncate=truncate)
    encoder = encoders.of(model, name, batch_size=batch_size, truncate=truncate)
    folder = getattr(model, "folder", None)
    name = name or (str(folder) if folder is not None else encoder.name)
    return IndexModel(encoder, _lasting(name), encoder.fingerprint, precision_of(model))


def load(
    name: str,
    *,
    device: str | None = None,
    precision: str | None = None,
    batch_size: int = 32,
    truncate: str = "quiet",
) -> IndexModel:
    """Load a model by its name.

    Raises
    ------
    ModelNotFoundError
        There is none.
    """
    if name.startswith("sentence-transformers:") or encoders.library_of(name) != "instructor":
        encoder = encoders.load(name, device=device, batch_size=batch_size)
        return IndexModel(encoder, _lasting(name), encoder.fingerprint, "exact")
    from instructor_embedding.instructor import INSTRUCTOR
    from instructor_embedding.model import hub

    model = INSTRUCTOR(name, device=device, precision=precision)
    encoder = encoders.of(model, name, batch_size=batch_size, truncate=truncate)
    # in its stored number format the model is its folder's, which need not be loaded again to see that
    return IndexModel(encoder, _lasting(name), fingerprint.of_model(hub.resolve(name)), precision_of(model))


def load_for(manifest: Manifest, where: str, **options: Any) -> IndexModel:
    """Load the model that made the vectors of an index.

    Raises
    ------
    ModelNotFoundError
        It is not where it was.
    InputError
        What is there now is another model.
    """
    try:
        model = load(manifest.model, **options)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"{where} was made with {manifest.model}, which cannot be loaded: {error}; pass its folder: -m FOLDER"
        ) from None
    model.check(manifest, where)
    return model


def precision_of(model: Any) -> str:
    """Return what a model computes in: ``"exact"`` where it does not say."""
    return str(getattr(model, "precision", None) or "exact")


def _lasting(name: str) -> str:
    """Return a folder's absolute path, and any other name unchanged."""
    return str(Path(name).expanduser().resolve()) if Path(name).expanduser().is_dir() else name
