"""How an ONNX graph holds weights and multiplies by them: in float32, in half precision, or in 8 bits.

Half precision halves the file; products are computed in float32.
``"int8"`` computes in 8 bits: each row of the input is rounded to 255 steps as it comes, as the engine's own int8 path
does, so that a text's vector does not depend on the texts beside it.
``"int8-weights"`` only holds weights so, for runtimes that fuse what follows: OpenVINO.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.model.quantized import int8_of, weight_of

if TYPE_CHECKING:
    from instructor_embedding.engine.graph import Graph

FORMS = ("float32", "float16", "bfloat16", "int8", "int8-weights")
_FLOAT = 1  # onnx.TensorProto.FLOAT
_UINT8 = 2


def check(form: str, known: tuple[str, ...] = FORMS) -> None:
    """Raise `InputError` where there is no such form."""
    if form not in known:
        raise InputError(f"weights={form!r} is unknown{nearest(str(form), known)}; known: {', '.join(known)}")


def linear(graph: Graph, x: str, layer: Any) -> str:
    """Add the product of `x` (..., in) and a linear layer's weight; returns the name of (..., out)."""
    if not graph.form.startswith("int8"):
        held = _held(graph, weight_of(layer).T)
        return graph("MatMul", x, held if graph.form == "float32" else graph("Cast", held, to=_FLOAT))
    codes, scale = int8_of(layer)
    weight = graph.tensor(codes.T)
    if graph.form == "int8-weights":
        return graph("MatMul", x, graph("DequantizeLinear", weight, scale, axis=1))
    rows, step = _rows(graph, x)
    found = graph("MatMulInteger", rows, weight, graph.tensor(torch.tensor(128, dtype=torch.uint8)))
    found = graph("Mul", graph("Cast", found, to=_FLOAT), scale)
    return graph("Mul", found, step)


def _rows(graph: Graph, x: str) -> tuple[str, str]:
    """Add the rounding of each row to 8 bits about 128, once for each `x`; returns codes and step."""
    if x not in graph.rounded:
        largest = graph("ReduceMax", graph("Abs", x), axes=[-1], keepdims=1)
        step = graph("Mul", graph("Max", largest, 1e-30), 1 / 127)
        codes = graph("Cast", graph("Round", graph("Add", graph("Div", x, step), 128.0)), to=_UINT8)
        graph.rounded[x] = codes, step
    return graph.rounded[x]


def lookup(graph: Graph, layer: Any, ids: str) -> str:
    """Add the rows of a table of embeddings; returns the name of (..., columns)."""
    if not graph.form.startswith("int8"):
        rows = graph("Gather", _held(graph, weight_of(layer)), ids)
        return rows if graph.form == "float32" else graph("Cast", rows, to=_FLOAT)
    codes, scale = int8_of(layer)
    rows = graph("Cast", graph("Gather", graph.tensor(codes), ids), to=_FLOAT)
    return graph("Mul", rows, graph("Gather", scale[:, None], ids))


def _held(graph: Graph, weight: Tensor) -> str:
    """Add a weight as the graph holds it and return its name."""
    if graph.form == "float32":
        return graph.constant(weight)
    return graph.tensor(weight.detach().to(getattr(torch, graph.form)))
