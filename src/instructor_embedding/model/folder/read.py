"""Reads a folder as a torch module; what a folder holds is the business of `contents`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from instructor_embedding.model import pooling, t5
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.folder.arrays import BFLOAT16, Array, floats
from instructor_embedding.model.folder.contents import read_contents
from instructor_embedding.model.lowbit_layers import replace_layer


def read(folder: Path) -> Embedder:
    """Read the model in `folder` in float32, or in the 8 or 4 bits that its weights have; float32 files stay mapped.

    Raises
    ------
    CheckpointError
        A file is missing, corrupt, of another kind of model, or does not fit the others; the message names it.
    """
    weights, tokens = read_contents(folder)
    with torch.device("meta"):
        encoder = t5.T5Encoder(weights.config)
        dense = [
            pooling.Dense(layer.shape[1], layer.shape[0], layer.bias is not None, layer.activation)
            for layer in weights.dense
        ]
    _assign(encoder, weights.tensors)
    for module, layer in zip(dense, weights.dense, strict=True):
        tensors = {"linear.weight": layer.weight, "linear.weight_scale": layer.scale, "linear.bias": layer.bias}
        _assign(module, {name: array for name, array in tensors.items() if array is not None})
    return Embedder(encoder, pooling.Head(dense, normalize=weights.normalize), tokens).eval()


def _assign(module: nn.Module, tensors: Mapping[str, Array]) -> None:
    """Make arrays the parameters of `module`, without copying float32; low-bit layers replace torch's."""
    parameters = {}
    for name in module.state_dict():
        scale = tensors.get(f"{name}_scale")
        if scale is None:
            parameters[name] = tensor_of(floats(tensors[name]))  # by numpy: torch's threads hang in a forked child
            continue
        columns = tensors.get(f"{name}_columns")
        codes, scales = tensor_of(tensors[name]), tensor_of(scale)
        replace_layer(
            module, name.removesuffix(".weight"), codes, scales, None if columns is None else tensor_of(columns)
        )
    module.load_state_dict(parameters, assign=True, strict=False)


def tensor_of(array: Array) -> Tensor:
    """Return an array as a tensor on the same memory, bfloat16 included."""
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view("<i2")).view(torch.bfloat16)
    return torch.from_numpy(array)
