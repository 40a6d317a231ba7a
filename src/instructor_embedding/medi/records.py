"""Records of json, json lines and parquet files, plain or compressed: read one at a time, written as they come.

Nothing here knows what a record means; `triple.py` and the source readers do.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO, cast

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need

# a record longer than this is taken for a broken file, so that reading stays in bounded memory
LONGEST = 64 * 2**20
_CHUNK = 2**18
_BLANKS = re.compile(r"[ \t\r\n]*")
_ENDINGS = {"json": "json", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet"}
_MAGIC = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst"}

Place = tuple[str, int]  # ("line", 3): what counts, and which, from 1


class Reject(NamedTuple):
    """A record that was set aside: where it stood, why, and what it was."""

    file: str
    place: str
    why: str
    record: Any


class RecordError(InputError):
    """One record cannot be read; those behind it can."""


def read_records(
    path: str | os.PathLike[str], reject: Callable[[Reject], None] | None = None
) -> Iterator[tuple[Place, Any]]:
    """Yield the records of a file with their places, in bounded memory.

    Parameters
    ----------
    path : path
        A json list, json lines or parquet; the first two plain, gzip or zstandard. ``-`` is stdin. The content tells
        the compression; the ending tells json lines and parquet, and otherwise the first character does.
    reject : callable, optional
        Takes lines that are broken json as a `Reject`; without it they are errors. What cannot be skipped, such as a
        file that is cut off, is always an error.

    Raises
    ------
    InputError
        With the file and the line, item or row.
    """
    name = os.fspath(path)
    if _kind(name) == "parquet":
        yield from _rows(name)
        return
    with opened(name) as file:
        if _kind(name) == "jsonl" or not _is_list(file):
            yield from _json_lines(file, name, reject)
        else:
            for number, item in enumerate(_items(_Window(file, name)), 1):
                yield ("item", number), item


@contextmanager
def opened(name: str) -> Iterator[io.BufferedReader]:
    """Open a file or stdin for reading bytes, decompressed; errors of decompression name the file."""
    if name != "-" and not Path(name).is_file():
        why = "it is a folder" if Path(name).is_dir() else "there is no such file"
        raise InputError(f"cannot read {name}: {why}")
    try:
        raw = cast(io.BufferedReader, sys.stdin.buffer if name == "-" else open(name, "rb"))  # noqa: SIM115
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from None
    with raw:
        head = raw.peek(4)[:4]
        kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
        broken: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
        file = raw
        if kind == "gz":
            file = io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw)), _CHUNK)
        elif kind == "zst":
            library = need("zstandard", "reading zstandard files")
            broken = (EOFError, library.ZstdError)
            file = io.BufferedReader(library.ZstdDecompressor().stream_reader(raw, read_across_frames=True), _CHUNK)
        try:
            yield file
        except broken as error:
            raise InputError(f"{name} is cut off or broken: {error}") from None


def lines(file: BinaryIO, name: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield number (from 1), offset in bytes and content of each line that is not blank."""
    offset = number = 0
    while line := file.readline(LONGEST):
        number += 1
        if len(line) == LONGEST and not line.endswith(b"\n"):
            raise InputError(f"{name}, line {number} is longer than {LONGEST // 2**20} MiB; this is no json lines file")
        if line.strip():
            yield number, offset, line
        offset += len(line)


def parse_line(line: bytes) -> Any:
    """Return the json value of a line.

    Raises
    ------
    RecordError
        It is not UTF-8 or not json.
    """
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecordError(f"not UTF-8 text (byte {error.start} of the line); convert the file first") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"broken json: {error.msg} at column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise RecordError(f"broken json: {error}") from None


def _kind(name: str) -> str | None:
    parts = Path(name).name.lower().split(".")
    while parts and parts[-1] in ("gz", "zst"):
        parts.pop()
    return _ENDINGS.get(parts[-1]) if len(parts) > 1 else None


