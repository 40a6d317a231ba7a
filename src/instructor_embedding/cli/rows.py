"""Rows of input files: text lines, csv, json lines and parquet become pairs, one at a time."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair, iter_pairs

FORMATS = ("txt", "csv", "tsv", "jsonl", "parquet")


@dataclass(frozen=True)
class Columns:
    """Names of the columns that hold the texts and, optionally, their instructions."""

    text: str = "text"
    instruction: str = "instruction"


def read_pairs(source: str, format: str | None, columns: Columns, instruction: str | None) -> Iterator[Pair]:
    """Return an iterator over the rows of a file, or of stdin when `source` is ``-``, as pairs.

    Raises
    ------
    InputError
        The file is missing or broken, or lacks the column; the message names the file and the line.
    """
    kind = format_of(source, format, FORMATS, default="txt")
    if source != "-" and not Path(source).is_file():
        why = "it is a folder" if Path(source).is_dir() else "there is no such file"
        raise InputError(f"cannot read {source}: {why}")
    return _pairs(source, kind, columns, instruction)


def _pairs(source: str, kind: str, columns: Columns, instruction: str | None) -> Iterator[Pair]:
    if kind == "parquet":
        rows: Iterable[Any] = _parquet(source, columns)
        yield from _named(rows, source, instruction)
        return
    with _opened(source) as file:
        try:
            yield from _named(_text_rows(file, kind, source, columns), source, instruction)
        except UnicodeDecodeError as error:
            raise InputError(f"{source} is not UTF-8 text (byte {error.start}); convert it first") from None


def format_of(path: str, given: str | None, known: tuple[str, ...], default: str) -> str:
    """Return the format given, else the one that the file's ending tells, else `default`."""
    if given is not None:
        if given not in known:
            raise InputError(f"format {given!r} is unknown{nearest(given, known)}; known: {', '.join(known)}")
        return given
    ending = Path(path).suffix.removeprefix(".").lower()
    ending = {"json": "jsonl", "ndjson": "jsonl", "": default, "md": "txt", "text": "txt"}.get(ending, ending)
    if ending not in known:
        raise InputError(f"{path}: the ending .{ending} tells no format; name one of {', '.join(known)}")
    return ending


def _named(rows: Iterable[Any], source: str, instruction: str | None) -> Iterator[Pair]:
    """Yield pairs; errors speak of the file's rows instead of a list's items."""
    for place, row in enumerate(rows, 1):
        try:
            yield from iter_pairs([row], None if _carries(row) else instruction)
        except InputError as error:
            raise InputError(f"{source}, row {place}: {str(error).replace('sentences[0]', 'the row')}") from None


def _carries(row: Any) -> bool:
    """Tell whether a row brings its own instruction."""
    return (isinstance(row, dict) and row.get("instruction") is not None) or isinstance(row, list)


@contextmanager
def _opened(source: str) -> Iterator[TextIO]:
    if source == "-":
        sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        yield sys.stdin
        return
    try:
        file = open(source, encoding="utf-8-sig", newline="")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from None
    with file:
        yield file


def _text_rows(file: TextIO, kind: str, source: str, columns: Columns) -> Iterator[Any]:
    if kind == "txt":
        yield from (line.rstrip("\r\n") for line in file)
    elif kind == "jsonl":
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _json_row(line, f"{source}, line {number}", columns)
    else:
        table = csv.DictReader(file, delimiter="\t" if kind == "tsv" else ",")
        _check_columns(source, table.fieldnames or [], columns)
        try:
            yield from (_row(record, columns) for record in table)
        except csv.Error as error:
            raise InputError(f"{source}, line {table.line_num}: {error}") from None


def _json_row(line: str, where: str, columns: Columns) -> Any:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is broken json: {error.msg} at column {error.colno}") from None
    if isinstance(value, dict):
        _check_columns(where, list(value), columns)
        return _row(value, columns)
    return value


def _parquet(source: str, columns: Columns) -> Iterator[Any]:
    parquet = need("pyarrow.parquet", "reading parquet files")
    if source == "-":
        raise InputError("parquet cannot be read from stdin; pass the file's name")
    try:
        file = parquet.ParquetFile(source)
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{source} is no parquet file: {error}") from None
    with file:
        names = file.schema_arrow.names
        _check_columns(source, names, columns)
        wanted = [name for name in (columns.text, columns.instruction) if name in names]
        for batch in file.iter_batches(columns=wanted):
            yield from (_row(record, columns) for record in batch.to_pylist())


def _check_columns(where: str, names: Iterable[str], columns: Columns) -> None:
    known = list(names)
    if columns.text not in known:
        raise InputError(
            f"{where} has no column {columns.text!r}{nearest(columns.text, known)}; "
            f"it has {', '.join(map(repr, known)) or 'none'}; name the one with the texts: --text-column NAME"
        )


def _row(record: dict[str, Any], columns: Columns) -> dict[str, Any]:
    # an empty cell says nothing, so that the instruction given for the whole file applies
    return {"instruction": record.get(columns.instruction) or None, "text": record[columns.text]}
