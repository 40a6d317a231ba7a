"""The MEDI record and its files: a query, a positive and a hard negative, each [instruction, text], and a task.

The form is that of the original's ``medi-data.json``::

    {"query": [instruction, text], "pos": [instruction, text], "neg": [instruction, text],
     "task_id": 3, "task_name": "medmcqa"}

``read`` and ``write`` stream in bounded memory. `TripleFile` gives random access.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.extras import need
from instructor_embedding.files.records import (
    RecordError,
    Reject,
    lines,
    opened,
    parse_line,
    parsed,
    write_records,
)
from instructor_embedding.instruction import Pair

SIDES = ("query", "pos", "neg")
_FORM = "a record is {query, pos, neg: [instruction, text], task_id: integer}"


class Triple(NamedTuple):
    """One training record: `pos` matches `query`, `neg` looks like a match and is not one.

    Use it in everything that reads, composes or checks MEDI data.

    Attributes
    ----------
    query, pos, neg : Pair
        Each an instruction (``""`` for none) and a text.
    task : int
        Records of one task share it; a batch has records of one task.
    task_name : str
        The task's name, ``""`` where the file has none.

    Examples
    --------
    >>> side = Pair("Represent the Wikipedia document for retrieval: ", "Ostriches lay the largest eggs.")
    >>> triple = Triple(Pair("", "which bird lays the largest eggs?"), side, side._replace(text="Eggs boil."), 7)
    >>> record_of(triple)["task_id"]
    7
    """

    query: Pair
    pos: Pair
    neg: Pair
    task: int
    task_name: str = ""


def read(path: str | os.PathLike[str], reject: Callable[[Reject], None] | None = None) -> Iterator[Triple]:
    """Yield the triples of a file in order, in bounded memory.

    Use `TripleFile` to read records in another order.

    Parameters
    ----------
    path : path
        A json list such as ``medi-data.json``, json lines (either also as gzip or zstandard) or parquet; ``-`` is
        stdin.
    reject : callable, optional
        Receives each record that is not a triple, as a `Reject`; without it such a record is an error.

    Raises
    ------
    InputError
        With file, line and field of the first record that is not a triple.

    Notes
    -----
    The task is ``task_id`` or, as in the original's code of March 2023, ``task_name``. Records with a name alone
    are numbered in the order of first occurrence. Texts that are int or float become strings, as in the original.
    """
    names: dict[str, int] = {}
    return parsed(path, lambda record: triple_of(record, names), reject)


def write(path: str | os.PathLike[str], triples: Iterable[Triple]) -> int:
    """Write triples as a stream and return how many; the file appears when it is complete.

    Parameters
    ----------
    path : path
        The ending determines the format: ``.json`` (the original's list), ``.jsonl``, either with ``.gz`` or ``.zst``,
        ``.parquet``; ``-`` is stdout. The same triples give the same bytes.
    triples : iterable of Triple

    Raises
    ------
    InputError
        The ending is unknown, or the folder is missing.
    """
    return write_records(path, map(record_of, triples), _schema)


def record_of(triple: Triple) -> dict[str, Any]:
    """Return the triple as the dict that files contain."""
    record: dict[str, Any] = {side: list(getattr(triple, side)) for side in SIDES}
    record["task_id"] = triple.task
    if triple.task_name:
        record["task_name"] = triple.task_name
    return record


def triple_of(record: Any, names: dict[str, int] | None = None) -> Triple:
    """Return the triple of a file's record.

    Parameters
    ----------
    record : dict
        As `record_of` returns it. Other keys are ignored.
    names : dict
        Ids assigned to records with a task name and no number; updated.

    Raises
    ------
    RecordError
        Names the field. It is an `InputError`.
    """
    if not isinstance(record, dict):
        raise RecordError(f"the record is {shown(record)}; {_FORM}")
    for side in SIDES:
        if side not in record:
            raise RecordError(f"the field {side!r} is missing{nearest(side, map(str, record))}; {_FORM}")
    query, pos, neg = (_pair(record[side], side) for side in SIDES)
    task, name = _task(record, {} if names is None else names)
    return Triple(query, pos, neg, task, name)


def _pair(value: Any, side: str) -> Pair:
    if not isinstance(value, (list, tuple)):
        hint = f"; for no instruction write ['', {shown(value)}]" if isinstance(value, str) else ""
        raise RecordError(f"{side} is {shown(value)}; it must be [instruction, text]{hint}")
    if value and all(isinstance(item, (list, tuple)) for item in value):
        raise RecordError(f"{side} is a list of {len(value)} lists; write a record for each [instruction, text]")
    if len(value) != 2:
        raise RecordError(f"{side} has {len(value)} elements; it must be [instruction, text]")
    return pair_of(value[0], value[1], side)


def pair_of(instruction: Any, text: Any, side: str) -> Pair:
    """Return the pair of an instruction and a text of a record; an int or float becomes a text, as in the original.

    Raises
    ------
    RecordError
        One of them is not a string or not valid Unicode, or the text is empty; names the field of `side`.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool) and math.isfinite(text):
        text = str(text)
    for field, content in (("instruction", instruction), ("text", text)):
        if not isinstance(content, str):
            raise RecordError(f"the {field} of {side} is {shown(content)}; it must be a string")
        if not content.isascii() and any("\ud800" <= character <= "\udfff" for character in content):
            raise RecordError(f"the {field} of {side} has half of a surrogate pair, which is not text")
    if not text.strip():
        raise RecordError(f"the text of {side} is empty")
    return Pair(instruction, text)


