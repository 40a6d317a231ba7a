"""The files of a task's folder, by the name of a split or of a part such as ``corpus``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.files.records import read_records

_FORMATS = (".jsonl", ".ndjson", ".parquet", ".csv", ".tsv")
ENDINGS = tuple(form + pressed for form in _FORMATS for pressed in ("", ".gz", ".zst"))


def data_files(home: Path) -> list[Path]:
    """Return all data files of a task, in its folder and in the folders in it."""
    return sorted(path for path in [*home.iterdir(), *home.glob("*/*")] if path.name.endswith(ENDINGS))


def files_named(home: Path, name: str, split: str = "") -> list[Path]:
    """Return the files of a part: ``NAME.jsonl``, or, as on the hub, those in the folder ``NAME``.

    In a folder those of the `split` are taken, ``SPLIT.jsonl`` or ``SPLIT-00000-of-00001.parquet``; where none is named
    after it, all of them.
    """
    for ending in ENDINGS:
        if (home / f"{name}{ending}").is_file():
            return [home / f"{name}{ending}"]
    inside = sorted(path for path in (home / name).glob("*") if path.name.endswith(ENDINGS))
    of_split = [path for path in inside if split and path.name.partition(".")[0].partition("-")[0] == split]
    return of_split or inside


def rows_named(home: Path, name: str, split: str = "") -> Iterator[dict[str, Any]]:
    """Return the rows of a part.

    Raises
    ------
    InputError
        There is no such file, or a row is not an object; the message has the file and line.
    """
    files = files_named(home, name, split)
    if not files:
        present = ", ".join(str(path.relative_to(home)) for path in data_files(home))
        raise InputError(f"{home} has no {name}.jsonl, .csv, .tsv or .parquet (or .gz, .zst); it has {present}")
    for file in files:
        yield from rows(file)


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a file; the message of an error has its line."""
    for (kind, number), record in read_records(file):
        if not isinstance(record, dict):
            raise InputError(f"{file}, {kind} {number} is not an object with named fields")
        yield record
