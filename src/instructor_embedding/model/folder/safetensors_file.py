"""The safetensors format: a json header, then the bytes of all tensors, which are mapped."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.errors import CheckpointError
from instructor_embedding.model.folder.arrays import BFLOAT16, Array, mapped
from instructor_embedding.model.folder.json_file import DOWNLOAD

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_LARGEST_HEADER = 100_000_000  # bytes, as in the reference implementation


def read_safetensors(path: Path) -> dict[str, Array]:
    """Return the tensors of a file, mapped; those of dtypes that no model here has are left out.

    Raises
    ------
    CheckpointError
        The header or the size of the file is not that of the format.
    """
    content = mapped(path)
    length = int(content[:8].view("<u8")[0]) if len(content) >= 8 else _LARGEST_HEADER + 1
    if length > min(_LARGEST_HEADER, len(content) - 8):
        raise _corrupt(path, "its header is incomplete")
    try:
        header = json.loads(content[8 : 8 + length].tobytes())
        tensors = {name: _Entry(entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _corrupt(path, "its header is not that of a safetensors file") from None
    end = 0
    for entry in sorted(tensors.values(), key=lambda entry: (entry.start, entry.stop)):
        if entry.start != end:
            raise _corrupt(path, "its tensors overlap or leave a gap")
        end = entry.stop
    if 8 + length + end != len(content):
        raise _corrupt(path, f"it has {len(content)} bytes, but its header tells of {8 + length + end}")
    data = content[8 + length :]
    return {name: entry.of(data, path, name) for name, entry in tensors.items() if entry.dtype in _DTYPES}


class _Entry:
    """What the header says of one tensor."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.dtype = str(entry["dtype"])
        self.shape = tuple(_natural(size) for size in entry["shape"])
        if len(self.shape) > 8:  # no weight of a model has that many dimensions, and an array has 64 at most
            raise ValueError
        self.start, self.stop = map(_natural, entry["data_offsets"])

    def of(self, data: Array, path: Path, name: str) -> Array:
        """Return the tensor; its bytes are copied where the file leaves them unaligned."""
        dtype = _DTYPES[self.dtype]
        if math.prod(self.shape) * dtype.itemsize != self.stop - self.start:
            raise _corrupt(path, f"{name} of shape {self.shape} does not have {self.stop - self.start} bytes")
        array = data[self.start : self.stop]
        if array.size and array.ctypes.data % dtype.itemsize:
            array = array.copy()
        return array.view(dtype).reshape(self.shape)


def _natural(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 48:
        raise ValueError
    return value


def _corrupt(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or corrupt ({why}); {DOWNLOAD}")
