"""Quantized models: weights in 8 or 4 bits, or in half precision."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from instructor_embedding.errors import InputError, choose
from instructor_embedding.instructor import INSTRUCTOR
from instructor_embedding.model.lowbit_layers import Quantized, is_dynamic, plain_layer, quantized_layer, weight_dtypes

BITS = {"int8": 8, "int4": 4}
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
WEIGHTS = (*BITS, *HALVES, "float32")
# the layers whose rounding to 4 bits changes vectors most, relative to their size
_SENSITIVE = ("attention.v", "attention.o")


def quantize(model: INSTRUCTOR, weights: str = "int8", *, embedding: str | None = None) -> INSTRUCTOR:
    """Return a quantized copy of a model; ``save`` writes it, and `INSTRUCTOR` loads it like any other model.

    Use ``"int8"`` for a quarter of the size at the speed of ``precision="int8"``, ``"int4"`` where size counts most,
    ``"bfloat16"`` or ``"float16"`` for half the size with next to no loss. `model` itself does not change.

    Parameters
    ----------
    model : INSTRUCTOR
    weights : str
        ``"int8"``: a scale per row of each weight, the embedding table included. ``"int4"``: a scale per group of 32
        weights; values and outputs of attention, which are most sensitive, get 8 bits. Neither quantizes the dense
        layers after pooling. ``"float16"``, ``"bfloat16"``: rounded; a folder of such weights computes in float32
        unless it is loaded with ``dtype=``. ``"float32"``: plain weights, as training needs them.
    embedding : str, optional
        Another format for the embedding table: ``"int8"`` or ``"int4"``.

    Returns
    -------
    INSTRUCTOR

    Raises
    ------
    InputError
        `model` is not a model, or a format is unknown.

    Warns
    -----
    UserWarning
        The model is quantized already, so its weights are rounded twice.

    Examples
    --------
    >>> small = quantize(INSTRUCTOR("hkunlp/instructor-large"), "int8")  # doctest: +SKIP
    >>> small.save("instructor-large-int8")  # doctest: +SKIP
    """
    if not isinstance(model, INSTRUCTOR):
        raise InputError(f"quantize takes a model, got {type(model).__name__}; load it first: INSTRUCTOR(path)")
    choose("weights", weights, WEIGHTS)
    if embedding is not None:
        choose("embedding", embedding, BITS)
        if weights not in BITS:
            raise InputError(f"embedding={embedding!r} requires weights='int8' or 'int4', not {weights!r}")
    if note := rounded_twice(model, weights, embedding):
        warnings.warn(note, UserWarning, stacklevel=2)
    encoder = model.encoder
    replaced: dict[int, Any] = {}
    for name, layer in model.named_modules():
        kind = "int8" if weights == "int4" and name.endswith(_SENSITIVE) else weights
        if layer is not encoder.relative_bias and (weights not in BITS or not name.startswith("head.")):
            replaced |= _replacement(layer, (embedding or weights) if layer is encoder.embedding else kind)
    # deepcopy returns what its memo has for an object, so the large weights are never copied
    quantized = copy.deepcopy(model, replaced)
    if weights in HALVES:
        quantized = _halved(quantized, HALVES[weights])
    elif weights == "float32":
        quantized = quantized.float()
    return quantized.eval()


def rounded_twice(model: INSTRUCTOR, weights: str, embedding: str | None = None) -> str:
    """Return a warning where `quantize` would round weights that are rounded already, else ``""``."""
    present = [kind for kind in weight_dtypes(model) if kind in BITS]
    others = set(present) - {weights, embedding}
    if weights == "float32" or not others:
        return ""
    return (
        f"the model already has {' and '.join(present)} weights, so {weights} rounds them a second time and loses more "
        "than from the float32 model; quantize the original model where you have it"
    )


def _replacement(layer: nn.Module, kind: str) -> dict[int, nn.Module]:
    """Return the new layer by the id of the old one; empty for a layer that does not change."""
    quantized = isinstance(layer, Quantized) or is_dynamic(layer)
    if not quantized and not isinstance(layer, (nn.Linear, nn.Embedding)):
        return {}
    if kind in BITS:
        return {id(layer): quantized_layer(layer, BITS[kind])}
    return {id(layer): plain_layer(layer)} if quantized else {}


def _halved(model: INSTRUCTOR, dtype: torch.dtype) -> INSTRUCTOR:
    """Round every weight, including those that a float16 model stores in float32."""

    def half(weight: Tensor) -> Tensor:
        return weight.to(dtype) if weight.is_floating_point() else weight

    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(half(weight))
    return model.to(dtype=dtype)
