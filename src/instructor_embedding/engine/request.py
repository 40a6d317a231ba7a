"""A call of ``encode``: what `INSTRUCTOR` and `Encoder` check and compute alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from instructor_embedding.engine import pipeline
from instructor_embedding.engine.backend import Backend, Vectors
from instructor_embedding.engine.gather import gathered
from instructor_embedding.engine.options import PeerOptions, Truncate, check_peer, instruction_of
from instructor_embedding.errors import InputError
from instructor_embedding.instruction import DOCUMENTS, QUERIES, Instruction, Pair, as_pairs, is_single
from instructor_embedding.model.tokens import TextTokenizer

PROMPTS = {"query": QUERIES, "document": DOCUMENTS}


class PromptedModel(Protocol):
    """The instructions of a model for texts that come without."""

    default_instruction: str | Instruction | None
    prompts: dict[str, str]


@dataclass(frozen=True)
class Request:
    """The texts of a call, and how they are computed.

    Parameters
    ----------
    pairs : list of Pair
    single : bool
        One text was given, so that its bare vector is the answer.
    budget : int
        Tokens of one run of the backend.
    truncate : str
        The policy for long texts.
    dimensions : int, optional
        Dimensions of each vector that are kept, the first ones; default all.
    progress : bool
        Show a bar on stderr.
    """

    pairs: list[Pair]
    single: bool
    budget: int
    truncate: Truncate
    dimensions: int | None
    progress: bool

    def vectors(self, tokens: TextTokenizer, backend: Backend) -> Vectors:
        """Return the vectors, float32 of shape (n, dim), in the backend's kind of array.

        Raises
        ------
        InputError
            The vectors have fewer dimensions than are kept.
        """
        size = self.dimensions
        if size is not None and (
            isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= backend.dimension
        ):
            raise InputError(
                f"truncate_dim must be an integer from 1 to {backend.dimension}, the model's dimension, got {size!r}"
            )
        windows = pipeline.encode(self.pairs, tokens, backend, self.budget, self.truncate)
        vectors = gathered(windows, len(self.pairs), backend.dimension, self.progress)
        return vectors if size is None else vectors[:, :size]


def request(
    model: PromptedModel,
    sentences: Any,
    batch_size: int,
    instruction: str | Instruction | None,
    truncate: Truncate,
    options: PeerOptions,
    progress: bool | None = False,
) -> Request:
    """Return a checked call.

    Raises
    ------
    InputError
        An argument or, with its index, a text is not allowed.
    """
    budget = pipeline.budget_of(batch_size)
    check_peer(options)
    pairs = as_pairs(sentences, instruction_of(instruction, options, model.prompts), model.default_instruction)
    return Request(pairs, is_single(sentences), budget, truncate, options.get("truncate_dim"), bool(progress))


def side(
    model: PromptedModel, name: str, sentences: Any, options: Mapping[str, Any]
) -> tuple[list[Pair] | Pair, dict[str, Any]]:
    """Return the pairs and the other options of ``encode_query`` and ``encode_document``.

    Texts without an instruction of their own get ``model.prompts[name]``, unless the call gives one.

    Raises
    ------
    InputError
        An argument or, with its index, a text is not allowed.
    """
    if name not in model.prompts:
        raise InputError(f"model.prompts has no {name!r}; set model.prompts[{name!r}], or pass instruction= to encode")
    peer: Any = options
    instruction = instruction_of(options.get("instruction"), peer, model.prompts)
    pairs = as_pairs(sentences, instruction, model.prompts[name])
    others = {key: value for key, value in options.items() if key not in ("instruction", "prompt", "prompt_name")}
    return pairs[0] if is_single(sentences) else pairs, others


def prompts_of(prompts: Mapping[str, str | Instruction] | None) -> dict[str, str]:
    """Return the instructions by name of a model: those of queries and documents, and those given.

    Raises
    ------
    InputError
        They are not texts by name.
    """
    if prompts is not None and not isinstance(prompts, Mapping):
        raise InputError(f"prompts must be a dict of instructions by name, got {type(prompts).__name__}")
    for name, value in (prompts or {}).items():
        if not isinstance(name, str) or not isinstance(value, (str, Instruction)):
            raise InputError(f"prompts[{name!r}] is {value!r}; names and instructions are texts")
    return PROMPTS | {name: str(value) for name, value in (prompts or {}).items()}
