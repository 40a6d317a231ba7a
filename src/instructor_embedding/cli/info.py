"""``instructor-embed info``: what a model is, read from its files without torch."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import typer

from instructor_embedding.cli import options

if TYPE_CHECKING:
    from instructor_embedding.model.folder.arrays import Array
    from instructor_embedding.model.weights import Weights


def info(
    name: options.ModelArgument = None,
    *,
    model: options.ModelOption = None,
    as_json: options.Json = False,
) -> None:
    """Print a model's shape, limits and size."""
    from instructor_embedding.model import hub
    from instructor_embedding.model.folder.contents import read_contents

    name = options.chosen_model(model, name)
    weights, tokens = read_contents(hub.resolve(name))
    config = weights.config
    gate = "gated " if config.gated else ""
    facts = {
        "model": name,
        "dimensions": weights.dense[-1].shape[0] if weights.dense else config.d_model,
        "max_seq_length": tokens.max_length,
        "parameters": _count(weights),
        "weights": ", ".join(_formats(weights)),
        "layers": config.num_layers,
        "d_model": config.d_model,
        "heads": config.num_heads,
        "d_kv": config.d_kv,
        "d_ff": config.d_ff,
        "activation": gate + config.activation,
        "vocabulary": tokens.tokenizer.get_vocab_size(),
        "dense": [list(reversed(layer.shape)) for layer in weights.dense],
        "normalized": weights.normalize,
        "lower_cased": tokens.lower,
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for label, value in facts.items():
        shown = f"{value:,}" if label == "parameters" else value
        typer.echo(f"{label.replace('_', ' '):15} {shown}")


def _count(weights: Weights) -> int:
    """Return how many weights the model has, in whatever number of bits."""
    from instructor_embedding.model.folder.names import expected_shapes

    encoder = sum(math.prod(shape) for _, shape in expected_shapes(weights.config))
    dense = sum(math.prod(layer.shape) + (0 if layer.bias is None else len(layer.bias)) for layer in weights.dense)
    return encoder + dense


def _formats(weights: Weights) -> list[str]:
    """Return the number formats of the weights, such as ``["float32", "int8"]``."""
    from instructor_embedding.model.folder.names import expected_shapes

    tensors = weights.tensors
    rows: list[tuple[Array, bool]] = [
        (tensors[key], f"{key}_scale" in tensors) for key, _ in expected_shapes(weights.config)
    ]
    rows += [(layer.weight, layer.scale is not None) for layer in weights.dense]
    return sorted({_format(array, quantized) for array, quantized in rows})


def _format(array: Array, quantized: bool) -> str:
    from instructor_embedding.model.folder.arrays import dtype_name

    if quantized:
        return "int4" if array.dtype == np.uint8 else "int8"
    return dtype_name(array)
