"""Smaller weights: a model in 8 or 4 bits, or in half precision."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.instructor import INSTRUCTOR
from instructor_embedding.model.lowbit_layers import Quantized, is_dynamic, plain_layer, quantized_layer

BITS = {"int8": 8, "int4": 4}
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
KINDS = (*BITS, *HALVES, "float32")
# of all layers those whose rounding to 4 bits turns vectors most, for their size
_SENSITIVE = ("attention.v", "attention.o")


def quantize(model: INSTRUCTOR, weights: str = "int8", *, embedding: str | None = None) -> INSTRUCTOR:
    """Return a copy of a model with smaller weights; ``save`` writes it, and `INSTRUCTOR` loads it as it is.

    Use ``"int8"`` for a quarter of the size at the speed of ``precision="int8"``, ``"int4"`` where size counts most,
    ``"bfloat16"`` or ``"float16"`` for half the size with next to no loss. The model given is left as it is.

    Parameters
    ----------
    model : INSTRUCTOR
    weights : str
        ``"int8"``: one scale for each row of a weight, the embeddings' table included. ``"int4"``: one scale for 32
        neighbors; values and outputs of attention, which feel it most, get 8 bits. With both the layers behind the
        mean stay as they are. ``"float16"``, ``"bfloat16"``: rounded; a folder of such weights computes in float32
        unless it is loaded with ``dtype=``. ``"float32"``: back to plain weights, as training needs them.
    embedding : str, optional
        Another kind for the table of embeddings: ``"int8"`` or ``"int4"``.

    Returns
    -------
    INSTRUCTOR

    Raises
    ------
    InputError
        `model` is none, or a kind is unknown.

    Examples
    --------
    >>> small = quantize(INSTRUCTOR("hkunlp/instructor-large"), "int8")  # doctest: +SKIP
    >>> small.save("instructor-large-int8")  # doctest: +SKIP
    """
    if not isinstance(model, INSTRUCTOR):
        raise InputError(f"quantize takes a model, got {type(model).__name__}; load it first: INSTRUCTOR(path)")
    table = weights if embedding is None else embedding
    tables = KINDS if embedding is None else tuple(BITS)
    for argument, kind, known in (("weights", weights, KINDS), ("embedding", table, tables)):
        if kind not in known:
            hint = nearest(str(kind), known)
            raise InputError(f"{argument}={kind!r} is unknown{hint}; known: {', '.join(known)}")
    if weights not in BITS and embedding is not None:
        raise InputError(f"embedding={embedding!r} goes with weights='int8' or 'int4', not with {weights!r}")
    encoder = model.encoder
    replaced: dict[int, Any] = {}
    for name, layer in model.named_modules():
        kind = "int8" if weights == "int4" and name.endswith(_SENSITIVE) else weights
        if layer is not encoder.relative_bias and (weights not in BITS or not name.startswith("head.")):
            replaced |= _replacement(layer, table if layer is encoder.embedding else kind)
    # deepcopy takes what it finds here as copied: the large weights are never there twice
    found = copy.deepcopy(model, replaced)
    if weights in HALVES:
        found = _halved(found, HALVES[weights])
    elif weights == "float32":
        found = found.float()
    return found.eval()


def _replacement(layer: nn.Module, kind: str) -> dict[int, nn.Module]:
    """Return the new layer by the id of the old one, where there is one."""
    held = isinstance(layer, Quantized) or is_dynamic(layer)
    if not held and not isinstance(layer, (nn.Linear, nn.Embedding)):
        return {}
    if kind in BITS:
        return {id(layer): quantized_layer(layer, BITS[kind])}
    return {id(layer): plain_layer(layer)} if held else {}


def _halved(model: INSTRUCTOR, dtype: torch.dtype) -> INSTRUCTOR:
    """Round every weight, those too that a float16 model keeps in float32."""

    def half(weight: Tensor) -> Tensor:
        return weight.to(dtype) if weight.is_floating_point() else weight

    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(half(weight))
    return model.to(dtype=dtype)
