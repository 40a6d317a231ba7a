"""The compiled engine: which kernels it has and which of them this CPU runs.

It is there where the package was built with a C compiler.
Its sources are in ``native``; this file names its functions and structures, and `library` is the only way to them.
Kernels exist once per instruction set; the fastest that the CPU has are chosen at run time, or others by name.
"""

from __future__ import annotations

import _ctypes
import ctypes
import logging
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_float, c_int32, c_size_t, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from instructor_embedding.engine.native import build
from instructor_embedding.errors import CheckpointError, InputError, choose

FILE = Path(build.__file__).with_name(build.LIBRARY)
ABI = 3  # ENGINE_ABI of engine.h

FLOAT32, BFLOAT16, INT8, INT4, FLOAT16 = range(5)  # enum format
KINDS = {"float32": FLOAT32, "bfloat16": BFLOAT16, "int8": INT8}  # what matmuls compute in
ACTIVATIONS = ("relu", "gelu", "gelu_new", "silu")

_LOG = logging.getLogger("instructor_embedding")
_WIDEST = 65535  # inputs of an int8 matmul: the largest sum of 255 x 127 still fits 32 bits
_DTYPES = {FLOAT32: "float32", BFLOAT16: "uint16", INT8: "int8", INT4: "uint8", FLOAT16: "float16"}


class Source(ctypes.Structure):
    """``struct source`` of ``engine.h``."""

    _fields_ = (("values", c_void_p), ("scale", c_void_p), ("format", c_int32), ("rows", c_int32))


class Weight(ctypes.Structure):
    """``struct weight``."""

    _fields_ = (
        ("panels", c_void_p),
        ("scale", c_void_p),
        ("shift", c_void_p),
        ("inputs", c_int32),
        ("outputs", c_int32),
    )


class Layer(ctypes.Structure):
    """``struct layer``."""

    _fields_ = (
        ("attention_norm", c_void_p),
        ("feed_forward_norm", c_void_p),
        ("qkv", Weight),
        ("o", Weight),
        ("up", Weight),
        ("down", Weight),
    )


class Model(ctypes.Structure):
    """``struct model``."""

    _fields_ = (
        *((name, c_int32) for name in ("kernels", "kind", "attention", "width", "heads", "head", "inner", "layers")),
        *((name, c_int32) for name in ("activation", "gated", "dense")),
        ("epsilon", c_float),
        ("table_format", c_int32),
        ("table", c_void_p),
        ("table_scale", c_void_p),
        ("table_columns", c_void_p),
        ("layer", POINTER(Layer)),
        ("final_norm", c_void_p),
        ("head_weights", POINTER(Weight)),
    )


class Batch(ctypes.Structure):
    """``struct batch``."""

    _fields_ = (
        *((name, c_void_p) for name in ("ids", "where", "starts", "skip", "bias")),
        *((name, c_int32) for name in ("texts", "distinct", "span")),
        ("vectors", c_void_p),
    )


_STRUCTURES = (Source, Weight, Layer, Model, Batch)  # in the order of `engine_abi`


