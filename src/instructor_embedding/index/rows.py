"""What goes into an index: rows of files and passages of documents, with ids and payload."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError
from instructor_embedding.files.decoding import as_utf8, text_lines
from instructor_embedding.files.pairs import Columns, read_rows
from instructor_embedding.files.payload import payload_columns, typed
from instructor_embedding.files.records import opened
from instructor_embedding.files.shards import digest
from instructor_embedding.index.passages import passages

__all__ = [
    "DOCUMENTS",
    "PASSAGE_COLUMNS",
    "Row",
    "Source",
    "digest_of",
    "payload_columns",
    "row_of",
    "text_id",
    "typed",
]
DOCUMENTS = {".md": True, ".markdown": True, ".txt": False, ".text": False, ".rst": False}  # extension: is Markdown
PASSAGE_COLUMNS = {"file": "text", "line": "int", "heading": "text"}


class Row(NamedTuple):
    """A row on its way into an index.

    Attributes
    ----------
    id, text : str
    payload : dict
        Values of payload columns.
    instruction : str
        That the row brought along, or ``""``.
    position : str
        Where it is from, for errors.
    """

    id: str
    text: str
    payload: Mapping[str, Any] = {}
    instruction: str = ""
    position: str = "the row"


@dataclass(frozen=True)
class Source:
    """Where rows are read from, and how.

    Parameters
    ----------
    path : str
        A file as `encode` reads it, ``-`` for stdin, or a folder of text and Markdown.
    text_column : str
    instruction_column : str, optional
    id_column : str, optional
        Default: ids are made of the file's name and the line.
    keep : dict of str to str
        Payload columns and their types.
    format, encoding, delimiter : str, optional
        As for `files.records.read_records`.
    passages : bool
        Split a text file into passages instead of taking each line as a text; Markdown and folders always are.
    words, overlap : int
        Of a passage.
    """

    path: str
    text_column: str = "text"
    instruction_column: str | None = None
    id_column: str | None = None
    keep: Mapping[str, str] = field(default_factory=dict)
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    passages: bool = False
    words: int = 120
    overlap: int = 20

    @property
    def is_documents(self) -> bool:
        """Return True if the source is split into passages."""
        markdown = DOCUMENTS.get(Path(self.path).suffix.lower(), False) and self.format is None
        return self.passages or markdown or os.path.isdir(self.path)

    @property
    def columns(self) -> dict[str, str]:
        """Payload columns and their types."""
        return dict(PASSAGE_COLUMNS) if self.is_documents else dict(self.keep)

    def check(self) -> None:
        """Raise InputError if a setting is not allowed; call it before long work."""
        if self.words < 1 or not 0 <= self.overlap < self.words:
            raise InputError(f"--words {self.words} --overlap {self.overlap}: 0 <= overlap < words is required")
        if self.is_documents and (self.keep or self.id_column):
            raise InputError(
                f"{self.path} is split into passages, whose columns are {', '.join(PASSAGE_COLUMNS)}: "
                "leave --keep and --id out"
            )

    def rows(self) -> Iterator[Row]:
        """Yield the rows, in bounded memory; texts without a character that is not a blank are left out."""
        self.check()
        yield from self._passages() if self.is_documents else self._records()

    def _records(self) -> Iterator[Row]:
        extra = [name for name in (self.id_column, *self.keep) if name]
        columns = Columns(self.text_column, self.instruction_column, list(dict.fromkeys(extra)))
        options: dict[str, Any] = {"format": self.format, "encoding": self.encoding, "delimiter": self.delimiter}
        label = "stdin" if self.path == "-" else self.path
        for row in read_rows(self.path, columns, **options):
            if row.is_empty:
                continue
            position = f"{label}, {row.position[0]} {row.position[1]}"
            payload = {name: typed(row.kept[name], kind, name, position) for name, kind in self.keep.items()}
            yield Row(self._id(row, position), row.pair.text, payload, row.pair.instruction, position)

    def _id(self, row: Any, position: str) -> str:
        if self.id_column:
            value = row.kept[self.id_column]
            if value is None or value == "" or isinstance(value, (dict, list, float)):
                raise InputError(f"{position}: the id is {value!r}; ids are texts or integers, one per row")
            return str(value)
        if self.path == "-":  # the next stdin is another one: the text is all that identifies a row
            return text_id(row.pair.text)
        return f"{_name(self.path)}#{row.position[1]}"

    def _passages(self) -> Iterator[Row]:
        for path in _documents(self.path):
            markdown = DOCUMENTS.get(Path(path).suffix.lower(), False)
            with opened(path) as raw:
                name = "stdin" if path == "-" else path
                file, skipped = as_utf8(raw, name, self.encoding)
                lines = (line for _, line in text_lines(file, name, skipped))
                for number, passage in enumerate(passages(lines, self.words, self.overlap, markdown), 1):
                    payload = {"file": _name(name), "line": passage.line, "heading": passage.heading or None}
                    yield Row(f"{_name(name)}#{number}", passage.text, payload, "", f"{name}, line {passage.line}")


def text_id(text: str) -> str:
    """Return an id made of a text: 16 hexadecimal digits."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def row_of(item: str | Mapping[str, Any], position: str) -> Row:
    """Return a row from a text, or from a dict with text, id and payload.

    Raises
    ------
    InputError
        It is neither.
    """
    if isinstance(item, str):
        return Row(text_id(item), item, position=position)
    if not isinstance(item, Mapping) or not isinstance(item.get("text"), str):
        raise InputError(f"{position} must be a text or a dict with a text, got {type(item).__name__}")
    payload = {name: value for name, value in item.items() if name not in ("id", "text", "instruction")}
    text = item["text"]
    return Row(str(item.get("id", text_id(text))), text, payload, str(item.get("instruction") or ""), position)


def digest_of(row: Row, columns: Sequence[str]) -> int:
    """Return a number that changes when the text or the payload of a row does."""
    return digest(row.text, [row.payload.get(name) for name in columns])


def _documents(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    files = [file for file in Path(path).rglob("*") if file.suffix.lower() in DOCUMENTS and file.is_file()]
    visible = [file for file in files if not any(name.startswith(".") for name in file.relative_to(path).parts)]
    if not visible:
        raise InputError(f"{path} has no text: files that end with {', '.join(DOCUMENTS)} are read")
    yield from map(str, sorted(visible))


def _name(path: str) -> str:
    return posixpath.normpath(path.replace(os.sep, "/"))
