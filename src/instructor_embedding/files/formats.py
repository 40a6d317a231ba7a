"""Formats of data files, as their names say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from instructor_embedding.errors import InputError, choose

FORMATS = ("txt", "csv", "tsv", "json", "jsonl", "parquet")
WRITTEN = ("json", "jsonl", "parquet")
COMPRESSED = (".gz", ".zst")
DATA = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")  # what a folder's files of records end in
_ENDINGS = {"ndjson": "jsonl", "md": "txt", "text": "txt", "tab": "tsv", "pq": "parquet"}


def format_of(path: str, format: str | None = None, known: Iterable[str] = FORMATS, default: str = "json") -> str:
    """Return the format given, else the one of the file's extension (before .gz or .zst), else `default`.

    Raises
    ------
    InputError
        The format is unknown, or the ending tells none.
    """
    allowed = tuple(known)
    if format is not None:
        return choose("format", _ENDINGS.get(format, format), allowed)
    name = PurePath(path).name.lower()
    while name.endswith(COMPRESSED):
        name = name.rpartition(".")[0]
    ending = name.rpartition(".")[2] if "." in name.lstrip(".") else ""
    kind = _ENDINGS.get(ending, ending) or default
    if kind == "json" and kind not in allowed:
        kind = "jsonl"
    if kind not in allowed:
        raise InputError(f"{path}: the extension .{ending} is not a format; name one of {', '.join(allowed)}")
    return kind


def is_data(path: PurePath) -> bool:
    """Return True for a name of a file of records, in any case; lines of txt are not taken for records here."""
    return _uncompressed(path.name.lower()).endswith(DATA)


def stem_of(name: str) -> str:
    """Return the name of a file of records without its endings."""
    name = _uncompressed(name)
    return next((name.removesuffix(ending) for ending in DATA if name.endswith(ending)), name) or name


def _uncompressed(name: str) -> str:
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return name
