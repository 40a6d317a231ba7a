"""Names of tensors: those of transformers' T5 in files, ours in modules."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from instructor_embedding.errors import CheckpointError

# (ours, theirs); {} is the layer
_BLOCK = [
    *((f"attention.{part}", f"layer.0.SelfAttention.{part}") for part in ("q", "k", "v", "o")),
    ("attention_norm", "layer.0.layer_norm"),
    *((f"feed_forward.{part}", f"layer.1.DenseReluDense.{part}") for part in ("wi", "wi_0", "wi_1", "wo")),
    ("feed_forward_norm", "layer.1.layer_norm"),
]
_REST = [
    ("embedding", "shared"),
    ("relative_bias", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
    ("final_norm", "encoder.final_layer_norm"),
]
_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")
_LAYER = re.compile(r"encoder\.block\.(\d+)\.")


def encoder_tensors(tensors: dict[str, Tensor], num_layers: int, path: Path) -> dict[str, Tensor]:
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
            of_it = [each for each in tensors if each.startswith(name)]
            tensors |= {each.replace(name, "shared.weight"): tensors[each] for each in of_it}
            break
    return {ours: tensors[theirs] for ours, theirs in _table(num_layers) if theirs in tensors}


def file_tensors(tensors: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Return the encoder's tensors under the names of transformers, to be written to a file."""
    return {theirs: tensors[ours] for ours, theirs in _table(num_layers) if ours in tensors}


def _table(num_layers: int) -> list[tuple[str, str]]:
    blocks = [
        (f"blocks.{layer}.{ours}", f"encoder.block.{layer}.{theirs}")
        for layer in range(num_layers)
        for ours, theirs in _BLOCK
    ]
    tensors = ("weight", "weight_scale", "weight_columns")  # the last two of weights in 8 or 4 bits
    return [(f"{ours}.{each}", f"{theirs}.{each}") for ours, theirs in (*_REST, *blocks) for each in tensors]


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Strip what wrappers put before the names, such as ``auto_model.`` or ``0.auto_model.``."""
    mark = "encoder.final_layer_norm.weight"
    prefix = next((name.removesuffix(mark) for name in tensors if name.endswith(mark)), "")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
