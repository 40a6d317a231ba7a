"""Smaller vectors: 8 bits or 1 bit a dimension instead of 32, and fewer dimensions.

Codes have the forms that vector stores take: int8 as usearch's ``i8``, uint8 as faiss's ``QT_8bit``, bits packed as
faiss's binary indexes and usearch's ``b1``. Nothing here needs torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.model.packed import Float32

PRECISIONS = ("int8", "uint8", "binary")
Codes = npt.NDArray[np.int8] | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class VectorQuantizer:
    """Turns vectors into codes of 8 bits or 1 bit a dimension and back; made by `fit` from a sample of vectors.

    Parameters
    ----------
    precision : str
        ``"int8"``: one step for all dimensions, about 0, so that codes have the cosines of their vectors; for stores
        that compare int8 vectors themselves. ``"uint8"``: each dimension's range in 255 steps, which is nearer, but
        codes must be decoded to be compared; faiss's scalar quantizer and most stores do so. ``"binary"``: one bit a
        dimension, packed, compared by Hamming distance; rescoring brings most of the loss back.
    low, high : float32 of shape (dim,)
        ``"int8"`` and ``"uint8"``: the range of each dimension; numbers outside are cut to it. ``"binary"``: what the
        bits 0 and 1 stand for; the border is half way.

    Examples
    --------
    >>> vectors = np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32)
    >>> quantizer = VectorQuantizer.fit(vectors, "binary")
    >>> quantizer.encode(vectors).shape
    (1000, 8)
    """

    precision: str
    low: Float32
    high: Float32

    @classmethod
    def fit(cls, sample: npt.ArrayLike, precision: str = "int8", *, kept: float = 1.0) -> VectorQuantizer:
        """Calibrate on a sample: some thousand vectors of the kind that will be encoded.

        Parameters
        ----------
        sample : float of shape (n, dim)
        precision : str
            ``"int8"``, ``"uint8"`` or ``"binary"``.
        kept : float
            For the 8-bit ones: the part of the sample's numbers that the range holds. Below 1 rare large numbers are
            cut and the others get finer steps.

        Raises
        ------
        InputError
            The precision is unknown, or the sample is no table of finite numbers.
        """
        if precision not in PRECISIONS:
            hint = nearest(str(precision), PRECISIONS)
            raise InputError(f"precision={precision!r} is unknown{hint}; known: {', '.join(PRECISIONS)}")
        if not 0.5 < kept <= 1:
            raise InputError(f"kept must be above 0.5 and at most 1, got {kept!r}")
        rows = table(sample, "sample")
        if precision == "binary":
            low, high = _centers(rows)
        elif precision == "int8":
            high = np.full(rows.shape[1], np.quantile(np.abs(rows), kept), np.float32)
            low = -high
        else:
            low, high = (np.quantile(rows, part, axis=0).astype(np.float32) for part in ((1 - kept), kept))
        return cls(precision, low, _apart(low, high))

    @property
    def dimension(self) -> int:
        """Dimensions of the vectors."""
        return len(self.low)

    def encode(self, vectors: npt.ArrayLike) -> Codes:
        """Return the codes of vectors (n, dim): int8 or uint8 (n, dim), or bits, uint8 (n, ceil(dim / 8)).

        Raises
        ------
        InputError
            The vectors have other dimensions, or are not finite.
        """
        rows = table(vectors, "vectors", self.dimension)
        if self.precision == "binary":
            return np.packbits(rows > (self.low + self.high) / 2, axis=1)
        if self.precision == "int8":
            return np.clip(np.rint(rows * (127 / self.high)), -127, 127).astype(np.int8)
        return np.clip(np.floor((rows - self.low) * (255 / (self.high - self.low))), 0, 255).astype(np.uint8)

    def decode(self, codes: npt.ArrayLike) -> Float32:
        """Return the vectors that codes stand for, float32 of shape (n, dim).

        Raises
        ------
        InputError
            The codes are not of this quantizer: other dtype or dimensions.
        """
        known = np.asarray(codes)
        width = -(-self.dimension // 8) if self.precision == "binary" else self.dimension
        dtype = np.int8 if self.precision == "int8" else np.uint8
        if known.dtype != dtype or known.ndim != 2 or known.shape[1] != width:
            raise InputError(f"codes must be {np.dtype(dtype)} of shape (n, {width}), got {known.dtype} {known.shape}")
        if self.precision == "binary":
            return np.where(np.unpackbits(known, axis=1, count=self.dimension), self.high, self.low)
        if self.precision == "int8":
            scaled: Float32 = known * (self.high / np.float32(127))
            return scaled
        return self.low + (known + np.float32(0.5)) * ((self.high - self.low) / np.float32(255))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned to an npz file."""
        with Path(path).open("wb") as file:
            np.savez(file, precision=self.precision, low=self.low, high=self.high)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> VectorQuantizer:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            The file is missing or of another kind.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                found = cls(str(file["precision"]), file["low"], file["high"])
        except (OSError, ValueError, KeyError, EOFError):
            raise InputError(f"{path} is no file that VectorQuantizer.save wrote") from None
        return found


