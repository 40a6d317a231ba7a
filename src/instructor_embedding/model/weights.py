"""Weights: all values of a model as numpy arrays, in the formats that they are stored in; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from instructor_embedding.model.config import T5Config
from instructor_embedding.model.folder.arrays import Array


@dataclass(frozen=True)
class DenseWeights:
    """A dense layer after pooling.

    Parameters
    ----------
    weight : array of shape (out, in)
        Floating-point, or the codes of `lowbit`.
    bias : floating-point of shape (out,), optional
    activation : str
        Dotted name of torch's module, one of `pooling.ACTIVATIONS`.
    scale : array, optional
        Of codes, see `lowbit`.
    """

    weight: Array
    bias: Array | None
    activation: str
    scale: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs."""
        rows, columns = self.weight.shape
        return rows, columns * (2 if self.scale is not None and self.weight.dtype == np.uint8 else 1)


@dataclass(frozen=True)
class Weights:
    """What a model computes with.

    Use it to make a backend that needs no torch; it comes from a folder, or from a model in memory.

    Parameters
    ----------
    config : T5Config
    tensors : mapping of str to array
        Names are those of ``T5Encoder.state_dict``. Weights in 8 or 4 bits are ``NAME.weight`` (codes),
        ``NAME.weight_scale`` and, of the table of embeddings, ``NAME.weight_columns``; see `lowbit`.
    dense : tuple of DenseWeights
        Applied to the pooled states, in order.
    normalize : bool
        Whether vectors have unit norm.
    """

    config: T5Config
    tensors: Mapping[str, Array]
    dense: tuple[DenseWeights, ...]
    normalize: bool

    @property
    def dimension(self) -> int:
        """Dimensions of a vector."""
        return len(self.dense[-1].weight) if self.dense else self.config.d_model

    @property
    def is_quantized(self) -> bool:
        """Whether linear layers are stored in 8 or 4 bits."""
        return any(name.endswith(".weight_scale") and not name.startswith("embedding.") for name in self.tensors)
