"""Rows of data files as pairs of instruction and text, with the columns that are to be kept."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.files.records import Position, format_of, with_header
from instructor_embedding.files.text_tables import delimiter_of, other_delimiter
from instructor_embedding.instruction import Pair, iter_pairs

_INSTRUCTION = "instruction"


@dataclass(frozen=True)
class Columns:
    """Names of columns.

    Parameters
    ----------
    text : str
        Of the texts; must be there.
    instruction : str, optional
        Of the instructions. A name that is given must be there; by default ``instruction`` is used where it is.
        ``""`` says that no column holds them.
    keep : sequence of str
        Columns that are passed on beside the pair, such as an id; must be there.
    """

    text: str = "text"
    instruction: str | None = None
    keep: Sequence[str] = ()


DEFAULT = Columns()


class Row(NamedTuple):
    """A row of a file.

    Attributes
    ----------
    pair : Pair
    kept : dict
        Values of the columns in ``Columns.keep``.
    position : (str, int)
        Such as ``("line", 3)``.
    """

    pair: Pair
    kept: dict[str, Any]
    position: Position

    @property
    def is_empty(self) -> bool:
        """Whether the text has no character that is not a blank."""
        return not self.pair.text.strip()


def read_pairs(
    path: str | os.PathLike[str],
    columns: Columns = DEFAULT,
    instruction: str | None = None,
    *,
    format: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    default: str = "txt",
) -> Iterator[Pair]:
    """Yield the pairs of a file; see `read_rows`."""
    rows = read_rows(path, columns, instruction, format=format, encoding=encoding, delimiter=delimiter, default=default)
    return (row.pair for row in rows)


def read_rows(
    path: str | os.PathLike[str],
    columns: Columns = DEFAULT,
    instruction: str | None = None,
    *,
    format: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    default: str = "txt",
) -> Iterator[Row]:
    """Yield the rows of a file, or of stdin for ``-``, in bounded memory.

    Parameters
    ----------
    path, format, encoding, delimiter, default
        As for `records.read_records`. Lines of txt are texts; elements of JSON are texts, [instruction, text] or
        objects; csv, tsv and parquet have columns.
    columns : Columns
    instruction : str, optional
        Of the rows that have none of their own. An empty cell says nothing, so that it applies there too.

    Raises
    ------
    InputError
        The file is missing or corrupt, or a column is missing; the message names the file and the line.
    """
    name = os.fspath(path)
    label = "stdin" if name == "-" else name
    select = [columns.text, columns.instruction or _INSTRUCTION, *columns.keep]
    for position, record in with_header(
        name, format=format, encoding=encoding, delimiter=delimiter, default=default, select=select
    ):
        if position[0] == "header":
            _check_header(label, record, columns, format_of(name, format, default=default), delimiter)
            continue
        yield _row(record, f"{label}, {position[0]} {position[1]}", position, columns, instruction)


def _row(record: Any, where: str, position: Position, columns: Columns, instruction: str | None) -> Row:
    kept: dict[str, Any] = {}
    item: Any = record
    if isinstance(record, dict):
        _check(where, record, columns)
        own = record.get(_INSTRUCTION if columns.instruction is None else columns.instruction)
        # an empty cell says nothing, so that the instruction given for the file applies
        item = {"instruction": own or None, "text": record[columns.text]}
        kept = {column: record[column] for column in columns.keep}
    elif columns.keep or columns.instruction:
        asked = columns.keep[0] if columns.keep else columns.instruction
        raise InputError(f"{where} has no columns, so that there is no {asked!r}; write objects, or csv")
    carries = isinstance(item, list) or (isinstance(item, dict) and item["instruction"] is not None)
    try:
        (pair,) = iter_pairs([item], None if carries else instruction)
    except InputError as error:
        raise InputError(f"{where}: {str(error).replace('sentences[0]', 'the row')}") from None
    return Row(pair, kept, position)


def _check_header(name: str, names: Sequence[str], columns: Columns, kind: str, delimiter: str | None) -> None:
    """Check the columns of a table, whose other rows need no check then."""
    hint = other_delimiter(names, delimiter_of(delimiter, kind)) if kind in ("csv", "tsv") else ""
    _check(name, names, columns, hint)


def _check(where: str, names: Sequence[str] | Mapping[str, Any], columns: Columns, hint: str = "") -> None:
    """Raise InputError if a column is missing, or looks like the instructions and is not named."""
    needed = [(columns.text, "--text-column"), (columns.instruction, "--instruction-column")]
    for column, option in (*needed, *((column, "--keep") for column in columns.keep)):
        if column and column not in names:
            raise InputError(_missing(where, column, option, list(names), hint))
    if not columns.text:
        raise InputError("the name of the column of the texts is empty; pass --text-column NAME")
    if columns.instruction is None and _INSTRUCTION not in names:
        likely = _likely_instruction(tuple(map(str, names)), columns.text)
        if likely and likely not in columns.keep:
            typed = likely if likely.isidentifier() else repr(likely)
            raise InputError(
                f"{where} has a column {likely!r}: if it holds the instructions, say --instruction-column {typed}; "
                "if no column does, --instruction-column ''"
            )


@lru_cache(maxsize=256)
def _likely_instruction(names: tuple[str, ...], text: str) -> str:
    """Return the column that is called almost ``instruction``, or ``""``."""
    lower = {name.lower(): name for name in names if name != text}
    likely = difflib.get_close_matches(_INSTRUCTION, list(lower), n=1, cutoff=0.85)
    return lower[likely[0]] if likely else ""


def _missing(where: str, column: str, option: str, names: list[str], hint: str) -> str:
    known = ", ".join(map(repr, names[:30])) or "none"
    what = {"--text-column": "the one with the texts", "--keep": "one that is there"}
    advice = f"; name {what.get(option, 'the one with the instructions')}: {option} NAME"
    return f"{where} has no column {column!r}{nearest(column, map(str, names))}; it has {known}{hint or advice}"