def _task(record: dict[str, Any], names: dict[str, int]) -> tuple[int, str]:
    number, name = record.get("task_id"), record.get("task_name")
    if number is None and name is None:
        raise RecordError(f"the field 'task_id' is missing{nearest('task_id', map(str, record))}; {_FORM}")
    if number is None and not isinstance(name, str):
        number, name = name, None
    if name is not None and not isinstance(name, str):
        raise RecordError(f"task_name is {shown(name)}; it must be a string")
    if number is None:
        number = names.setdefault(str(name), len(names))
    if isinstance(number, bool) or not isinstance(number, int):
        raise RecordError(f"task_id is {shown(number)}; it must be an integer")
    if not -(2**31) <= number < 2**31:
        raise RecordError(f"task_id is {shown(number)}; it must fit in 32 bits")
    return number, name or ""


def shown(value: Any) -> str:
    """Return the type and the beginning of a value, for an error."""
    if value is None:
        return "null"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _schema() -> Any:
    arrow = need("pyarrow", "writing parquet files")
    sides = [(side, arrow.list_(arrow.string())) for side in SIDES]
    return arrow.schema([*sides, ("task_id", arrow.int32()), ("task_name", arrow.string())])


class TripleFile(Sequence[Triple]):
    """Random access to the triples of a file, in memory that does not grow with it.

    Use it where records are needed by task or in another order. The constructor reads and checks all records. Their
    offsets and tasks, 12 bytes per record, are written to a scratch folder, and so is a copy of the records unless the
    file is plain json lines. Several threads, and processes forked later, may read.

    Parameters
    ----------
    path : path
        As in `read`.
    scratch : path, optional
        Parent of the scratch folder; default: the system's. The scratch folder is removed with the object.

    Attributes
    ----------
    tasks : int32 of shape (n,)
        The task of each record.

    Raises
    ------
    InputError
        As `read`.
    """

    tasks: NDArray[np.int32]

    def __init__(self, path: str | os.PathLike[str], scratch: str | os.PathLike[str] | None = None) -> None:
        # the folder is removed when nothing refers to it any more
        self._scratch = tempfile.TemporaryDirectory(prefix="medi-", dir=scratch, ignore_cleanup_errors=True)
        folder = Path(self._scratch.name)
        source = Path(path)
        if not _is_plain_lines(source):
            write(folder / "records.jsonl", read(source))
            source = folder / "records.jsonl"
        self._names: dict[str, int] = {}
        self._index(source, folder)
        with open(source, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if len(self.tasks) else b""

    def _index(self, source: Path, folder: Path) -> None:
        with (
            opened(str(source)) as file,
            open(folder / "starts", "wb") as starts,
            open(folder / "tasks", "wb") as tasks,
        ):
            count = 0
            for number, offset, line in lines(file, str(source)):
                try:
                    task = triple_of(parse_line(line), self._names).task
                except RecordError as error:
                    raise InputError(f"{source}, line {number}: {error}") from None
                starts.write(offset.to_bytes(8, "little"))
                tasks.write(task.to_bytes(4, "little", signed=True))
                count += 1
        self.tasks = _mapped(folder / "tasks", np.int32, count)
        self._starts = _mapped(folder / "starts", np.int64, count)

    def __len__(self) -> int:
        return len(self.tasks)

    @overload
    def __getitem__(self, index: int) -> Triple: ...
    @overload
    def __getitem__(self, index: slice) -> list[Triple]: ...
    def __getitem__(self, index: int | slice) -> Triple | list[Triple]:
        """Return one triple, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        index = int(index) % len(self)
        start = int(self._starts[index])
        end = self._bytes.find(b"\n", start)
        return triple_of(parse_line(self._bytes[start : end if end >= 0 else None]), self._names)


def _is_plain_lines(path: Path) -> bool:
    """Return whether a file is json lines without compression, so that an offset in it is a record."""
    if path.suffix.lower() not in (".jsonl", ".ndjson") or not path.is_file():
        return False
    with open(path, "rb") as file:
        # gzip, zstandard and UTF-16 with its byte order mark need decoding
        return file.read(1) not in (b"\x1f", b"\x28", b"\xff", b"\xfe")


def _mapped(path: Path, kind: type[Any], count: int) -> NDArray[Any]:
    return np.memmap(path, kind, mode="r", shape=(count,)) if count else np.empty(0, kind)
