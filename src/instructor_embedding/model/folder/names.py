"""Names of tensors: those of transformers' T5 in files, ours in modules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from instructor_embedding.errors import CheckpointError
from instructor_embedding.model.config import T5Config

_Tensor = TypeVar("_Tensor")

# (ours, theirs); {} is the layer
_BLOCK = [
    *((f"attention.{name}", f"layer.0.SelfAttention.{name}") for name in ("q", "k", "v", "o")),
    ("attention_norm", "layer.0.layer_norm"),
    *((f"feed_forward.{name}", f"layer.1.DenseReluDense.{name}") for name in ("wi", "wi_0", "wi_1", "wo")),
    ("feed_forward_norm", "layer.1.layer_norm"),
]
_REST = [
    ("embedding", "shared"),
    ("relative_bias", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
    ("final_norm", "encoder.final_layer_norm"),
]
_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")
_LAYER = re.compile(r"encoder\.block\.(\d+)\.")


def expected_shapes(config: T5Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of each weight of an encoder, the few outside the layers first."""
    width, inner = config.d_model, config.num_heads * config.d_kv
    yield "embedding.weight", (config.vocab_size, width)
    yield "relative_bias.weight", (config.relative_attention_num_buckets, config.num_heads)
    yield "final_norm.weight", (width,)
    up = ("wi_0", "wi_1") if config.gated else ("wi",)
    for layer in range(config.num_layers):
        block = f"blocks.{layer}."
        yield f"{block}attention_norm.weight", (width,)
        yield from ((f"{block}attention.{name}.weight", (inner, width)) for name in ("q", "k", "v"))
        yield f"{block}attention.o.weight", (width, inner)
        yield f"{block}feed_forward_norm.weight", (width,)
        yield from ((f"{block}feed_forward.{name}.weight", (config.d_ff, width)) for name in up)
        yield f"{block}feed_forward.wo.weight", (width, config.d_ff)


def encoder_tensors(tensors: dict[str, _Tensor], num_layers: int, path: Path) -> dict[str, _Tensor]:
    """Return the encoder's tensors under our names; a decoder in the file is left aside.

    Raises
    ------
    CheckpointError
        The file holds more layers than `num_layers`; what is missing shows when the tensors are assigned.
    """
    tensors = _without_prefix(tensors)
    layers = {int(match[1]) for match in map(_LAYER.match, tensors) if match}
    if layers and max(layers) + 1 != num_layers:
        raise CheckpointError(
            f"{path} holds {max(layers) + 1} encoder layers, but config.json says num_layers {num_layers}"
        )
    for name in _EMBEDDINGS:
        if name in tensors:
            belonging = [key for key in tensors if key.startswith(name)]
            tensors |= {key.replace(name, "shared.weight"): tensors[key] for key in belonging}
            break
    return {ours: tensors[theirs] for ours, theirs in _table(num_layers) if theirs in tensors}


def file_tensors(tensors: dict[str, _Tensor], num_layers: int) -> dict[str, _Tensor]:
    """Return the encoder's tensors under the names of transformers, to be written to a file."""
    return {theirs: tensors[ours] for ours, theirs in _table(num_layers) if ours in tensors}


def _table(num_layers: int) -> list[tuple[str, str]]:
    blocks = [
        (f"blocks.{layer}.{ours}", f"encoder.block.{layer}.{theirs}")
        for layer in range(num_layers)
        for ours, theirs in _BLOCK
    ]
    tensors = ("weight", "weight_scale", "weight_columns")  # the last two of weights in 8 or 4 bits
    return [(f"{ours}.{name}", f"{theirs}.{name}") for ours, theirs in (*_REST, *blocks) for name in tensors]


def _without_prefix(tensors: dict[str, _Tensor]) -> dict[str, _Tensor]:
    """Strip what wrappers put before the names, such as ``auto_model.`` or ``0.auto_model.``."""
    mark = "encoder.final_layer_norm.weight"
    prefix = next((name.removesuffix(mark) for name in tensors if name.endswith(mark)), "")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
