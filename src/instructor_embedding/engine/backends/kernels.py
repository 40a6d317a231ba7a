"""Matrix multiplication on a CPU in float32, bfloat16 or int8, by weights that oneDNN prepacked.

A value is passed as ``(rows, scale)`` and means ``rows * scale``, with one scale per row, or None where there is none.
Every scale depends on its own row alone, so that a text's vector does not depend on its batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from instructor_embedding.model.lowbit_layers import int8_of, weight_of
from instructor_embedding.model.t5 import ACTIVATIONS

ROWS = 1024  # rows that weights are prepacked for; other counts work as well

# T5's activation: (name, algorithm) of oneDNN's post-operation
_FUSED = {"relu": ("relu", ""), "gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh"), "silu": ("swish", "")}

# steps of int8 from zero, and of uint8; on the CPU, whatever the caller's default device is
_BOTH, _POSITIVE = torch.tensor(127.0, device="cpu"), torch.tensor(255.0, device="cpu")

Value = tuple[Tensor, Tensor | None]


class Kernel(Protocol):
    """Multiplies rows by weights; `attention` is the dtype in which attention is computed beside it."""

    attention: torch.dtype

    def pack(self, layers: list[Any]) -> Any:
        """Pack the weights (out, in) of linear layers, stacked, for `multiply`."""
        ...

    def rows(self, x: Tensor, scale: Tensor | None = None, positive: bool = False) -> Any:
        """Convert a value (T, in) to the input of `multiply`; `x` may be overwritten.

        `positive` promises that no element is below zero.
        """
        ...

    def multiply(
        self, rows: Any, weight: Any, activation: str | None = None, dtype: torch.dtype = torch.float32
    ) -> Value:
        """Return the matmul (T, out) with the activation applied; `dtype` is a hint."""
        ...


class FloatKernel:
    """Matmuls in float32 or bfloat16."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.attention = dtype

    def pack(self, layers: list[Any]) -> Tensor:
        """Return the weights in oneDNN's own layout."""
        weight = torch.cat([weight_of(layer) for layer in layers]) if len(layers) > 1 else weight_of(layers[0])
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.to(self.attention).contiguous(), ROWS)
        return packed

    def rows(self, x: Tensor, scale: Tensor | None = None, positive: bool = False) -> Tensor:
        """Return the value in the dtype of the weights."""
        return (x if scale is None else x.mul_(scale)).to(self.attention)

    def multiply(
        self, rows: Tensor, weight: Tensor, activation: str | None = None, dtype: torch.dtype = torch.float32
    ) -> Value:
        """Return the matmul in the dtype of the weights."""
        name, algorithm = _FUSED[activation] if activation else ("none", "")
        return torch.ops.mkldnn._linear_pointwise(rows, weight, None, name, [], algorithm), None


class Int8Weight(NamedTuple):
    """A weight in int8, prepacked by oneDNN, with one float32 scale and one int32 zero per output channel."""

    packed: Tensor
    scale: Tensor
    zero: Tensor


class Int8Rows(NamedTuple):
    """Rows in uint8: ``codes / 255 * scale`` if positive, else ``(codes - 128) / 127 * scale``; `scale` is (T, 1)."""

    codes: Tensor
    scale: Tensor
    positive: bool


class Int8Kernel:
    """Matmuls in int8: a scale per channel of the weights and a scale per row, computed dynamically.

    Sums are exact in int32.
    """

    def __init__(self, attention: torch.dtype) -> None:
        self.attention = attention

    def pack(self, layers: list[Any]) -> Int8Weight:
        """Prepack weights in 8 bits: their own codes where they have them, else rounded."""
        codes, scale = (torch.cat(rows) for rows in zip(*map(int8_of, layers), strict=True))
        packed = torch.ops.onednn.qlinear_prepack(codes, [ROWS, codes.shape[1]])
        return Int8Weight(packed, scale, torch.zeros(len(scale), dtype=torch.int32, device="cpu"))

    def rows(self, x: Tensor, scale: Tensor | None = None, positive: bool = False) -> Int8Rows:
        """Round rows: values of both signs to -127..127 about 128, values of one sign to 0..255."""
        x = x.float()
        largest = (x if positive else x.abs()).amax(1, keepdim=True).clamp_(min=1e-30)
        codes = x.mul_(torch.div(_POSITIVE if positive else _BOTH, largest))
        if positive:
            codes.sub_(128)
        shifted = codes.round_().to(torch.int8).view(torch.uint8).bitwise_xor_(128)  # adds 128; casts to uint8 are slow
        return Int8Rows(shifted, largest if scale is None else largest.mul_(scale), positive)

    def multiply(
        self, rows: Int8Rows, weight: Int8Weight, activation: str | None = None, dtype: torch.dtype = torch.float32
    ) -> Value:
        """Return the matmul in float32; ``relu`` leaves the scale of the rows for later."""
        relu = activation == "relu"
        step, zero = (1 / 255, 0) if rows.positive else (1 / 127, 128)
        products: Tensor = torch.ops.onednn.qlinear_pointwise(
            rows.codes, step, zero, weight.packed, weight.scale, weight.zero,
            None, 1.0, 0, dtype, "relu" if relu else "none", [], "",
        )  # fmt: skip
        if activation is None or relu:
            return products, rows.scale
        return ACTIVATIONS[activation](products.mul_(rows.scale)), None