def truncated(vectors: npt.ArrayLike, dimension: int) -> Float32:
    """Return the first dimensions of vectors, scaled to length 1: float32 of shape (n, dimension).

    Use it with models trained for it, by ``--matryoshka_dims`` here or otherwise (arXiv 2205.13147); of other models
    the first dimensions are no better than any.

    Raises
    ------
    InputError
        `dimension` is not between 1 and the vectors' own.
    """
    rows = table(vectors, "vectors")
    if (
        isinstance(dimension, bool)
        or not isinstance(dimension, (int, np.integer))
        or not 1 <= dimension <= rows.shape[1]
    ):
        raise InputError(f"dimension must be a whole number from 1 to {rows.shape[1]}, got {dimension!r}")
    return unit(rows[:, :dimension])


def unit(rows: Float32) -> Float32:
    """Return vectors scaled to length 1."""
    scaled: Float32 = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
    return scaled


def table(values: Any, name: str, dimension: int | None = None) -> Float32:
    """Return float32 of shape (n, dim), after a look at it.

    Raises
    ------
    InputError
        It is no table of finite numbers, is empty, or has other dimensions.
    """
    try:
        found = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers of shape (n, dim), got {type(values).__name__}") from None
    if found.ndim != 2 or 0 in found.shape:
        raise InputError(f"{name} must be of shape (n, dim), got {found.shape}; a single vector is {name}[None]")
    if dimension is not None and found.shape[1] != dimension:
        raise InputError(f"{name} have {found.shape[1]} dimensions, but {dimension} are expected")
    if not np.isfinite(found).all():
        raise InputError(f"{name} hold numbers that are not finite, the first in row {_first_bad(found)}")
    return found


def _first_bad(rows: Float32) -> int:
    return int(np.flatnonzero(~np.isfinite(rows).all(1))[0])


def _apart(low: Float32, high: Float32) -> Float32:
    """Return `high`, a little above `low` where they are equal."""
    return np.maximum(high, low + np.maximum(np.abs(low) * np.float32(1e-5), np.float32(1e-12)))


def _centers(rows: Float32, rounds: int = 8) -> tuple[Float32, Float32]:
    """Return two values for each dimension that its numbers are nearest to (Lloyd's rounds from the median)."""
    border = np.median(rows, axis=0)
    for _ in range(rounds):
        above = rows > border
        count = np.maximum(above.sum(0), 1), np.maximum((~above).sum(0), 1)
        high = np.where(above, rows, 0).sum(0, dtype=np.float64) / count[0]
        low = np.where(above, 0, rows).sum(0, dtype=np.float64) / count[1]
        border = ((low + high) / 2).astype(np.float32)
    return low.astype(np.float32), high.astype(np.float32)
