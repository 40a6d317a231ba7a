"""The model as one ONNX graph: encoder, mean pooling without the instruction, dense layers, normalization."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch

from instructor_embedding.extras import need
from instructor_embedding.graph.builder import OUTPUT, Graph
from instructor_embedding.graph.weights import linear, lookup
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.pooling import Dense, Head
from instructor_embedding.model.t5 import Block, RMSNorm, T5Encoder


def write(embedder: Embedder, path: Path, form: str = "float32") -> None:
    """Write the graph to `path`, and its weights, in one of `weights.FORMS`, to ``<path>.data`` beside it."""
    onnx = need("onnx", "an ONNX graph")
    graph = Graph(onnx, form)
    states = _encode(graph, embedder.encoder)
    _pool(graph, states, embedder.head)
    model = graph.model()
    path.parent.mkdir(parents=True, exist_ok=True)
    data = path.name + ".data"
    (path.parent / data).unlink(missing_ok=True)
    onnx.save_model(model, str(path), save_as_external_data=True, location=data, size_threshold=1024)


def _encode(graph: Graph, encoder: T5Encoder) -> str:
    """Add the encoder; returns the name of its states (n, L, D)."""
    heads = encoder.config.num_heads
    bias = _bias(graph, encoder)
    hidden = lookup(graph, encoder.embedding, "input_ids")
    for module in encoder.blocks:
        block = cast(Block, module)
        x = _norm(graph, hidden, block.attention_norm)
        layer = block.attention
        query, key, value = (
            _split(graph, linear(graph, x, projection), heads) for projection in (layer.q, layer.k, layer.v)
        )
        scores = graph("Add", graph("MatMul", query, graph("Transpose", key, perm=[0, 1, 3, 2])), bias)
        mixed = graph("Transpose", graph("MatMul", graph("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
        mixed = graph("Reshape", mixed, [0, 0, heads * encoder.config.d_kv])
        hidden = graph("Add", hidden, linear(graph, mixed, layer.o))
        x = _norm(graph, hidden, block.feed_forward_norm)
        inner = block.feed_forward
        activate = _ACTIVATIONS[inner.activation]
        if inner.gated:
            gate = activate(graph, linear(graph, x, inner.wi_0))
            x = graph("Mul", gate, linear(graph, x, inner.wi_1))
        else:
            x = activate(graph, linear(graph, x, inner.wi))
        hidden = graph("Add", hidden, linear(graph, x, inner.wo))
    return _norm(graph, hidden, encoder.final_norm)


def _bias(graph: Graph, encoder: T5Encoder) -> str:
    """Add the bias of relative positions and of padding, (n, H, L, L): by distance, as far ones share a bucket."""
    far = encoder.config.relative_attention_max_distance
    with torch.no_grad():
        table = encoder.position_bias(far + 1)[0]  # (H, far + 1, far + 1)
        by_distance = torch.cat([table[:, 1:, 0].flip(1), table[:, 0]], 1).T  # (2 far + 1, H), from -far to far
    position = _positions(graph)
    distance = graph("Sub", graph("Unsqueeze", position, [0]), graph("Unsqueeze", position, [1]))
    near = graph("Min", graph("Max", distance, -far), far)
    near = graph("Gather", by_distance, graph("Add", near, far))
    bias = graph("Unsqueeze", graph("Transpose", near, perm=[2, 0, 1]), [0])
    padding = graph("Sub", 1.0, graph("Cast", graph("Unsqueeze", "attention_mask", [1, 2]), to=1))
    return graph("Add", bias, graph("Mul", padding, -1e9))


def _positions(graph: Graph) -> str:
    """Add 0, 1, ... L - 1."""
    length = graph("Squeeze", graph("Slice", graph("Shape", "input_ids"), [1], [2]), [0])
    return graph("Range", 0, length, 1)


def _pool(graph: Graph, states: str, head: Head) -> None:
    """Add the mean over the tokens after the instruction, and the head."""
    last = graph("Sub", graph("ReduceSum", "attention_mask", [1], keepdims=0), 1)  # the EOS token is always pooled
    skip = graph("Min", "context_masks", last)
    after = graph("GreaterOrEqual", _positions(graph), graph("Unsqueeze", skip, [1]))
    pooled = graph("Mul", graph("Cast", "attention_mask", to=1), graph("Cast", after, to=1))
    total = graph("Squeeze", graph("MatMul", graph("Unsqueeze", pooled, [1]), states), [1])
    vectors = graph("Div", total, graph("ReduceSum", pooled, [1], keepdims=1))
    for module in head.dense:
        dense = cast(Dense, module)
        vectors = linear(graph, vectors, dense.linear)
        if dense.linear.bias is not None:
            vectors = graph("Add", vectors, dense.linear.bias)
        activate = _ACTIVATIONS[type(dense.activation).__name__.lower()]
        vectors = activate(graph, vectors)
    if head.normalize:
        vectors = graph("Div", vectors, graph("Max", graph("ReduceL2", vectors, axes=[1], keepdims=1), 1e-12))
    graph("Identity", vectors, name=OUTPUT)


def _split(graph: Graph, x: str, heads: int) -> str:
    return graph("Transpose", graph("Reshape", x, [0, 0, heads, -1]), perm=[0, 2, 1, 3])


def _norm(graph: Graph, x: str, norm: RMSNorm) -> str:
    mean = graph("ReduceMean", graph("Mul", x, x), axes=[-1], keepdims=1)
    size = graph("Sqrt", graph("Add", mean, norm.eps))
    return graph("Mul", graph("Div", x, size), norm.weight)


def _gelu(graph: Graph, x: str) -> str:
    half = graph("Mul", x, 0.5)
    return graph("Mul", half, graph("Add", graph("Erf", graph("Mul", x, math.sqrt(0.5))), 1.0))


def _gelu_tanh(graph: Graph, x: str) -> str:
    cube = graph("Mul", graph("Mul", graph("Mul", x, x), x), 0.044715)
    inner = graph("Tanh", graph("Mul", graph("Add", x, cube), math.sqrt(2 / math.pi)))
    return graph("Mul", graph("Mul", x, 0.5), graph("Add", inner, 1.0))


_ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "relu": lambda graph, x: graph("Relu", x),
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "silu": lambda graph, x: graph("Mul", x, graph("Sigmoid", x)),
    "identity": lambda graph, x: x,
    "tanh": lambda graph, x: graph("Tanh", x),
    "sigmoid": lambda graph, x: graph("Sigmoid", x),
}
