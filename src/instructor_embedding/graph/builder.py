"""Builds an ONNX graph node by node.

Inputs are those of the original's ``forward``: ``input_ids`` and ``attention_mask`` (n, L), ``context_masks`` (n,), the
instruction's tokens; the output is ``sentence_embedding`` (n, dim). Batch and length are free.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from instructor_embedding.model.packed import Packed

OPSET = 17
INPUTS = ("input_ids", "attention_mask", "context_masks")
OUTPUT = "sentence_embedding"


def feeds(batch: Packed) -> dict[str, npt.NDArray[np.int64]]:
    """Return a padded batch under the names of a graph's inputs, int64."""
    ids, mask = batch.padded()
    return {name: column.astype(np.int64) for name, column in zip(INPUTS, (ids, mask, batch.skip), strict=True)}


class Graph:
    """Nodes and weights, in the order in which they are added; every value is known by its name.

    Parameters
    ----------
    onnx : module
    form : str
        How large weights are stored: one of `graph.weights.FORMS`.
    """

    def __init__(self, onnx: Any, form: str) -> None:
        self.onnx = onnx
        self.form = form
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def __call__(self, kind: str, *inputs: Any, name: str | None = None, **attributes: Any) -> str:
        """Add a node and return its output's name; inputs are names, scalars or arrays."""
        output = name or f"{kind}_{len(self.nodes)}"
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(self.onnx.helper.make_node(kind, names, [output], **attributes))
        return output

    def constant(self, value: Any) -> str:
        """Add values and return their name: floats as float32, ints as int64; equal scalars and lists once."""
        array = value.detach().float().numpy() if isinstance(value, Tensor) else np.asarray(value)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        small = array.size < 64
        name = f"{array.dtype}_{array.tolist()}" if small else f"weight_{len(self.weights)}"
        if name not in self.weights:
            self.weights[name] = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def tensor(self, value: Tensor) -> str:
        """Add a tensor in the dtype that it has and return its name."""
        kind = getattr(self.onnx.TensorProto, str(value.dtype).removeprefix("torch.").upper())
        content = value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        name = f"weight_{len(self.weights)}"
        self.weights[name] = self.onnx.helper.make_tensor(name, kind, tuple(value.shape), content, raw=True)
        return name

    def model(self) -> Any:
        """Return the model of all that was added."""
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        shapes = {"input_ids": ["n", "length"], "attention_mask": ["n", "length"], "context_masks": ["n"]}
        inputs = [helper.make_tensor_value_info(name, kinds.INT64, shapes[name]) for name in INPUTS]
        output = helper.make_tensor_value_info(OUTPUT, kinds.FLOAT, ["n", "dimension"])
        graph = helper.make_graph(self.nodes, "instructor", inputs, [output], list(self.weights.values()))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
