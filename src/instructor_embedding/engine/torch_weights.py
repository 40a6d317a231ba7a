"""A torch model's weights as numpy arrays on the same memory, for the compiled engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.folder.arrays import BFLOAT16, Array
from instructor_embedding.model.lowbit_layers import QuantizedEmbedding, QuantizedLinear, weight_of
from instructor_embedding.model.pooling import Dense
from instructor_embedding.model.weights import DenseWeights, Weights

# of a layer's own tensors, as `Weights` names them
_NAMES = {"weight": "weight", "codes": "weight", "scale": "weight_scale", "columns": "weight_columns"}


def weights_of(embedder: Embedder) -> Weights | None:
    """Return the present weights of a model on a CPU, or None where a layer does more than its weights say.

    Linear layers are not looked at: `runtime` knows which of them can be packed.
    """
    encoder = embedder.encoder
    table: Any = encoder.embedding
    if type(table) not in (nn.Embedding, QuantizedEmbedding) or table._forward_hooks or table._forward_pre_hooks:
        return None
    tensors = {}
    for key, tensor in encoder.state_dict().items():
        layer, _, name = key.rpartition(".")
        tensors[f"{layer}.{_NAMES[name]}"] = array_of(tensor)
    dense = [_dense(layer) for layer in embedder.head.dense_layers()]
    if any(layer is None for layer in dense):
        return None
    complete = tuple(layer for layer in dense if layer is not None)
    return Weights(encoder.config, tensors, complete, embedder.head.normalize)


def array_of(tensor: Tensor) -> Array:
    """Return a CPU tensor as an array, bfloat16 under the dtype that `arrays` gives it."""
    plain = tensor.detach().contiguous()
    if plain.dtype == torch.bfloat16:
        return plain.view(torch.int16).numpy().view(BFLOAT16)
    return plain.numpy()


def _dense(layer: Dense) -> DenseWeights | None:
    linear: Any = layer.linear
    if linear._forward_hooks or linear._forward_pre_hooks:
        return None
    bias = linear.bias() if callable(linear.bias) else linear.bias
    offset = None if bias is None else array_of(bias)
    if isinstance(linear, QuantizedLinear):
        return DenseWeights(array_of(linear.codes), offset, layer.activation_name, array_of(linear.scale))
    return DenseWeights(array_of(weight_of(linear)), offset, layer.activation_name)
