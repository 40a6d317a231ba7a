"""Records of data files, read one at a time and written as they come: the only reader of rows.

json, jsonl, csv, tsv, txt and parquet; all but the last plain, gzip or zstandard, from any readable path or stdin.
Nothing here knows what a record means; see `pairs` for texts with instructions.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any, BinaryIO, NamedTuple, TextIO, TypeVar, cast

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.files import parquet_rows
from instructor_embedding.files.atomic import check_target, replacing
from instructor_embedding.files.decoding import as_utf8, decoded_line, text_lines
from instructor_embedding.files.formats import DATA, FORMATS, WRITTEN, format_of, is_data, stem_of
from instructor_embedding.files.json_values import RecordError, list_items, parse_file, parse_line
from instructor_embedding.files.opening import LONGEST, opened, why_unreadable
from instructor_embedding.files.text_tables import delimiter_of, table_rows

__all__ = [
    "DATA",
    "FORMATS",
    "Position",
    "RecordError",
    "Reject",
    "check_output",
    "format_of",
    "is_data",
    "lines",
    "opened",
    "parse_line",
    "parsed",
    "read_json",
    "read_records",
    "stem_of",
    "with_header",
    "write_records",
]

_T = TypeVar("_T")
Position = tuple[str, int]  # ("line", 3): what is counted, and which, from 1


class Reject(NamedTuple):
    """A record that was set aside: its file, its position such as ``"line 3"``, why, and what it was."""

    file: str
    position: str
    why: str
    record: Any


def read_records(
    path: str | os.PathLike[str],
    reject: Callable[[Reject], None] | None = None,
    *,
    format: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    default: str = "json",
) -> Iterator[tuple[Position, Any]]:
    """Yield the records of a file with their positions, in bounded memory.

    Use it for every file of rows: it reads all formats from all sources, and never loses a row silently.

    Parameters
    ----------
    path : path
        ``-`` is stdin; fifos and ``/dev/fd/N`` are read as files are. The first bytes tell the compression.
    reject : callable, optional
        Takes lines that are invalid JSON as a `Reject`; without it they are errors. What cannot be skipped, such as a
        truncated file, is always an error.
    format : str, optional
        One of `FORMATS`; default: that of the extension, and without one `default`. ``"json"`` is a list of records or,
        where the first character does not open a list, one record per line.
    encoding : str, optional
        Default: the one that a byte order mark tells, or else UTF-8.
    delimiter : str, optional
        Of csv and tsv; default: comma and tab.

    Yields
    ------
    position : (str, int)
        ``("line", 3)``, of JSON lists ``("item", 3)``, of parquet ``("row", 3)``; from 1.
    record
        txt: a str per line; csv and tsv: a dict of str; json and jsonl: any JSON value; parquet: a dict.

    Raises
    ------
    InputError
        With the file and the line, item or row.
    """
    for position, record in with_header(
        path, reject, format=format, encoding=encoding, delimiter=delimiter, default=default
    ):
        if position[0] != "header":
            yield position, record


def with_header(
    path: str | os.PathLike[str],
    reject: Callable[[Reject], None] | None = None,
    *,
    format: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    default: str = "json",
    select: Sequence[str] | None = None,
    start: int = 0,
) -> Iterator[tuple[Position, Any]]:
    """Yield what `read_records` does and, for csv, tsv and parquet, the list of columns first.

    Its position is ``("header", line)``; it comes for files without rows too.
    Of parquet only the columns in `select` are read, those of them that are there.
    The first `start` records are skipped, of JSON lines and parquet without being parsed.
    """
    name = os.fspath(path)
    if why := None if name == "-" else why_unreadable(name):
        raise InputError(f"cannot read {name}: {why}")
    kind = format_of(name, format, default=default)
    if delimiter is not None and kind not in ("csv", "tsv"):
        raise InputError(f"delimiter={delimiter!r} is for csv and tsv; {name} is read as {kind}")
    if kind == "parquet":
        columns = parquet_rows.columns_of(name)
        yield ("header", 1), columns
        chosen = None if select is None else [column for column in columns if column in select]
        for number, row in enumerate(parquet_rows.read_rows(name, chosen, start), start + 1):
            yield ("row", number), row
        return
    mark = delimiter_of(delimiter, kind)
    with opened(name) as raw:
        name = "stdin" if name == "-" else name
        file, skipped = as_utf8(raw, name, encoding)
        if kind == "txt":
            for number, line in islice(text_lines(file, name, skipped), start, None):
                yield ("line", number), line.rstrip("\r\n")
        elif kind in ("csv", "tsv"):
            rows = table_rows(text_lines(file, name, skipped), name, kind, mark)
            yield next(rows)  # the header
            yield from islice(rows, start, None)
        elif kind == "jsonl" or not _is_list(file):
            yield from _json_lines(file, name, reject, kind, start)
        else:
            for number, item in islice(enumerate(list_items(file, name), 1), start, None):
                yield ("item", number), item


def count_records(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    default: str = "json",
) -> int:
    """Return the records of a file, invalid JSON lines included; of parquet from its footer, else it is read."""
    name = os.fspath(path)
    rejects: list[None] = []
    kind = format_of(name, format, default=default)
    if kind == "parquet":
        return parquet_rows.count_rows(name)
    if kind == "jsonl":
        with opened(name) as raw:
            return sum(1 for _ in lines(as_utf8(raw, name, encoding)[0], name))
    options: dict[str, Any] = {"format": format, "encoding": encoding, "delimiter": delimiter, "default": default}
    records = sum(1 for _ in read_records(name, lambda reject: rejects.append(None), **options))
    return records + len(rejects)


def parsed(
    path: str | os.PathLike[str],
    parse: Callable[[Any], _T],
    reject: Callable[[Reject], None] | None = None,
    rows: Iterable[tuple[Position, Any]] | None = None,
) -> Iterator[_T]:
    """Yield what `parse` makes of each record of a file.

    Parameters
    ----------
    path : path
        As for `read_records`.
    parse : callable
        Raises `RecordError` for a record that it cannot read.
    reject : callable, optional
        Takes such records, and invalid JSON, as a `Reject`; without it they are errors.
    rows : iterable, optional
        The records of the path with their positions, where it is not a file; default: those of `read_records`.

    Raises
    ------
    InputError
        With the file and the line, item or row.
    """
    for (unit, number), record in read_records(path, reject) if rows is None else rows:
        try:
            value = parse(record)
        except RecordError as error:
            if reject is None:
                raise InputError(f"{os.fspath(path)}, {unit} {number}: {error}") from None
            reject(Reject(os.fspath(path), f"{unit} {number}", str(error), record))
        else:
            yield value


def read_json(path: str | os.PathLike[str], encoding: str | None = None) -> Any:
    """Return the one JSON value of a file, plain or compressed; it is read into memory.

    Raises
    ------
    InputError
        The file is missing, or it is not JSON.
    """
    name = os.fspath(path)
    with opened(name) as raw:
        return parse_file(as_utf8(raw, name, encoding)[0], name)


def lines(file: BinaryIO, name: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield number (from 1), offset in bytes and content of each line that is not blank.

    Raises
    ------
    InputError
        A line is longer than `LONGEST`.
    """
    offset = number = 0
    while line := file.readline(LONGEST):
        number += 1
        if len(line) == LONGEST and not line.endswith(b"\n"):
            raise InputError(
                f"{name}, line {number} is longer than {LONGEST // 2**20} MiB; this is not a file of JSON lines"
            )
        if line.strip():
            yield number, offset, line
        offset += len(line)


