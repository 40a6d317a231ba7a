"""How an ONNX graph stores weights and multiplies by them: in float32, in half precision, or in 8 bits.

Half precision halves the file; GEMMs are computed in float32.
In 8 bits each output channel has its scale, and the runtime decides how it multiplies: ONNX Runtime and OpenVINO both
know such weights and do not make floats of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from instructor_embedding.errors import choose
from instructor_embedding.graph.builder import Graph
from instructor_embedding.model.lowbit_layers import QuantizedEmbedding, int8_of, weight_of

FORMS = ("float32", "float16", "bfloat16", "int8")
_FLOAT = 1  # onnx.TensorProto.FLOAT


def check(form: str, known: tuple[str, ...] = FORMS) -> None:
    """Raise `InputError` where there is no such form."""
    choose("weights", form, known)


def linear(graph: Graph, x: str, layer: Any) -> str:
    """Add the matmul of `x` (..., in) by a linear layer's weight; returns the name of (..., out)."""
    if graph.form != "int8":
        weight = _stored(graph, weight_of(layer).T)
        return graph("MatMul", x, weight if graph.form == "float32" else graph("Cast", weight, to=_FLOAT))
    codes, scale = int8_of(layer)
    return graph("MatMul", x, graph("DequantizeLinear", graph.tensor(codes.T), scale, axis=1))


def lookup(graph: Graph, layer: Any, ids: str) -> str:
    """Add the rows of a table of embeddings; returns the name of (..., columns)."""
    if graph.form != "int8":
        rows = graph("Gather", _stored(graph, weight_of(layer)), ids)
        return rows if graph.form == "float32" else graph("Cast", rows, to=_FLOAT)
    is_int8 = isinstance(layer, QuantizedEmbedding) and layer.codes.dtype == torch.int8
    small = layer if is_int8 else QuantizedEmbedding.of(weight_of(layer), 8)
    mean, deviation = small.columns
    rows = graph("Cast", graph("Gather", graph.tensor(small.codes), ids), to=_FLOAT)
    rows = graph("Mul", rows, graph("Gather", small.scale[:, None], ids))
    return graph("Add", graph("Mul", rows, deviation), mean)


def _stored(graph: Graph, weight: Tensor) -> str:
    """Add a weight in the format of the graph and return its name."""
    if graph.form == "float32":
        return graph.constant(weight)
    return graph.tensor(weight.detach().to(getattr(torch, graph.form)))
