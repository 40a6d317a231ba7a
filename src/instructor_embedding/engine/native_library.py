"""The compiled part of the engine, which is there where the package was built with a C compiler for x86-64.

Its sources are in ``native``; this file names its functions and structures.
"""

from __future__ import annotations

import _ctypes
import ctypes
import logging
from ctypes import POINTER, c_float, c_int32, c_size_t, c_void_p
from functools import cache
from pathlib import Path

from instructor_embedding.engine.native import build

FILE = Path(build.__file__).with_name(build.LIBRARY)
ABI = 2  # ENGINE_ABI of engine.h

FLOAT32, BFLOAT16, INT8, INT4 = range(4)
ACTIVATIONS = ("relu", "gelu", "gelu_new", "silu")
COLUMNS = 32  # of a panel

_LOG = logging.getLogger("instructor_embedding")
_NEEDS = {FLOAT32: 1, BFLOAT16: 1 | 4, INT8: 1 | 2}  # bits of the library's `features`


class Weight(ctypes.Structure):
    """``struct weight`` of ``engine.h``."""

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
        *((name, c_int32) for name in ("kind", "attention", "width", "heads", "head", "inner", "layers")),
        *((name, c_int32) for name in ("activation", "gated", "dense")),
        ("epsilon", c_float),
        ("table_kind", c_int32),
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


_STRUCTURES = (Weight, Layer, Model, Batch)  # in the order of `engine_abi`


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled library, or None where there is none that fits; calls into it release the GIL.

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
        return None
    return loaded


def _load() -> ctypes.CDLL | str | None:
    """Return the library, None where it does not exist or load, or what is wrong with its interface."""
    try:
        loaded = ctypes.CDLL(str(FILE))
    except OSError:
        return None
    sizes = (c_int32 * len(_STRUCTURES))()
    try:
        loaded.engine_abi.restype, loaded.engine_abi.argtypes = c_int32, (POINTER(c_int32), c_int32)
        version = loaded.engine_abi(sizes, len(sizes))
    except AttributeError:
        _close(loaded)
        return f"{FILE} is of other sources: it has no engine_abi"
    expected = [ctypes.sizeof(structure) for structure in _STRUCTURES]
    if version != ABI or list(sizes) != expected:
        _close(loaded)
        return f"{FILE} is of other sources: interface {version} {list(sizes)}, expected {ABI} {expected}"
    model, batch = POINTER(Model), POINTER(Batch)
    for name, result, arguments in (
        ("features", c_int32, ()),
        ("panel_bytes", c_size_t, (c_int32, c_int32, c_int32)),
        ("panel_pack", None, (c_int32, c_void_p, c_int32, c_int32, c_void_p, c_void_p)),
        ("forward_bytes", c_size_t, (model, batch, c_int32)),
        ("forward", None, (model, batch, c_int32, c_void_p)),
    ):
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def _close(loaded: ctypes.CDLL) -> None:
    """Unload a library: dlopen would return it again for the same path, although the file is another by then."""
    unload = getattr(_ctypes, "dlclose" if hasattr(_ctypes, "dlclose") else "FreeLibrary")
    unload(loaded._handle)


def able(kind: int) -> bool:
    """Say whether the compiled part is here and this CPU has the instructions for products of a kind."""
    found = library()
    return found is not None and (found.features() & _NEEDS[kind]) == _NEEDS[kind]