def _is_list(file: io.BufferedReader) -> bool:
    """Return True if the first character of the file that is not blank opens a list."""
    return file.peek(64).lstrip(b" \t\r\n")[:1] == b"["


def _json_lines(
    file: BinaryIO, name: str, reject: Callable[[Reject], None] | None, kind: str, start: int
) -> Iterator[tuple[Position, Any]]:
    first = True
    for number, offset, line in islice(lines(file, name), start, None):
        try:
            value = parse_line(line)
        except RecordError as error:
            if reject is None:
                decoded_line(line, name, number, offset)  # the better error, where the encoding is the cause
                form = "" if kind == "jsonl" or not first else "; a .json file is a list of records, or one per line"
                raise InputError(f"{name}, line {number}: {error}{form}") from None
            reject(Reject(name, f"line {number}", str(error), line.decode("utf-8", "replace").rstrip("\r\n")))
            continue
        first = False
        yield ("line", number), value


def write_records(
    path: str | os.PathLike[str],
    records: Iterable[dict[str, Any]],
    schema: Callable[[], Any] | None = None,
    *,
    format: str | None = None,
) -> int:
    """Write records and return how many; the file appears when it is complete.

    Parameters
    ----------
    path : path
        ``.json`` (a list, one record per line), ``.jsonl``, each with or without ``.gz`` or ``.zst``; ``.parquet``;
        ``-`` is stdout, as JSON lines. The same records give the same bytes.
    records : iterable of dict
        Written as they come.
    schema : function returning a pyarrow schema
        Of parquet; default: that of the first records.
    format : str, optional
        ``"json"``, ``"jsonl"`` or ``"parquet"``; default: the ending's.

    Raises
    ------
    InputError
        The ending is unknown, the folder is missing or the file cannot be written.
    """
    name = os.fspath(path)
    kind = _written_format(name, format)
    with replacing(name) as file:
        if kind == "parquet":
            return parquet_rows.write_rows(file, records, schema)
        with _text_file(file, name) as text:
            return _write_list(text, records) if kind == "json" else _write_lines(text, records)


def check_output(path: str | os.PathLike[str]) -> None:
    """Raise InputError if `write_records` cannot write there; call it before long work, as `atomic.check_target`."""
    name = os.fspath(path)
    check_target(name)
    _written_format(name, None)


def _written_format(name: str, format: str | None) -> str:
    if name == "-" and format is None:
        return "jsonl"
    try:
        kind = format_of(name, format, WRITTEN, default="")
    except InputError:
        if format is not None:
            raise
        raise InputError(
            f"{name}: the extension is not a format; allowed: .json, .jsonl, either with .gz or .zst, .parquet"
        ) from None
    return kind


@contextmanager
def _text_file(raw: IO[bytes], name: str) -> Iterator[TextIO]:
    file: Any = raw
    if name.lower().endswith(".gz"):
        # no name and no time inside, so that the same records give the same bytes
        file = gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0)
    elif name.lower().endswith(".zst"):
        file = need("zstandard", "writing zstandard files").ZstdCompressor(level=6).stream_writer(raw, closefd=False)
    text = io.TextIOWrapper(cast(Any, file), encoding="utf-8", newline="\n")
    yield text
    text.flush()
    if file is raw:
        text.detach()  # the caller closes the file
    else:
        text.close()


def _write_lines(file: TextIO, records: Iterable[dict[str, Any]]) -> int:
    count = 0
    for record in records:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
        count += 1
    return count


def _write_list(file: TextIO, records: Iterable[dict[str, Any]]) -> int:
    count = 0
    file.write("[")
    for count, record in enumerate(records, 1):
        file.write(("\n" if count == 1 else ",\n") + json.dumps(record, ensure_ascii=False))
    file.write("\n]\n")
    return count
