"""The dense layers after pooling and the unit norm, as numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from instructor_embedding.model.folder.arrays import floats
from instructor_embedding.model.lowbit import dequantized
from instructor_embedding.model.packed import Float32
from instructor_embedding.model.weights import DenseWeights

_SMALLEST = np.float32(1e-12)  # a smaller norm counts as this, as in torch's normalize


def project(means: Float32, dense: Sequence[DenseWeights]) -> Float32:
    """Apply dense layers to float32 (n, in); returns float32 (n, out)."""
    for layer in dense:
        means = means @ _matrix(layer).T
        if layer.bias is not None:
            means += floats(layer.bias)
        means = _ACTIVATIONS[layer.activation.rpartition(".")[2]](means).astype(np.float32, copy=False)
    return means


def normalized(vectors: Float32) -> Float32:
    """Scale vectors to unit norm, in place."""
    vectors /= np.maximum(np.sqrt(np.einsum("nd,nd->n", vectors, vectors)), _SMALLEST)[:, None]
    return vectors


def _matrix(layer: DenseWeights) -> Float32:
    return floats(layer.weight) if layer.scale is None else dequantized(layer.weight, layer.scale)


def _sigmoid(x: Float32) -> Float32:
    with np.errstate(over="ignore"):
        sigmoid: Float32 = np.float32(1) / (np.float32(1) + np.exp(-x))
    return sigmoid


def _gelu(x: Float32) -> Float32:
    erf = np.fromiter(map(math.erf, (x.ravel() * math.sqrt(0.5)).tolist()), np.float64, x.size).reshape(x.shape)
    return (x * 0.5 * (1 + erf)).astype(np.float32)


_ACTIVATIONS: dict[str, Callable[[Float32], Float32]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "GELU": _gelu,
    "SiLU": lambda x: x * _sigmoid(x),
    "Sigmoid": _sigmoid,
}
