"""The forms a training record may have, and what each becomes: one reading for training and for building triples.

======================================================  =====================================================
record                                                  becomes
======================================================  =====================================================
``{query, pos, neg}``, each [instruction, text]         a `Match`, as in the original's medi-data.json
``{query, pos, neg}``, texts or lists of texts          a `Match`; one positive and the negatives are drawn
``{anchor, positive, negative, negative_2, ...}``       a `Match`
``{query, positive}``, ``{anchor, positive}``           a `Match` without negatives: the batch has them
``{text1, text2, score}``, ``{sentence1, ...}``         a `Scored`: cosines are ranked as the scores are
``{text, label}``                                       a `Labelled`: texts of one label match
``["a", "b"]``, ``["anchor", "positive", "negative"]``  a `Match`
``{"set": ["a", "b", "c"]}``                            a `Group`: all of them match each other
======================================================  =====================================================

A record may name its task (``task_id``, ``task_name`` or ``task``) and the instruction of each side
(``query_instruction``, ``document_instruction``; ``instruction`` for all sides); see `Reading` for what else may.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.files.records import RecordError
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import pair_of, shown

FORMS = (
    "{query, pos, neg}, {anchor, positive, negative}, {query, positive}, {text1, text2, score}, {text, label}, "
    '["anchor", "positive", "negative"], ["a", "b"] or {"set": ["a", "b"]}'
)
_NAMES = {
    "query": ("query", "anchor", "question"),
    "positive": ("pos", "positive", "answer"),
    "text1": ("text1", "sentence1"),
    "text2": ("text2", "sentence2"),
    "score": ("score",),
    "text": ("text", "sentence"),
    "label": ("label", "label_text"),
    "set": ("set",),
    "task": ("task_name", "task", "task_id"),
    "query_instruction": ("query_instruction",),
    "document_instruction": ("document_instruction", "pos_instruction"),
    "instruction": ("instruction",),
}
_NEGATIVES = ("neg", "negative", "negatives")
COLUMNS = (*_NAMES, "negative")


class Match(NamedTuple):
    """A query, texts that match it, and texts that look like matches and are not."""

    query: Pair
    positives: tuple[Pair, ...]
    negatives: tuple[Pair, ...] = ()


class Scored(NamedTuple):
    """Two texts and how similar they are, on any scale."""

    first: Pair
    second: Pair
    score: float


class Labelled(NamedTuple):
    """A text and its class."""

    text: Pair
    label: str


class Group(NamedTuple):
    """Texts that all match each other."""

    texts: tuple[Pair, ...]


Item = Match | Scored | Labelled | Pair
KINDS: dict[type[Any], str] = {Match: "matches", Scored: "scores", Labelled: "labels", Pair: "texts"}


class Instructions(NamedTuple):
    """The instructions of both sides of a task; None where nothing was given."""

    query: str | None = None
    document: str | None = None


_NONE = Instructions()


@dataclass(frozen=True)
class Reading:
    """How the records of one run are read.

    An instruction comes from the record; else from `table`, for the task; else from `default`; else it is empty.

    Attributes
    ----------
    columns : mapping of str to str
        A column's name to what it holds, one of ``COLUMNS``.
    table : mapping of str to Instructions
        By task or by pattern of tasks.
    default : Instructions
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    table: Mapping[str, Instructions] = field(default_factory=dict)
    default: Instructions = _NONE

    def item(self, record: Any, task: str) -> tuple[str, Item]:
        """Return the task and the item of a record as training uses it: of a `Group`, the first text matches the rest.

        Raises
        ------
        RecordError
            As `parse`.
        """
        task, item = self.parse(record, task)
        return task, Match(item.texts[0], item.texts[1:]) if isinstance(item, Group) else item

    def parse(self, record: Any, task: str) -> tuple[str, Item | Group]:
        """Return the task and the item of a record of a source whose task is `task` where the record names none.

        Raises
        ------
        RecordError
            The record has none of the forms, or a text is empty or not a text. It is an `InputError`.
        """
        if isinstance(record, (list, tuple)) and len(record) in (2, 3):
            record = dict(zip(("query", "positive", "negative"), record, strict=False))
        if not isinstance(record, Mapping):
            raise RecordError(f"found {shown(record)}; a record is {FORMS}")
        values = self._canonical(record)
        task = _task(values.get("task")) or task
        query, document = self._instructions(values, task)
        if "query" in values and "positive" in values:
            return task, _match(values, query, document)
        if {"text1", "text2", "score"} <= set(values):
            sides = [_text(values[name], query, name) for name in ("text1", "text2")]
            return task, Scored(sides[0], sides[1], _number(values["score"]))
        if "text" in values and "label" in values:
            return task, Labelled(_text(values["text"], query, "text"), _label(values["label"]))
        if "set" in values:
            return task, Group(_set(values["set"], query))
        raise RecordError(_formless(record, values))

    def _canonical(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Rename the columns and collect the negatives; what means nothing here is left out."""
        values: dict[str, Any] = {}
        negatives: list[Any] = []
        for name, value in record.items():
            name = self.columns.get(name, name)
            if value is None:
                continue
            if name in _NEGATIVES or (name.rpartition("_")[0] in _NEGATIVES and name.rpartition("_")[2].isdigit()):
                # csv files have empty cells where a record has fewer negatives than others
                negatives += [value] if value not in ("", []) else []
                continue
            kind = _CANONICAL.get(name, name)
            if name in _CANONICAL and kind in values and kind != "task":
                raise RecordError(f"two columns hold the {kind} (one is {name!r}); name the right one with --columns")
            if kind != "task" or "task" not in values or name == "task_name":
                values[kind] = value
        if negatives:
            values["negatives"] = negatives
        return values

    def _instructions(self, values: Mapping[str, Any], task: str) -> tuple[str, str]:
        """Return the instructions of queries and of documents for a record of this task."""
        common = values.get("instruction")
        listed = self.table.get(task) or next(
            (row for pattern, row in self.table.items() if fnmatchcase(task, pattern)), Instructions()
        )
        query = _first(values.get("query_instruction"), common, listed.query, self.default.query)
        return query, _first(values.get("document_instruction"), common, listed.document, self.default.document)


_CANONICAL = {name: kind for kind, names in _NAMES.items() for name in names}


def columns_of(assignments: Sequence[str]) -> dict[str, str]:
    """Return the columns of ``--columns query=title ...``, by their name in the file.

    Raises
    ------
    InputError
        An assignment has another form, or names what no record holds.
    """
    columns: dict[str, str] = {}
    for assignment in assignments:
        kind, sign, name = assignment.partition("=")
        if not sign or not name:
            raise InputError(f"columns: {assignment!r} must be what=name, such as query=title")
        if kind not in COLUMNS and kind.rpartition("_")[0] != "negative":
            raise InputError(f"columns: {kind!r} is unknown{nearest(kind, COLUMNS)}; known: {', '.join(COLUMNS)}")
        columns[name] = kind
    return columns


def _match(values: Mapping[str, Any], query: str, document: str) -> Match:
    with_instructions = isinstance(values["query"], (list, tuple))
    positives = _side(values["positive"], document, "pos", with_instructions)
    negatives = [
        pair for value in values.get("negatives", ()) for pair in _side(value, document, "neg", with_instructions)
    ]
    if not positives:
        raise RecordError("pos is empty; a query needs a text that matches it")
    return Match(_text(values["query"], query, "query"), tuple(positives), tuple(negatives))


def _side(value: Any, instruction: str, side: str, with_instructions: bool) -> list[Pair]:
    """Return the texts of a side: one, or a list of them; [instruction, text] where the query is one."""
    if not isinstance(value, (list, tuple)):
        if with_instructions:
            raise RecordError(f"{side} is {shown(value)}; it must be [instruction, text], as query is")
        return [_text(value, instruction, side)]
    if with_instructions:
        several = bool(value) and all(isinstance(item, (list, tuple)) for item in value)
        return [_text(item, instruction, side) for item in (value if several or not value else [value])]
    if len(value) == 2 and str(value[0]).startswith("Represent "):
        raise RecordError(f"{side} looks like [instruction, text]; then query must be [instruction, text], too")
    return [_text(item, instruction, side) for item in value]


def _set(value: Any, instruction: str) -> tuple[Pair, ...]:
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        raise RecordError(f"set is {shown(value)}; it must be a list of at least two texts")
    return tuple(_text(text, instruction, "set") for text in value)


def _text(value: Any, instruction: str, side: str) -> Pair:
    """Return the pair of a text, or of [instruction, text]."""
    if isinstance(value, (list, tuple)):
        if len(value) != 2 or not isinstance(value[0], str):
            raise RecordError(f"{side} is {shown(value)}; it must be a text or [instruction, text]")
        instruction, value = value
    return pair_of(instruction, value, side)


def _task(value: Any) -> str:
    """Return a task's name; a number n, as in MEDI, is ``task n``."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"task {value}"
    if not isinstance(value, str):
        raise RecordError(f"the task is {shown(value)}; it must be a string or an integer")
    return value


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise RecordError(f"score is {shown(value)}; it must be a number")
    return number


def _label(value: Any) -> str:
    if not isinstance(value, (str, int)) or not str(value).strip():
        raise RecordError(f"label is {shown(value)}; it must be a string or an integer")
    return str(value)


def _first(*instructions: str | None) -> str:
    for instruction in instructions:
        if instruction is not None:
            if not isinstance(instruction, str):
                raise RecordError(f"the instruction is {shown(instruction)}; it must be a string")
            return instruction
    return ""


def _formless(record: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Return the error for a record of no known form."""
    if not record:
        return f"the record is empty; a record is {FORMS}"
    for needed, with_it in (("positive", "query"), ("query", "positive"), ("score", "text1"), ("label", "text")):
        if with_it in values and needed not in values:
            first = _NAMES[needed][0]
            return f"the field {first!r} is missing{nearest(first, map(str, record))}; a record is {FORMS}"
    names = ", ".join(map(repr, list(record)[:8]))
    return f"the columns {names} are none of {FORMS}; say what they hold, as --columns query=..."
