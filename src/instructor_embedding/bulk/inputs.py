"""The inputs of a job: from names, folders, patterns and URLs to files with their hashes and rows."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from instructor_embedding.bulk.job import Input
from instructor_embedding.errors import InputError
from instructor_embedding.files import object_store
from instructor_embedding.files.object_store import Entry
from instructor_embedding.files.pairs import Columns, read_rows_or_rejects
from instructor_embedding.files.records import DATA, Reject, count_records, is_data

_PIECE = 2**20
_HEAD = 1000  # records of which one must be a row


def expanded(names: Sequence[str]) -> list[Entry]:
    """Return the files that names stand for: files, folders, patterns and URLs; those of a folder sorted by name.

    Raises
    ------
    InputError
        A name stands for nothing, or a file is named twice.
    """
    files = [file for name in names for file in _expanded(name)]
    paths = [file.name for file in files]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InputError(f"the inputs name {twice} twice; its rows would be in the output twice")
    return files


def measured(files: Sequence[Entry], known: Sequence[Input], reading: dict[str, Any], advance: Any) -> list[Input]:
    """Return the files as inputs: each is read once for its hash and its rows.

    Parameters
    ----------
    files : sequence of Entry
    known : sequence of Input
        Of an earlier run; a file of the same size and time is not read again.
    reading : dict
        Format, encoding and delimiter of the inputs.
    advance : callable
        Is given the bytes that were read.

    Raises
    ------
    InputError
        A file is missing or corrupt.
    """
    former = {source.name: source for source in known}
    inputs = []
    for file in files:
        source = former.get(file.name)
        if source is None or (source.size, source.modified) != (file.size, file.modified):
            digest = _sha256(file.name, advance)
            if source is not None and digest == source.sha256:
                rows = source.rows
            else:
                rows = count_records(file.name, **reading, default="txt")
            source = Input(file.name, file.size, file.modified, digest, rows)
        inputs.append(source)
    return inputs


def check(files: Sequence[Entry], columns: Columns, instruction: str, reading: dict[str, Any]) -> bool:
    """Read the first records of each file; call it before anything that takes long.

    Returns
    -------
    bool
        True if rows have instructions of their own.

    Raises
    ------
    InputError
        A table lacks a column, none of the first records of a file is a row, or there are no records at all.
    """
    own = records = 0
    for file in files:
        rows = read_rows_or_rejects(file.name, columns, instruction, **reading)
        head = list(islice(rows, min(_HEAD, max(1, 16 * _HEAD // len(files)))))
        rejects = [item for item in head if isinstance(item, Reject)]
        if rejects and len(rejects) == len(head):
            first = rejects[0]
            raise InputError(f"{first.file}, {first.position}: {first.why}; none of the first {len(head)} rows is read")
        own += sum(not isinstance(item, Reject) and item.pair.instruction != instruction for item in head)
        records += len(head)
    if not records:
        names = ", ".join(file.name for file in files[:3])
        raise InputError(f"the inputs have no rows: {names}{', ...' if len(files) > 3 else ''}")
    return bool(own)


def _expanded(name: str) -> list[Entry]:
    if name == "-":
        raise InputError("stdin cannot be read again after a stop; write it to a file and name that")
    if object_store.is_url(name):
        return _objects(name)
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        files = sorted(_walk(Path(path)))
        if not files:
            raise InputError(f"{name} holds no data files; they end in {', '.join(DATA)}, also .gz, .zst")
        return [_entry(str(file)) for file in files]
    if os.path.exists(path):
        return [_entry(path)]
    if glob.has_magic(name):
        matches = [match for match in sorted(glob.glob(path, recursive=True)) if os.path.isfile(match)]
        if not matches:
            raise InputError(f"no file matches {name}")
        return [_entry(match) for match in matches]
    raise InputError(f"there is no file {name}")


def _objects(url: str) -> list[Entry]:
    if not any(character in url for character in "*[") and object_store.is_file(url):
        return [object_store.entry_of(url)]
    files = object_store.entries(url)
    if not any(character in url for character in "*["):
        files = [file for file in files if is_data(Path(file.name)) and not Path(file.name).name.startswith(".")]
    if not files:
        raise InputError(f"{url} names no objects; data files end in {', '.join(DATA)}, also .gz, .zst")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif is_data(path):
            yield path


def _entry(path: str) -> Entry:
    try:
        facts = os.stat(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if not os.path.isfile(path):
        raise InputError(f"{path} is not a regular file: it cannot be read again after a stop; write it to a file")
    return Entry(path, facts.st_size, facts.st_mtime_ns)


def sha256_of(path: str) -> str:
    """Return the hash of a file's or an object's bytes."""
    return _sha256(path, lambda size: None)


def _sha256(path: str, advance: Callable[[int], object]) -> str:
    digest = hashlib.sha256()
    try:
        with object_store.open_stream(path) if object_store.is_url(path) else open(path, "rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                advance(len(piece))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return digest.hexdigest()