def _is_list(file: io.BufferedReader) -> bool:
    """Tell whether the first character of the file opens a list."""
    return file.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["


def _json_lines(file: BinaryIO, name: str, reject: Callable[[Reject], None] | None) -> Iterator[tuple[Place, Any]]:
    for number, _, line in lines(file, name):
        try:
            value = parse_line(line)
        except RecordError as error:
            if reject is None:
                raise InputError(f"{name}, line {number}: {error}") from None
            reject(Reject(name, f"line {number}", str(error), line.decode("utf-8", "replace").rstrip("\r\n")))
            continue
        yield ("line", number), value


class _Window:
    """The part of a long json text that is being looked at."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        self.name = name
        self.text = ""
        self.at = 0
        self.item = 1

    def grow(self) -> bool:
        """Forget what was read and append as much again; False at the file's end."""
        self.text = self.text[self.at :]
        self.at = 0
        if len(self.text) > LONGEST:
            raise self.error(f"it is longer than {LONGEST // 2**20} MiB")
        try:
            more = self.file.read(max(_CHUNK, len(self.text)))
        except UnicodeDecodeError:
            raise self.error("not UTF-8 text; convert the file first") from None
        self.text += more
        return bool(more)

    def next_character(self) -> str:
        """Skip blanks; return the next character without taking it, or "" at the end."""
        while True:
            self.at = cast("re.Match[str]", _BLANKS.match(self.text, self.at)).end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.grow():
                return ""

    def take_item(self, decode: Callable[[str, int], tuple[Any, int]]) -> Any:
        """Decode the value that starts here, reading on while it may be cut by the window's end."""
        while True:
            try:
                value, end = decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - 16
                if cut and self.grow():
                    continue
                raise self.error(f"broken json: {error.msg}") from None
            except (RecursionError, ValueError) as error:
                raise self.error(f"broken json: {error}") from None
            if end < len(self.text) or not self.grow():
                self.at = min(end, len(self.text))
                return value

    def error(self, why: str) -> InputError:
        """Return an error that names the file and the item."""
        return InputError(f"{self.name}, item {self.item}: {why}")


def _items(window: _Window) -> Iterator[Any]:
    """Yield the items of a json list, one at a time."""
    decode = json.JSONDecoder().raw_decode
    window.next_character()
    window.at += 1
    if window.next_character() != "]":
        while True:
            yield window.take_item(decode)
            window.item += 1
            separator = window.next_character()
            if separator == "]":
                break
            if separator != ",":
                found = f"found {separator!r}" if separator else "the file ends; is it cut off?"
                raise window.error(f"expected ',' or ']' before it, {found}")
            window.at += 1
            window.next_character()
    window.at += 1
    if rest := window.next_character():
        raise InputError(f"{window.name}: after the list's end comes {rest!r}; write one list, or one record a line")


def _rows(name: str) -> Iterator[tuple[Place, Any]]:
    parquet = need("pyarrow.parquet", "reading parquet files")
    if name == "-":
        raise InputError("parquet cannot be read from stdin; pass the file's name")
    if not Path(name).is_file():
        raise InputError(f"cannot read {name}: there is no such file")
    try:
        file = parquet.ParquetFile(name)
    except (OSError, ValueError) as error:
        raise InputError(f"{name} is no parquet file: {error}") from None
    with file:
        number = 0
        try:
            for batch in file.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    yield ("row", number), record
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name}, row {number + 1}: the parquet file is broken: {error}") from None


def write_records(path: str | os.PathLike[str], records: Iterable[dict[str, Any]], schema: Any = None) -> int:
    """Write records and return how many; the file appears when it is complete.

    Parameters
    ----------
    path : path
        ``.json`` (a list, one record a line), ``.jsonl``, each with or without ``.gz`` or ``.zst``; ``.parquet``;
        ``-`` is stdout, as json lines. The same records give the same bytes.
    records : iterable of dict
        Written as they come.
    schema : function returning a pyarrow schema
        Needed for parquet.

    Raises
    ------
    InputError
        The ending is unknown or the folder is missing.
    """
    name = os.fspath(path)
    if name == "-":
        return _write_lines(sys.stdout, records)
    kind = _kind(name)
    if kind is None:
        raise InputError(
            f"{name}: the ending tells no format; allowed: .json, .jsonl, either with .gz or .zst, .parquet"
        )
    if not Path(name).parent.is_dir():
        raise InputError(f"cannot write {name}: there is no folder {Path(name).parent}")
    part = Path(f"{name}.part")
    try:
        if kind == "parquet":
            count = _write_rows(part, records, schema)
        else:
            with _text_file(part, name) as file:
                count = _write_list(file, records) if kind == "json" else _write_lines(file, records)
        part.replace(name)
    finally:
        part.unlink(missing_ok=True)
    return count


@contextmanager
def _text_file(part: Path, name: str) -> Iterator[TextIO]:
    with open(part, "wb") as raw:
        file: Any = raw
        if name.lower().endswith(".gz"):
            # no name and no time inside, so that the same records give the same bytes
            file = gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0)
        elif name.lower().endswith(".zst"):
            file = (
                need("zstandard", "writing zstandard files").ZstdCompressor(level=6).stream_writer(raw, closefd=False)
            )
        with io.TextIOWrapper(file, encoding="utf-8", newline="\n") as text:
            yield text


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


def _write_rows(part: Path, records: Iterable[dict[str, Any]], schema: Any) -> int:
    arrow, parquet = need("pyarrow", "writing parquet files"), need("pyarrow.parquet", "writing parquet files")
    count, waiting = 0, []
    with parquet.ParquetWriter(part, schema()) as writer:
        for record in records:
            waiting.append(record)
            if len(waiting) == 8192:
                writer.write_table(arrow.Table.from_pylist(waiting, schema=schema()))
                count, waiting = count + len(waiting), []
        if waiting:
            writer.write_table(arrow.Table.from_pylist(waiting, schema=schema()))
    return count + len(waiting)
