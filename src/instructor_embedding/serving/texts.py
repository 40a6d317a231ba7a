"""The texts of a request: from every form a request may use to pairs or token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.instruction import Pair, as_pairs
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.tokens import TextTokenizer
from instructor_embedding.serving.instructions import LONGEST, Table, lookup
from instructor_embedding.serving.lane import Input
from instructor_embedding.serving.schema import Instructed


@dataclass(frozen=True)
class Asked:
    """How a request names its instructions.

    Parameters
    ----------
    instruction : str or list of str, optional
        One for all texts, or one per text.
    prompt_name, task, input_type : str, optional
        Named ones; `input_type` chooses a side, or is a name itself.
    """

    instruction: str | list[str] | None = None
    prompt_name: str | None = None
    task: str | None = None
    input_type: str | None = None

    @classmethod
    def of(cls, request: Instructed) -> Asked:
        """Return how a request names them."""
        return cls(request.instruction, request.prompt_name, request.task, request.input_type)

    def resolved(self, table: Table) -> str | list[str] | None:
        """Return the instruction or instructions, or None where the request names none.

        Raises
        ------
        InputError
            It names two, or one that does not exist.
        """
        names = [name for name in ("instruction", "prompt_name", "task") if getattr(self, name) is not None]
        if len(names) > 1 or (self.instruction is not None and self.input_type is not None):
            both = " and ".join([*names, "input_type"][:2])
            raise InputError(f"the request has both {both}; leave one of them out")
        if self.instruction is not None:
            return self.instruction
        for field in ("prompt_name", "task"):
            if getattr(self, field) is not None:
                return lookup(table, getattr(self, field), self.input_type, field)
        if self.input_type is not None:
            return lookup(table, self.input_type, None, "input_type")
        return None


@dataclass(frozen=True)
class Texts:
    """The texts of a request, and where their instructions are from: ``request``, ``default`` or ``none``."""

    inputs: Sequence[Input]
    source: str


def read(
    value: Any, asked: Asked, table: Table, default: str | None, tokens: TextTokenizer, most: int, field: str = "input"
) -> Texts:
    """Turn the input of a request into pairs, or into packed token ids.

    Parameters
    ----------
    value : str, or list of str, of int, of list of str or of list of int
        As the schema has checked it.
    asked : Asked
        Instructions of the request.
    table : Table
        Named instructions.
    default : str, optional
        Instruction of texts that come without one.
    most : int
        Texts that a request may have.
    field : str
        Name of the field, for errors.

    Raises
    ------
    InputError
        Forms are mixed, there are too many texts or none, or counts differ.
    """
    items: list[Any] = [value] if isinstance(value, str) else value
    if items and isinstance(items[0], int):
        items = [items]
    if not items:
        raise InputError(f"{field} is an empty list; send at least one text")
    if len(items) > most:
        raise TooManyTextsError(
            f"{field} has {len(items)} texts, at most {most} are allowed in a request; send several"
        )
    instruction = asked.resolved(table)
    if isinstance(instruction, list) and len(instruction) != len(items):
        raise InputError(f"instruction has {len(instruction)} items and {field} has {len(items)}; they must match")
    if isinstance(items[0], list) and (not items[0] or isinstance(items[0][0], int)):
        rows = _ids(items, _per_text(instruction if instruction is not None else default, len(items)), tokens, field)
        return Texts(rows, _source(instruction is not None, default))
    pairs = _pairs(items, instruction, default, field)
    return Texts(pairs, _source(instruction is not None or any(isinstance(item, list) for item in items), default))


class TooManyTextsError(InputError):
    """A request has more texts than the server takes at once."""


def _per_text(instruction: str | list[str] | None, count: int) -> list[str]:
    return instruction if isinstance(instruction, list) else [instruction or ""] * count


def _pairs(items: list[Any], instruction: str | list[str] | None, default: str | None, field: str) -> list[Pair]:
    for position, item in enumerate(items):
        if isinstance(item, int) or (isinstance(item, list) and not all(isinstance(text, str) for text in item)):
            raise InputError(f"{field}[{position}] has token ids among texts; send one form in a request")
        if isinstance(item, list) and (len(item) != 2 or len(item[0]) > LONGEST):
            raise InputError(
                f"{field}[{position}] must be [instruction, text], the instruction of at most {LONGEST} characters"
            )
    try:
        if isinstance(instruction, list):
            return [as_pairs([item], text)[0] for item, text in zip(items, instruction, strict=True)]
        if instruction is not None:
            return as_pairs(items, instruction)
        as_pairs(items[:2] if len(items) == 2 else items[:1])  # refuses [instruction, text] that is not in a list
        return [Pair(*item) if isinstance(item, list) else Pair(default or "", item) for item in items]
    except InputError as error:
        raise InputError(str(error).replace("sentences", field)) from None


def _source(requested: bool, default: str | None) -> str:
    if requested:
        return "request"
    return "none" if default is None else "default"


def _ids(items: list[Any], instructions: list[str], tokens: TextTokenizer, field: str) -> list[Packed]:
    """Pack texts that are token ids: the instruction's ids, those of the text, and the EOS token."""
    size = tokens.tokenizer.get_vocab_size()
    distinct = list(dict.fromkeys(instructions))
    empty = tokens.pack([Pair(instruction, "") for instruction in distinct])
    prefixes = {
        instruction: (empty.ids[start : stop - 1], empty.ids[stop - 1 : stop])
        for instruction, start, stop in zip(distinct, empty.starts, empty.starts[1:], strict=False)
    }
    rows = []
    for position, (item, instruction) in enumerate(zip(items, instructions, strict=True)):
        if not isinstance(item, list) or not item or not all(isinstance(token, int) for token in item):
            raise InputError(f"{field}[{position}] must be a list of token ids that is not empty")
        if max(item) >= size:
            raise InputError(
                f"{field}[{position}] has the token id {max(item)}, but the model's tokenizer has {size}; ids are "
                "those of POST /tokenize, not of another model (in LangChain: check_embedding_ctx_length=False)"
            )
        prefix, eos = prefixes[instruction]
        ids = np.concatenate([prefix, np.array(item, np.int32), eos[: 0 if item[-1] == eos[0] else 1]])
        full = len(ids)
        if full > tokens.max_length:
            ids = np.concatenate([ids[: tokens.max_length - 1], eos])
        skip = min(int(tokens.context([Pair(instruction, "")])[0]), len(ids) - 1)
        rows.append(Packed.of([ids.tolist()], [skip], [full]))
    return rows
