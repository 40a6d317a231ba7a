"""The options of ``encode`` as types, for overloads whose result depends on a few of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.instruction import Instruction, Pair

OUTPUTS = ("sentence_embedding", "token_embeddings", None)
Truncate = Literal["warn", "error", "quiet"]
Single = str | Pair | Mapping[str, Any]  # what `encode` answers with one bare element


class Options(TypedDict, total=False):
    """Options that do not change the type of the result."""

    show_progress_bar: bool | None
    device: Any  # str or torch.device; this file does without torch
    normalize_embeddings: bool
    instruction: str | Instruction | None
    truncate: Truncate


class StatesOptions(Options, total=False):
    """Options beside an ``output_value`` for which the conversions count for nothing."""

    batch_size: int
    convert_to_numpy: bool
    convert_to_tensor: bool


def check_output(output_value: Any) -> None:
    """Raise `InputError` where `output_value` is none of ``OUTPUTS``."""
    if output_value not in OUTPUTS:
        hint = nearest(str(output_value), [choice for choice in OUTPUTS if choice])
        raise InputError(f"output_value={output_value!r} is unknown{hint}; known: {', '.join(map(repr, OUTPUTS))}")