class Matrix(NamedTuple):
    """A stored matrix.

    Parameters
    ----------
    values : array of shape (rows, inputs)
        float32, float16, int8, uint16 (the bits of bfloat16), or uint8 of shape (rows, inputs / 2) with two 4-bit codes
        per byte.
    format : int
        ``FLOAT32``, ``FLOAT16``, ``INT8``, ``BFLOAT16`` or ``INT4``.
    scale : array, optional
        Of 8-bit codes float32 of shape (rows,), of 4-bit codes float16 of shape (rows, inputs / 32).
    name : str
        What errors call it.
    """

    values: npt.NDArray[Any]
    format: int = FLOAT32
    scale: npt.NDArray[Any] | None = None
    name: str = "a weight"

    @property
    def inputs(self) -> int:
        """Columns of the matrix."""
        return int(self.values.shape[-1] if self.values.ndim else 0) * (2 if self.format == INT4 else 1)

    def checked(self) -> Matrix:
        """Return the matrix with contiguous arrays, after a look at their dtypes and shapes.

        Raises
        ------
        CheckpointError
            They do not fit the format.
        """
        values = np.ascontiguousarray(self.values)
        scale = None if self.scale is None else np.ascontiguousarray(self.scale)
        fits = values.ndim == 2 and values.size > 0 and values.dtype == _DTYPES[self.format]
        expected = {
            INT8: (np.dtype(np.float32), (len(values),)),
            INT4: (np.dtype(np.float16), (len(values), self.inputs // 32)),
        }.get(self.format)
        scaled = None if scale is None else (scale.dtype, scale.shape)
        if not fits or scaled != expected:
            raise CheckpointError(f"{self.name} is not a matrix that the engine knows: {values.dtype} {values.shape}")
        return self._replace(values=values, scale=scale)


class Prepacked(NamedTuple):
    """A packed weight and the memory that it points to."""

    weight: Weight
    memory: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Library:
    """The compiled engine with one set of kernels; calls into it release the GIL.

    Attributes
    ----------
    handle : CDLL
    number, name
        Of the kernels.
    kinds : tuple of str
        What their matmuls compute in: keys of ``KINDS``.
    tile : (int, int)
        Rows and columns of the sums that are in registers at once.
    """

    handle: ctypes.CDLL
    number: int
    name: str
    kinds: tuple[str, ...]
    tile: tuple[int, int]

    def pack(self, kind: int, matrices: Sequence[Matrix], gated: bool = False) -> Prepacked:
        """Pack matrices of equal width, one above the other or, gated, interleaved, for matmuls of a kind.

        Raises
        ------
        CheckpointError
            A value is infinite or not a number, or a matrix has another format, width or number of rows than it must.
        """
        matrices = [matrix.checked() for matrix in matrices]
        inputs = matrices[0].inputs
        for matrix in matrices:
            if matrix.inputs != inputs or (kind == INT8 and inputs > _WIDEST):
                raise CheckpointError(f"{matrix.name} has {matrix.inputs} columns; {matrices[0].name} has {inputs}")
        if gated and len({len(matrix.values) for matrix in matrices}) != 1:
            raise CheckpointError(f"{matrices[1].name} has other rows than {matrices[0].name}")
        sources = (Source * len(matrices))(
            *(
                Source(matrix.values.ctypes.data, None if matrix.scale is None else matrix.scale.ctypes.data,
                       matrix.format, len(matrix.values))
                for matrix in matrices
            )
        )  # fmt: skip
        arguments = (self.number, kind, sources, len(matrices), inputs, gated)
        memory = np.empty(self.handle.engine_weight_bytes(*arguments), np.uint8)
        weight = Weight()
        status = self.handle.engine_pack(*arguments, memory.ctypes.data, byref(weight))
        if status < 0:
            raise MemoryError(f"no memory to pack {matrices[0].name}")
        if status:
            raise CheckpointError(f"{matrices[status - 1].name} has a value that is infinite or not a number")
        return Prepacked(weight, memory)

    def forward(self, model: Model, batch: Batch, threads: int, scratch: npt.NDArray[np.uint8]) -> None:
        """Encode a batch, with as many bytes of scratch memory as `forward_bytes` returns."""
        self.handle.engine_forward(byref(model), byref(batch), threads, scratch.ctypes.data)

    def forward_bytes(self, model: Model, batch: Batch, threads: int) -> int:
        """Return how much scratch memory `forward` needs."""
        size: int = self.handle.engine_forward_bytes(byref(model), byref(batch), threads)
        return size


def library(kernels: str | None = None, kind: int = FLOAT32) -> Library | None:
    """Return the compiled engine, or None where it was not built or this CPU does not compute in that kind.

    Parameters
    ----------
    kernels : str, optional
        A name of `kernels`. Default: the fastest kernels of this CPU that compute in `kind`.
    kind : int
        ``FLOAT32``, ``BFLOAT16`` or ``INT8``.

    Raises
    ------
    InputError
        There are no such kernels, or this CPU does not run them.
    """
    available = _available()
    if kernels is not None and available:
        choose("kernels", kernels, [entry.name for entry in available])
    name = next(name for name, number in KINDS.items() if number == kind)
    return next((entry for entry in available if name in entry.kinds and kernels in (None, entry.name)), None)


def kernels() -> dict[str, tuple[str, ...]]:
    """Return the kernels that this CPU runs, the fastest first, and what each computes in.

    >>> kernels()  # doctest: +SKIP
    {'avx2': ('float32', 'int8'), 'plain': ('float32', 'int8')}
    """
    return {entry.name: entry.kinds for entry in _available()}


def supports(kind: int, kernels: str | None = None) -> bool:
    """Return whether the compiled engine is here and this CPU has the instructions for matmuls of a kind."""
    try:
        return library(kernels, kind) is not None
    except InputError:
        return False


@cache
def _available() -> tuple[Library, ...]:
    """Return the library with each set of kernels that this CPU runs, the fastest first; empty where there is none.

    A library of other sources than this file's is never called: it is compiled again where its sources are beside it
    (an editable install after a pull), else it is left out. Both are logged once.
    """
    loaded = _load()
    if isinstance(loaded, str) and (FILE.parent / "engine.h").is_file():
        problem = build.compile_library(FILE.parent)
        _LOG.warning("%s; %s", loaded, f"it was not compiled again: {problem}" if problem else "it was compiled again")
        loaded = None if problem else _load()
    if isinstance(loaded, str):
        _LOG.warning("%s; it is left out, and torch's operators run instead: reinstall the package", loaded)
    if loaded is None or isinstance(loaded, str):
        return ()
    libraries = []
    number = 0
    while name := loaded.engine_kernels_name(number):
        bits = loaded.engine_kernels_kinds(number)
        kinds = tuple(kind for kind, bit in KINDS.items() if bits >> bit & 1)
        tile = (loaded.engine_tile(number, 0), loaded.engine_tile(number, 1))
        libraries += [Library(loaded, number, name.decode(), kinds, tile)] if kinds else []
        number += 1
    return tuple(libraries)


def _load() -> ctypes.CDLL | str | None:
    """Return the library, None where it does not exist or load, or what is wrong with its interface."""
    try:
        loaded = ctypes.CDLL(str(FILE))
    except OSError:
        return None
    expected = _layout()
    layout = (c_int32 * len(expected))()
    try:
        loaded.engine_abi.restype, loaded.engine_abi.argtypes = c_int32, (POINTER(c_int32), c_int32)
        version = loaded.engine_abi(layout, len(layout))
    except AttributeError:
        _close(loaded)
        return f"{FILE} is of other sources: it has no engine_abi"
    if version != ABI or list(layout) != expected:
        _close(loaded)
        return f"{FILE} is of other sources: interface {version} {list(layout)}, expected {ABI} {expected}"
    model, batch = POINTER(Model), POINTER(Batch)
    packing = (c_int32, c_int32, POINTER(Source), c_int32, c_int32, c_int32)
    for name, result, arguments in (
        ("kernels_name", c_char_p, (c_int32,)),
        ("kernels_kinds", c_int32, (c_int32,)),
        ("tile", c_int32, (c_int32, c_int32)),
        ("weight_bytes", c_size_t, packing),
        ("pack", c_int32, (*packing, c_void_p, POINTER(Weight))),
        ("forward_bytes", c_size_t, (model, batch, c_int32)),
        ("forward", None, (model, batch, c_int32, c_void_p)),
    ):
        function = getattr(loaded, f"engine_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded


def _layout() -> list[int]:
    """Return what `engine_abi` reports: the size of each structure, followed by the offsets of its fields."""
    numbers: list[int] = []
    for structure in _STRUCTURES:
        fields = structure._fields_
        numbers += [ctypes.sizeof(structure), *(getattr(structure, field[0]).offset for field in fields)]
    return numbers


def _close(loaded: ctypes.CDLL) -> None:
    """Unload a library: dlopen would return it again for the same path, although the file is another by then."""
    unload = getattr(_ctypes, "dlclose" if hasattr(_ctypes, "dlclose") else "FreeLibrary")
    unload(loaded._handle)
