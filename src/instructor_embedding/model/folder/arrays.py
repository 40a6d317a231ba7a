"""Tensors of files as numpy arrays, in the dtypes that they are stored in."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from instructor_embedding.errors import CheckpointError
from instructor_embedding.model.packed import Float32

Array = npt.NDArray[Any]

# numpy has no bfloat16: its 16 bits, under a name that no other array has
BFLOAT16 = np.dtype([("bfloat16", "<u2")])
FLOATS = (np.dtype("<f4"), np.dtype("<f2"), np.dtype("<f8"), BFLOAT16)
_BLOCK = 1 << 16  # elements checked together, so that they stay in the cache


def mapped(path: Path) -> npt.NDArray[np.uint8]:
    """Return the bytes of a file, mapped: pages are read when they are used, and writes stay in this process.

    The file must not be truncated in place while the array is in use; replacing it, as every writer of this package
    does, is safe.
    """
    try:
        with path.open("rb") as file:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None


def dtype_name(array: Array) -> str:
    """Return the name of an array's dtype, ``"bfloat16"`` included."""
    return str(array.dtype.names[0]) if array.dtype.names else array.dtype.name


def floats(array: Array) -> Float32:
    """Return a floating-point array as float32, itself where it is that already."""
    if array.dtype == BFLOAT16:
        bits = array.view(np.uint16).astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    return array.astype(np.float32, copy=False)


def is_finite(array: Array) -> bool:
    """Return whether no element of a floating-point array is infinite or not a number."""
    flat = array.reshape(-1)
    return all(np.isfinite(floats(flat[first : first + _BLOCK])).all() for first in range(0, flat.size, _BLOCK))
