"""Layers whose weights are in 8 or 4 bits, instead of torch's; `lowbit` describes the formats."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instructor_embedding.model.lowbit import GROUP, check

_ROWS = 4096  # rows that are rounded together, to bound memory
_TRIED = torch.linspace(0.80, 1.10, 13)  # scales tried for a group, as fractions of largest / 8


_Module = TypeVar("_Module", bound=nn.Module)


class QuantizedLinear(nn.Module):
    """A linear layer whose weight is stored in 8 or 4 bits.

    The engine's int8 path multiplies by the 8-bit codes themselves; `forward` multiplies by the weight they stand for,
    which is dequantized at each call.

    Parameters
    ----------
    codes, scale : Tensor
        See `lowbit`.
    bias : Tensor of shape (out,), optional
    """

    codes: Tensor
    scale: Tensor

    def __init__(self, codes: Tensor, scale: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    @property
    def in_features(self) -> int:
        """Columns of the weight."""
        return columns_of(self.codes)

    @property
    def out_features(self) -> int:
        """Rows of the weight."""
        return len(self.codes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out), in the dtype of `x`."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, dequantized(self.codes, self.scale).to(x.dtype), bias)

    def extra_repr(self) -> str:
        """Name the shape, as torch's layers do."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bits={bits_of(self.codes)}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantizedLinear:
        scale = self.scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.scale = scale.to(self.scale.device)  # in its own dtype: model.half() must not round it
        return self


class QuantizedEmbedding(nn.Module):
    """A table of embeddings stored in 8 or 4 bits; only the requested rows are dequantized."""

    codes: Tensor
    scale: Tensor
    columns: Tensor

    def __init__(self, codes: Tensor, scale: Tensor, columns: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale)
        self.register_buffer("columns", columns)

    @classmethod
    def of(cls, weight: Tensor, bits: int) -> QuantizedEmbedding:
        """Round a table (rows, columns)."""
        weight = weight.detach().float()
        mean = weight.mean(0)
        # a constant column deviates by the error of its mean alone, which is not to be blown up
        deviation = torch.maximum(weight.std(0, correction=0), mean.abs() * 1e-5).clamp(min=1e-30)
        chunks = [rounded((rows - mean) / deviation, bits) for rows in weight.split(_ROWS)]
        codes, scale = (torch.cat(tensors) for tensors in zip(*chunks, strict=True))
        return cls(codes, scale, torch.stack([mean, deviation]))

    def forward(self, ids: Tensor) -> Tensor:
        """Return float32 of shape (..., columns)."""
        flat = ids.flatten()
        mean, deviation = self.columns
        rows = dequantized(self.codes[flat], self.scale[flat])
        return torch.addcmul(mean, rows, deviation).view(*ids.shape, -1)

    def extra_repr(self) -> str:
        """Name the shape, as torch's layers do."""
        return f"{len(self.codes)}, {columns_of(self.codes)}, bits={bits_of(self.codes)}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantizedEmbedding:
        scale = self.scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.scale = scale.to(self.scale.device)  # in its own dtype: model.half() must not round it
        return self


Quantized = (QuantizedLinear, QuantizedEmbedding)


