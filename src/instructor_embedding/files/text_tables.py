"""Tables as text: csv with its quoting, tsv without any.

A row is an error, with its line, rather than a guess: an unbalanced quote would swallow the rows after it, and a cell
too many or too few means that a delimiter or a line end stands unquoted in a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.files.opening import LONGEST

_DELIMITERS = (";", "\t", "|", ",")
_SPELLED = {"\\t": "\t", "tab": "\t"}


def delimiter_of(delimiter: str | None, kind: str) -> str:
    """Return the delimiter of a table: the one given, or the format's own.

    Raises
    ------
    InputError
        It is not one character.
    """
    if delimiter is None:
        return "\t" if kind == "tsv" else ","
    character = _SPELLED.get(delimiter, delimiter)
    if len(character) != 1 or character in '"\r\n':
        raise InputError(f"delimiter={delimiter!r} must be one character, such as ';', '|' or '\\t', and not a quote")
    return character


def table_rows(
    lines: Iterator[tuple[int, str]], name: str, kind: str, delimiter: str
) -> Iterator[tuple[tuple[str, int], Any]]:
    """Yield the header, ``("header", line), columns``, and then each row, ``("line", number), dict``.

    Blank lines are skipped; a row's line is the one that it begins in.

    Parameters
    ----------
    lines : iterator of (number, line)
        As `decoding.text_lines` gives them. The first row is the header.
    name : str
        The file, for errors.
    kind : str
        ``"csv"``: cells may be in double quotes, a quote inside them is doubled, and line ends inside them belong
        to the text. ``"tsv"``: a quote is a character like others.
    delimiter : str

    Raises
    ------
    InputError
        With the line: a column name appears twice, a quote is not closed or closes inside a cell, or a row has not as
        many cells as the header.
    """
    rows = _quoted(lines, name, delimiter) if kind == "csv" else _plain(lines, delimiter)
    first, columns = next(rows, (1, []))
    repeated = next((column for column, count in Counter(columns).items() if column and count > 1), None)
    if repeated is not None:
        raise InputError(f"{name}, line {first}: the column {repeated!r} appears twice in the header; rename one")
    yield ("header", first), columns
    for line, cells in rows:
        # cells beyond the header's are a spreadsheet's empty columns or the half of a text
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            raise InputError(f"{name}, line {line}: {_miscounted(cells, columns, kind, delimiter)}")
        yield ("line", line), dict(zip(columns, cells, strict=False))


def other_delimiter(columns: Sequence[str], delimiter: str) -> str:
    """Return a hint where a header of one column looks like several, divided by another delimiter; else ``""``."""
    if len(columns) != 1:
        return ""
    likely = next((mark for mark in _DELIMITERS if mark != delimiter and mark in columns[0]), None)
    if likely is None:
        return ""
    shown = "\\t" if likely == "\t" else likely
    return f"; its header seems to be divided by {likely!r}: --delimiter '{shown}'"


def _miscounted(cells: Sequence[str], columns: Sequence[str], kind: str, delimiter: str) -> str:
    wrong = f"the row has {_counted(len(cells))}, but the header has {len(columns)}"
    if hint := other_delimiter(columns, delimiter):
        return wrong + hint
    if kind == "csv":
        return f"{wrong}; a text that holds {delimiter!r} or a line end must be in double quotes"
    if any(cell.startswith('"') for cell in cells):
        return f"{wrong}; tsv has no quoting: if this file has, read it as csv: --input-format csv --delimiter '\\t'"
    return f"{wrong}; a text in tsv holds no tab and no line end"


def _counted(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _plain(lines: Iterable[tuple[int, str]], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        if text := line.rstrip("\r\n"):
            yield number, text.split(delimiter)


def _quoted(lines: Iterator[tuple[int, str]], name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        text = line.rstrip("\r\n")
        if '"' in text:
            yield number, _cells(text, line, number, lines, name, delimiter)
        elif text:
            yield number, text.split(delimiter)


def _cells(text: str, line: str, number: int, lines: Iterator[tuple[int, str]], name: str, delimiter: str) -> list[str]:
    """Return the cells of a row that begins with `line` and continues in `lines` inside quoted cells."""
    cells: list[str] = []
    at, now = 0, number
    while True:
        if not text.startswith('"', at):
            end = text.find(delimiter, at)
            cells.append(text[at:] if end < 0 else text[at:end])
        else:
            opened, pieces, size = now, [], 0
            at += 1
            # up to the quote that closes the cell; two quotes are one quote of the text
            while True:
                end = line.find('"', at)
                if end >= 0 and line.startswith('""', end):
                    pieces.append(line[at : end + 1])
                    at = end + 2
                    continue
                if end >= 0:
                    pieces.append(line[at:end])
                    break
                pieces.append(line[at:])
                size += len(line) - at
                now, line = next(lines, (now, ""))
                if not line or size > LONGEST:
                    raise InputError(f"{name}, line {opened}: a quote opens a cell and is never closed{_WAY_OUT}")
                at = 0
            text = line.rstrip("\r\n")
            cells.append("".join(pieces))
            at = end + 1
            if at < len(text) and text[at] != delimiter:
                raise InputError(
                    f"{name}, line {now}: after the quote that closes the cell opened in line {opened} comes "
                    f"{text[at : at + 20]!r}{_WAY_OUT}"
                )
            end = at if at < len(text) else -1
        if end < 0:
            return cells
        at = end + 1


_WAY_OUT = "; double every quote inside a quoted cell, or read a file without quoting as tsv: --input-format tsv"
