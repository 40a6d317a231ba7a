"""The shape of a T5 encoder, and how ``config.json`` of transformers spells it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from instructor_embedding.errors import CheckpointError

MODEL_TYPES = ("t5", "mt5")
ACTIVATIONS = ("relu", "gelu", "gelu_new", "silu")

# Largest sizes that are read: some times those of any published T5, so that a corrupt file is refused at once.
_LARGEST = {
    "vocab_size": 1 << 24,
    "d_model": 1 << 16,
    "d_kv": 1 << 12,
    "d_ff": 1 << 20,
    "num_layers": 1 << 10,
    "num_heads": 1 << 10,
    "relative_attention_num_buckets": 1 << 16,
    "relative_attention_max_distance": 1 << 20,
}


@dataclass(frozen=True)
class T5Config:
    """Shape of a T5 encoder; the names are T5's own."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_heads: int
    activation: str = "relu"
    gated: bool = False
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    dropout_rate: float = 0.1
    pad_token_id: int = 0
    eos_token_id: int = 1


def config_of(raw: Any, path: Path) -> T5Config:
    """Return the config that the content of ``config.json`` describes; `path` is named in errors.

    Raises
    ------
    CheckpointError
        It is of another kind of model, or a value is missing or out of range.
    """
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} is not a json object")
    kind = raw.get("model_type")
    if kind not in MODEL_TYPES:
        raise CheckpointError(f"{path} has model_type {kind!r}; INSTRUCTOR is a T5 encoder: {', '.join(MODEL_TYPES)}")
    sizes: dict[str, Any] = {name: size_of(raw, name, path) for name in list(_LARGEST)[:6]}
    activation, gated = _activation(raw, path)
    config = replace(T5Config(**sizes), activation=activation, gated=gated)
    options: dict[str, Any] = {name: _optional_size(raw, name, config, path) for name in list(_LARGEST)[6:]}
    config = replace(config, **options)
    exact = config.relative_attention_num_buckets // 4  # distances with a bucket of their own
    if exact < 1:
        raise CheckpointError(f"{path} has relative_attention_num_buckets below 4, which leaves no bucket per distance")
    if config.relative_attention_max_distance <= exact:
        raise CheckpointError(
            f"{path} has relative_attention_max_distance {config.relative_attention_max_distance}; "
            f"it must be more than a quarter of relative_attention_num_buckets, which is {exact}"
        )
    return replace(
        config,
        layer_norm_epsilon=_number(raw, "layer_norm_epsilon", config.layer_norm_epsilon, path),
        dropout_rate=_number(raw, "dropout_rate", config.dropout_rate, path),
        pad_token_id=_token(raw, "pad_token_id", config.pad_token_id, config.vocab_size, path),
        eos_token_id=_token(raw, "eos_token_id", config.eos_token_id, config.vocab_size, path),
    )


def size_of(raw: dict[str, Any], name: str, path: Path) -> int:
    """Return a size of a config: an integer of at least 1 that is not out of all proportion."""
    value, largest = raw.get(name), _LARGEST.get(name, 1 << 16)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
        raise CheckpointError(f"{path} has {name} {_shown(value)}; it must be an integer from 1 to {largest:,}")
    return value


def _optional_size(raw: dict[str, Any], name: str, config: T5Config, path: Path) -> int:
    default: int = getattr(config, name)
    return default if raw.get(name) is None else size_of(raw, name, path)


def _activation(raw: dict[str, Any], path: Path) -> tuple[str, bool]:
    """Return the activation and whether the feed-forward layer is gated."""
    projection = str(raw.get("feed_forward_proj", "relu"))
    gate, _, activation = projection.rpartition("-")
    activation = "gelu_new" if projection == "gated-gelu" else activation
    if activation not in ACTIVATIONS or gate not in ("", "gated"):
        known = ", ".join(("gated-gelu", *ACTIVATIONS))
        raise CheckpointError(f"{path} has feed_forward_proj {_shown(projection)}; known: {known}")
    return activation, gate == "gated"


def _number(raw: dict[str, Any], name: str, default: float, path: Path) -> float:
    value = raw.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise CheckpointError(f"{path} has {name} {_shown(value)}; it must be a number from 0 to below 1")
    return float(value)


def _token(raw: dict[str, Any], name: str, default: int, vocabulary: int, path: Path) -> int:
    value = raw.get(name)
    value = default if value is None else value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value != int(value) or not 0 <= value < vocabulary:
        raise CheckpointError(f"{path} has {name} {_shown(value)}; it must be a token id below {vocabulary}")
    return int(value)


def _shown(value: Any) -> str:
    """Return a short form of a value of any size."""
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return f"of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
