"""The options of ``encode`` as types, for overloads whose result depends on a few of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from instructor_embedding.errors import InputError, choose, nearest
from instructor_embedding.instruction import Instruction, Pair

OUTPUTS = ("sentence_embedding", "token_embeddings", None)
Truncate = Literal["warn", "error", "quiet"]
Single = str | Pair | Mapping[str, Any]  # what `encode` answers with one bare element


class PeerOptions(TypedDict, total=False):
    """Options that callers of sentence-transformers pass, where they mean something here.

    ``prompt`` is ``instruction``, ``prompt_name`` one of ``model.prompts``; ``truncate_dim`` keeps the first dimensions
    of each vector. ``precision`` may be ``"float32"``; ``pool`` and ``chunk_size`` have no effect without processes.
    """

    prompt: str | Instruction | None
    prompt_name: str | None
    truncate_dim: int | None
    precision: Literal["float32"]
    pool: None
    chunk_size: int | None


class VectorOptions(PeerOptions, total=False):
    """Options beside texts and batch size that `Encoder` shares with `INSTRUCTOR`."""

    show_progress_bar: bool | None
    normalize_embeddings: bool
    instruction: str | Instruction | None
    truncate: Truncate


class Options(VectorOptions, total=False):
    """Options that do not change the type of the result."""

    device: Any  # str or torch.device; this file does without torch


class EncodeOptions(Options, total=False):
    """All options of ``INSTRUCTOR.encode`` beside texts and batch size."""

    convert_to_numpy: bool
    convert_to_tensor: bool
    output_value: str | None


class StatesOptions(Options, total=False):
    """Options beside an ``output_value`` for which the conversions count for nothing."""

    batch_size: int
    convert_to_numpy: bool
    convert_to_tensor: bool


class PeerModelOptions(TypedDict, total=False):
    """Neutral values of options that callers of ``SentenceTransformer(...)`` pass; others are refused."""

    trust_remote_code: bool
    truncate_dim: None
    similarity_fn_name: Literal["cosine"] | None


def check_output(output_value: Any) -> None:
    """Raise `InputError` where `output_value` is none of ``OUTPUTS``."""
    if output_value not in OUTPUTS:
        hint = nearest(str(output_value), [choice for choice in OUTPUTS if choice])
        raise InputError(f"output_value={output_value!r} is unknown{hint}; known: {', '.join(map(repr, OUTPUTS))}")


def check_peer_model(options: PeerModelOptions) -> None:
    """Raise `InputError` where an option of ``SentenceTransformer(...)`` would change something here."""
    if options.get("trust_remote_code"):
        raise InputError("trust_remote_code=True has no meaning here: no code of a model is executed; leave it out")
    if options.get("truncate_dim") is not None:
        raise InputError("truncate_dim is an option of a call: model.encode(texts, truncate_dim=...)")
    if options.get("similarity_fn_name") not in (None, "cosine"):
        raise InputError(
            f"similarity_fn_name={options['similarity_fn_name']!r} is not supported: similarity() returns cosines; "
            "compare the vectors yourself"
        )


def instruction_of(
    instruction: str | Instruction | None, options: PeerOptions, prompts: Mapping[str, str]
) -> str | Instruction | None:
    """Return the instruction of a call, given as such, as a ``prompt`` or by its name among `prompts`.

    Raises
    ------
    InputError
        More than one is given, or the name is unknown.
    """
    prompt, name = options.get("prompt"), options.get("prompt_name")
    values = {"instruction": instruction, "prompt": prompt, "prompt_name": name}
    names = [f"{option}={value!r}" for option, value in values.items() if value is not None]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)} were given; pass one of them, most often instruction=")
    if name is not None:
        return prompts[choose("prompt_name", name, prompts)]
    return instruction if instruction is not None else prompt


def check_peer(options: PeerOptions) -> None:
    """Raise `InputError` where an option of sentence-transformers has a value that has no meaning here."""
    precision = options.get("precision", "float32")
    if precision != "float32":
        raise InputError(
            f"precision={precision!r}: encode returns float32; quantize vectors with VectorQuantizer.fit(vectors, "
            f"'int8', 'uint8' or 'binary'), or compute in 8 bits: INSTRUCTOR(..., precision='int8')"
        )
    if options.get("pool") is not None:
        raise InputError(
            "pool= is not supported; several processes: instructor_embedding.Workers, which takes the same texts"
        )