def rounded(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return the codes and scale of a float weight (rows, columns).

    In 8 bits the largest value of each row becomes 127. In 4 bits the scale of each group is, of several, the one with
    the least squared error. Weights whose columns are not a multiple of 32 cannot have 4 bits and get 8.
    """
    weight = weight.detach().float()
    if bits == 4 and weight.shape[1] % GROUP == 0:
        chunks = [_rounded4(rows) for rows in weight.split(_ROWS)]
        return torch.cat([codes for codes, _ in chunks]), torch.cat([scale for _, scale in chunks])
    scale = weight.abs().amax(1).clamp(min=1e-30) / 127
    return (weight / scale[:, None]).round_().to(torch.int8), scale


def _rounded4(weight: Tensor) -> tuple[Tensor, Tensor]:
    groups = weight.view(len(weight), -1, GROUP)
    # the largest value becomes -8, which has no positive partner: finer steps than dividing by 7
    signed = groups.gather(2, groups.abs().argmax(2, keepdim=True)).squeeze(2) / -8
    best = torch.full_like(signed, torch.inf)
    scale = torch.zeros_like(signed, dtype=torch.float16)
    codes = torch.zeros_like(groups, dtype=torch.uint8)
    for fraction in _TRIED.tolist():
        tried = (signed * fraction).half()
        steps = _steps(groups, tried)
        wrong = (steps * tried.float()[:, :, None] - groups).square_().sum(2)
        better = wrong < best
        best = torch.where(better, wrong, best)
        scale = torch.where(better, tried, scale)
        codes = torch.where(better[:, :, None], (steps + 8).to(torch.uint8), codes)
    low, high = codes.view(len(weight), -1).chunk(2, 1)
    return low | (high << 4), scale


def _steps(groups: Tensor, scale: Tensor) -> Tensor:
    """Return the nearest integers of steps, -8 to 7."""
    step = scale.float()[:, :, None]
    return torch.where(step == 0, 0, groups / step).round_().clamp_(-8, 7)


def dequantized(codes: Tensor, scale: Tensor) -> Tensor:
    """Return the float32 weight (rows, columns) that codes and scale stand for."""
    if codes.dtype == torch.int8:
        return codes.float().mul_(scale[:, None])
    steps = torch.cat([codes & 15, codes >> 4], 1).float().sub_(8)
    return steps.view(*scale.shape, -1).mul_(scale.float()[:, :, None]).flatten(1)


def columns_of(codes: Tensor) -> int:
    """Return how many weights a row holds."""
    return codes.shape[1] * (1 if codes.dtype == torch.int8 else 2)


def bits_of(codes: Tensor) -> int:
    """Return 8 or 4."""
    return 8 if codes.dtype == torch.int8 else 4


def weight_of(layer: Any) -> Tensor:
    """Return a layer's weight as floats, whether it is torch's, one of this file or one of ``quantize_dynamic``."""
    if isinstance(layer, QuantizedEmbedding):
        return layer.forward(torch.arange(len(layer.codes), device=layer.codes.device))
    if isinstance(layer, QuantizedLinear):
        return dequantized(layer.codes, layer.scale)
    weight = layer.weight() if callable(layer.weight) else layer.weight
    floats: Tensor = weight.dequantize() if weight.is_quantized else weight
    return floats


def int8_of(layer: Any) -> tuple[Tensor, Tensor]:
    """Return a linear layer's weight in 8 bits: the stored codes where there are any, else rounded."""
    if isinstance(layer, QuantizedLinear) and layer.codes.dtype == torch.int8:
        return layer.codes, layer.scale
    return rounded(weight_of(layer), 8)


def is_dynamic(layer: Any) -> bool:
    """Return True if ``torch.quantization.quantize_dynamic`` made this layer; its weight is a method."""
    return isinstance(layer, nn.Module) and callable(getattr(layer, "weight", None))


def stored_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's tensors as a file stores them: codes as ``NAME.weight``, their scale as ``NAME.weight_scale``.

    A layer that ``torch.quantization.quantize_dynamic`` made is stored with the codes that it has.

    Raises
    ------
    ValueError
        A layer's weights cannot be taken out of it.
    """
    tensors: dict[str, Tensor] = {}
    for name, layer in module.named_modules():
        dot = f"{name}." if name else ""
        if isinstance(layer, Quantized):
            tensors |= {f"{dot}weight": layer.codes, f"{dot}weight_scale": layer.scale}
            if isinstance(layer, QuantizedEmbedding):
                tensors |= {f"{dot}weight_columns": layer.columns}
        elif is_dynamic(layer):
            codes, scale = _dynamic(layer)
            bias = layer.bias()
            tensors |= {f"{dot}weight": codes, f"{dot}weight_scale": scale}
            tensors |= {} if bias is None else {f"{dot}bias": bias}
        own = [*layer.named_parameters(recurse=False)]
        own += [] if isinstance(layer, Quantized) else [*layer.named_buffers(recurse=False)]
        tensors |= {f"{dot}{key}": tensor for key, tensor in own}
    return tensors


def _dynamic(layer: Any) -> tuple[Tensor, Tensor]:
    """Return the codes and the scale of each row of a layer that ``quantize_dynamic`` made."""
    weight = layer.weight()
    if weight.dtype != torch.qint8:
        raise ValueError(f"its weights are {weight.dtype}")
    per_row = weight.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
    zero = weight.q_per_channel_zero_points() if per_row else torch.tensor(weight.q_zero_point(), device="cpu")
    scale = weight.q_per_channel_scales() if per_row else torch.full((weight.shape[0],), weight.q_scale(), device="cpu")
    if zero.any():
        raise ValueError("their zero is not at 0")
    return weight.int_repr(), scale.float()


def replace_layer(module: nn.Module, name: str, codes: Tensor, scale: Tensor, columns: Tensor | None) -> None:
    """Put a quantized layer into `module` where its layer `name` is; a bias stays.

    Raises
    ------
    ValueError
        The tensors do not fit each other or the layer.
    """
    parent_name, _, last = name.rpartition(".")
    parent = module.get_submodule(parent_name)
    old = getattr(parent, last)
    check(tuple(old.weight.shape), codes, scale, columns, isinstance(old, nn.Embedding))
    if columns is not None and isinstance(old, nn.Embedding):
        setattr(parent, last, QuantizedEmbedding(codes, scale, columns))
    else:
        setattr(parent, last, QuantizedLinear(codes, scale, old.bias))


def quantized_layer(layer: Any, bits: int) -> QuantizedLinear | QuantizedEmbedding:
    """Return a layer that does what `layer` does, with its weight in 8 or 4 bits."""
    if isinstance(layer, (nn.Embedding, QuantizedEmbedding)):
        return QuantizedEmbedding.of(weight_of(layer), bits)
    bias = layer.bias() if callable(layer.bias) else layer.bias
    return QuantizedLinear(*rounded(weight_of(layer), bits), bias)


def plain_layer(layer: Any) -> nn.Module:
    """Return torch's own layer with the float32 weight of one that is stored in few bits."""
    weight = weight_of(layer).clone()
    if not hasattr(layer, "in_features"):
        return nn.Embedding(weight.shape[0], weight.shape[1], _weight=weight)
    bias = layer.bias() if callable(layer.bias) else layer.bias
    with torch.device("meta"):
        plain = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    plain.weight = nn.Parameter(weight)
    if bias is not None:
        plain.bias = nn.Parameter(bias.detach().clone())
    return plain


def without_quantization(module: _Module) -> _Module:
    """Return `module` with float32 weights alone: itself, or a copy where layers are stored in few bits."""
    plain = {id(layer): plain_layer(layer) for layer in module.modules() if isinstance(layer, Quantized)}
    # deepcopy takes what it finds in its memo as copied
    return copy.deepcopy(module, dict[int, Any](plain)) if plain else module


def count_parameters(module: nn.Module) -> int:
    """Return how many weights a module has, in whatever bits."""
    quantized = [layer for layer in module.modules() if isinstance(layer, Quantized)]
    return sum(len(layer.codes) * columns_of(layer.codes) for layer in quantized) + sum(
        weight.numel() for weight in module.parameters()
    )


def weight_dtypes(module: nn.Module) -> list[str]:
    """Return the number formats of a module's weights, such as ``["float32", "int8"]``."""
    quantized = [layer for layer in module.modules() if isinstance(layer, Quantized)]
    formats = {f"int{bits_of(layer.codes)}" for layer in quantized}
    return sorted(formats | {str(weight.dtype).removeprefix("torch.") for weight in module.parameters()})
