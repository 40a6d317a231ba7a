"""torch's own files, ``pytorch_model.bin``: a zip archive since torch 1.6, before that pickles and then raw data."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from instructor_embedding.errors import CheckpointError
from instructor_embedding.model.folder.arrays import BFLOAT16, Array, mapped
from instructor_embedding.model.folder.json_file import DOWNLOAD
from instructor_embedding.model.folder.torch_pickle import (
    CorruptError,
    NotTensorsError,
    Storage,
    StoredTensor,
    load,
)

_LARGEST_PICKLE = 16 << 20  # bytes
_LONGEST_LINE = 1 << 12
_MAGIC = 0x1950A86A20F9469CFC6C  # the first number of old files
_LOCAL_HEADER = 30  # bytes of a zip entry before its name
_UNREADABLE = (  # what a file that is not one raises here and in zipfile, zlib
    CorruptError, zipfile.BadZipFile, zlib.error, KeyError, IndexError, EOFError, ValueError, OSError,
    NotImplementedError, RuntimeError, OverflowError,
)  # fmt: skip


def read_torch(path: Path) -> dict[str, Array]:
    """Return the tensors of a file, mapped; the pickle in it is read without executing anything.

    Raises
    ------
    CheckpointError
        The file is truncated or corrupt, or holds more than tensors.
    """
    try:
        content, storage_of = _zip(path) if zipfile.is_zipfile(path) else _legacy(path)
    except NotTensorsError as error:
        raise CheckpointError(
            f"{path} holds pickled objects that are not tensors ({error}), which are never loaded; "
            "save the weights alone, best as safetensors"
        ) from None
    except _UNREADABLE as error:
        raise _corrupt(path, error) from None
    if not isinstance(content, dict) or not all(isinstance(value, StoredTensor) for value in content.values()):
        raise CheckpointError(f"{path} is not a mapping from names to tensors; save model.state_dict() instead")
    if not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path} has tensors whose names are not strings; save model.state_dict() instead")
    try:
        return {name: _array(tensor, storage_of(tensor.storage), name) for name, tensor in content.items()}
    except _UNREADABLE as error:
        raise _corrupt(path, error) from None


def _zip(path: Path) -> tuple[Any, Callable[[Storage], Array]]:
    """Return the content of an archive and what gives its storages, which are entries without compression."""
    raw = mapped(path)
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        (name,) = (name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1)
        if entries[name].file_size > _LARGEST_PICKLE:
            raise CorruptError("its pickle is larger than that of any model")
        with archive.open(name) as file:
            content = load(io.BytesIO(file.read(_LARGEST_PICKLE)))
        prefix = name.removesuffix("data.pkl")
        if f"{prefix}byteorder" in entries:
            with archive.open(f"{prefix}byteorder") as file:
                if file.read(6) != b"little":
                    raise CorruptError("it was written on a machine with another byte order")

    def storage_of(storage: Storage) -> Array:
        info = entries[f"{prefix}data/{storage.key}"]
        header = raw[info.header_offset : info.header_offset + _LOCAL_HEADER].tobytes()
        if info.compress_type != zipfile.ZIP_STORED or header[:4] != b"PK\3\4":
            raise CorruptError(f"{info.filename} is compressed")
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        return _elements(raw, info.header_offset + _LOCAL_HEADER + names, storage, info.file_size)

    return content, storage_of


def _legacy(path: Path) -> tuple[Any, Callable[[Storage], Array]]:
    """Return the content of an old file and what gives its storages: four pickles, a list of keys, then raw data."""
    raw = mapped(path)
    with path.open("rb") as opened:
        file = _Bounded(opened)
        if load(file) != _MAGIC:
            raise CorruptError("it does not start like a file of torch")
        load(file)  # the version
        load(file)  # facts of the machine, all of them little-endian
        content = load(file)
        keys = load(file)
        if not isinstance(keys, list):
            raise CorruptError("it has no list of storages")
        position = opened.tell()
    if not isinstance(content, dict):
        return content, lambda storage: raw
    sizes = {tensor.storage.key: tensor.storage for tensor in content.values() if isinstance(tensor, StoredTensor)}
    arrays: dict[str, Array] = {}
    for key in keys:
        storage = sizes[str(key)]
        if int(raw[position : position + 8].view("<u8")[0]) != storage.size:
            raise CorruptError(f"the storage {key} has another size than its tensors say")
        arrays[str(key)] = _elements(raw, position + 8, storage, storage.size * _dtype(storage).itemsize)
        position += 8 + storage.size * _dtype(storage).itemsize
    return content, lambda storage: arrays[storage.key]


class _Bounded:
    """A file whose lines and reads have a bound: a corrupt length never makes it read gigabytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if not 0 <= size <= _LARGEST_PICKLE:
            raise CorruptError(f"an item of {size} bytes")
        return self._file.read(size)

    def readline(self) -> bytes:
        """Return the rest of a line."""
        line = self._file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise CorruptError("a name does not end")
        return line


def _dtype(storage: Storage) -> np.dtype[Any]:
    return BFLOAT16 if storage.dtype == "bfloat16" else np.dtype(storage.dtype)


def _elements(raw: Array, start: int, storage: Storage, size: int) -> Array:
    """Return a storage's elements, copied where the file leaves them unaligned."""
    dtype = _dtype(storage)
    if size != storage.size * dtype.itemsize or start + size > len(raw):
        raise CorruptError(f"the storage {storage.key} is incomplete")
    section = raw[start : start + size]
    if section.size and section.ctypes.data % dtype.itemsize:
        section = section.copy()
    return section.view(dtype)


def _array(tensor: StoredTensor, elements: Array, name: str) -> Array:
    """Return a tensor; strides that would repeat elements, or leave the storage, are refused."""
    shape, strides = tensor.shape, tensor.strides
    if len(shape) > 8:
        raise CorruptError(f"{name} has {len(shape)} dimensions")
    if len(shape) != len(strides):
        raise CorruptError(f"{name} has {len(shape)} dimensions and {len(strides)} strides")
    if 0 in shape:
        return elements[:0].reshape(shape)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    steps = sorted((stride, size) for size, stride in zip(shape, strides, strict=True) if size > 1)
    reach = 1
    for stride, size in steps:
        if stride < reach:
            raise CorruptError(f"{name} repeats its elements by strides {strides}")
        reach = stride * (size - 1) + reach
    if last >= len(elements):
        raise CorruptError(f"{name} reaches beyond its storage")
    step = elements.dtype.itemsize
    return np.lib.stride_tricks.as_strided(elements[tensor.offset :], shape, [stride * step for stride in strides])


def _corrupt(path: Path, error: Exception) -> CheckpointError:
    line = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
    return CheckpointError(f"{path} is truncated or corrupt ({line}); {DOWNLOAD}")
