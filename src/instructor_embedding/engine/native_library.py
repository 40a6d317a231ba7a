"""The compiled part of the engine, which is there where the package was built with a C compiler for x86-64.

Its sources are in ``native``; this file names its functions and structures.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_float, c_int32, c_size_t, c_void_p
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "native" / "engine.so"

FLOAT32, BFLOAT16, INT8, INT4 = range(4)
ACTIVATIONS = ("relu", "gelu", "gelu_new", "silu")
COLUMNS = 32  # of a panel

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


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled part, or None where it was not built or does not load; calls into it release the GIL."""
    try:
        found = ctypes.CDLL(str(FILE))
    except OSError:
        return None
    model, batch = POINTER(Model), POINTER(Batch)
    for name, result, arguments in (
        ("features", c_int32, ()),
        ("panel_bytes", c_size_t, (c_int32, c_int32, c_int32)),
        ("panel_pack", None, (c_int32, c_void_p, c_int32, c_int32, c_void_p, c_void_p)),
        ("forward_bytes", c_size_t, (model, batch, c_int32)),
        ("forward", None, (model, batch, c_int32, c_void_p)),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def able(kind: int) -> bool:
    """Say whether the compiled part is here and this CPU has the instructions for products of a kind."""
    found = library()
    return found is not None and (found.features() & _NEEDS[kind]) == _NEEDS[kind]
