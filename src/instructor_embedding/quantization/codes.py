"""Quantized vectors: 8 bits or 1 bit per dimension instead of 32, and fewer dimensions.

Codes have the formats that vector stores read: int8 as usearch's ``i8``, uint8 as faiss's ``QT_8bit``, bits packed as
faiss's binary indexes and usearch's ``b1``. Nothing here needs torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from instructor_embedding.errors import InputError, choose
from instructor_embedding.files.atomic import replacing
from instructor_embedding.vectors import Float32, checked, unit

PRECISIONS = ("int8", "uint8", "binary")
Codes = npt.NDArray[np.int8] | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class VectorQuantizer:
    """Encodes vectors in 8 bits or 1 bit per dimension and decodes them; `fit` calibrates it on a sample of vectors.

    Parameters
    ----------
    precision : str
        ``"int8"``: one symmetric scale for all dimensions, so that codes have the cosines of their vectors; for stores
        that compare int8 vectors directly. ``"uint8"``: 255 steps over the range of each dimension, which is more
        precise, but codes must be decoded to be compared, as faiss's scalar quantizer and most stores do. ``"binary"``:
        one packed bit per dimension, compared by Hamming distance; rescoring recovers most of the loss.
    low, high : float32 of shape (dim,)
        ``"int8"`` and ``"uint8"``: the range of each dimension; values outside are clipped. ``"binary"``: the values
        of the bits 0 and 1; the threshold is their mean.

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
        """Calibrate on a sample: some thousand vectors of the kind to be encoded.

        Parameters
        ----------
        sample : float of shape (n, dim)
        precision : str
            ``"int8"``, ``"uint8"`` or ``"binary"``.
        kept : float
            For 8 bits: the share of the sample's values inside the range. Below 1, rare large values are clipped and
            the others get finer steps.

        Raises
        ------
        InputError
            The precision is unknown, or the sample is not a table of finite values.
        """
        choose("precision", precision, PRECISIONS)
        if not 0.5 < kept <= 1:
            raise InputError(f"kept must be above 0.5 and at most 1, got {kept!r}")
        rows = checked(sample, "sample")
        if not len(rows):
            raise InputError("sample is empty; pass some thousand vectors of the kind to be encoded")
        if precision == "binary":
            low, high = _centers(rows)
        elif precision == "int8":
            high = np.full(rows.shape[1], np.quantile(np.abs(rows), kept), np.float32)
            low = -high
        else:
            low, high = (np.quantile(rows, share, axis=0).astype(np.float32) for share in ((1 - kept), kept))
        return cls(precision, low, _apart(low, high))

    @property
    def dimension(self) -> int:
        """Number of dimensions of the vectors."""
        return len(self.low)

    def encode(self, vectors: npt.ArrayLike) -> Codes:
        """Return the codes of vectors (n, dim): int8 or uint8 (n, dim), or bits, uint8 (n, ceil(dim / 8)).

        Raises
        ------
        InputError
            The vectors have other dimensions, or are not finite.
        """
        rows = checked(vectors, "vectors", self.dimension)
        if self.precision == "binary":
            return np.packbits(rows > (self.low + self.high) / 2, axis=1)
        if self.precision == "int8":
            return np.clip(np.rint(rows * (127 / self.high)), -127, 127).astype(np.int8)
        return np.clip(np.floor((rows - self.low) * (255 / (self.high - self.low))), 0, 255).astype(np.uint8)

    def decode(self, codes: npt.ArrayLike) -> Float32:
        """Return the vectors of codes, float32 of shape (n, dim).

        Raises
        ------
        InputError
            The codes are not of this quantizer: another dtype or another shape.
        """
        array = np.asarray(codes)
        width = -(-self.dimension // 8) if self.precision == "binary" else self.dimension
        dtype = np.int8 if self.precision == "int8" else np.uint8
        if array.dtype != dtype or array.ndim != 2 or array.shape[1] != width:
            raise InputError(f"codes must be {np.dtype(dtype)} of shape (n, {width}), got {array.dtype} {array.shape}")
        if self.precision == "binary":
            return np.where(np.unpackbits(array, axis=1, count=self.dimension), self.high, self.low)
        if self.precision == "int8":
            scaled: Float32 = array * (self.high / np.float32(127))
            return scaled
        return self.low + (array + np.float32(0.5)) * ((self.high - self.low) / np.float32(255))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the calibration to an npz file."""
        with replacing(path) as file:
            np.savez(file, precision=self.precision, low=self.low, high=self.high)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> VectorQuantizer:
        """Read a file of `save`.

        Raises
        ------
        InputError
            The file is missing or of another type.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(str(file["precision"]), file["low"], file["high"])
        except (OSError, ValueError, KeyError, EOFError):
            raise InputError(f"{path} is not a file of VectorQuantizer.save") from None


def truncated(vectors: npt.ArrayLike, dimension: int) -> Float32:
    """Return the first dimensions of vectors, L2-normalized: float32 of shape (n, dimension).

    Use it with models trained for it, by ``--matryoshka_dims`` or otherwise (arXiv 2205.13147); in other models the
    first dimensions are not better than any others.

    Raises
    ------
    InputError
        `dimension` is not between 1 and the vectors' own.
    """
    rows = checked(vectors, "vectors")
    if (
        isinstance(dimension, bool)
        or not isinstance(dimension, (int, np.integer))
        or not 1 <= dimension <= rows.shape[1]
    ):
        raise InputError(f"dimension must be an integer from 1 to {rows.shape[1]}, got {dimension!r}")
    first: Float32 = unit(rows[:, :dimension])
    return first


def _apart(low: Float32, high: Float32) -> Float32:
    """Return `high`, slightly increased where it equals `low`, so that no range is empty."""
    return np.maximum(high, low + np.maximum(np.abs(low) * np.float32(1e-5), np.float32(1e-12)))


def _centers(rows: Float32, rounds: int = 8) -> tuple[Float32, Float32]:
    """Return the two values per dimension with the least squared error (Lloyd's algorithm, started at the median)."""
    threshold = np.median(rows, axis=0)
    for _ in range(rounds):
        above = rows > threshold
        count = np.maximum(above.sum(0), 1), np.maximum((~above).sum(0), 1)
        high = np.where(above, rows, 0).sum(0, dtype=np.float64) / count[0]
        low = np.where(above, 0, rows).sum(0, dtype=np.float64) / count[1]
        threshold = ((low + high) / 2).astype(np.float32)
    return low.astype(np.float32), high.astype(np.float32)
