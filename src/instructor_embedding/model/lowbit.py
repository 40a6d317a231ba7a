"""Weights in 8 or 4 bits with their scales, as numpy arrays.

8 bits: ``codes`` int8 (rows, columns), ``scale`` float32 (rows,), a per-row scale.
4 bits: ``codes`` uint8 (rows, columns / 2), the first half of a row in the low bits, ``scale`` float16
(rows, columns / 32), a scale per group of 32 neighbors in a row; a weight is ``(code - 8) * scale``.
A table of embeddings also has ``columns`` float32 (2, columns), the mean and the standard deviation of each column,
which are removed before rounding: in trained models a few columns are ten times as large as the others.
Files hold them as ``NAME.weight``, ``NAME.weight_scale`` and ``NAME.weight_columns``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

GROUP = 32  # weights that share a scale in 4 bits
SUFFIXES = ("", "_scale", "_columns")


def check(shape: tuple[int, ...], codes: Any, scale: Any, columns: Any, is_table: bool) -> None:
    """Raise ``ValueError`` where codes, scale and columns, arrays or tensors, are not those of a weight of `shape`."""
    rows, width = shape
    known = (
        ("int8", (rows, width), "float32", (rows,)),
        ("uint8", (rows, width // 2), "float16", (rows, width // GROUP)),
    )
    stored = (_dtype(codes), tuple(codes.shape), _dtype(scale), tuple(scale.shape))
    if stored not in known or (stored == known[1] and width % GROUP):
        raise ValueError("{} {} with scales {} {}".format(*stored))
    if is_table and (columns is None or tuple(columns.shape) != (2, width) or _dtype(columns) != "float32"):
        raise ValueError("codes without the means and deviations of columns")


def dequantized(codes: npt.NDArray[Any], scale: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the float32 weight (rows, columns) that codes and scale stand for."""
    if codes.dtype == np.int8:
        weight: npt.NDArray[np.float32] = codes.astype(np.float32) * scale[:, None]
        return weight
    steps = np.concatenate([codes & 15, codes >> 4], 1).astype(np.float32) - np.float32(8)
    scaled: npt.NDArray[np.float32] = steps.reshape(*scale.shape, -1) * scale.astype(np.float32)[:, :, None]
    return scaled.reshape(len(codes), -1)


def _dtype(array: Any) -> str:
    return str(array.dtype).removeprefix("torch.")
