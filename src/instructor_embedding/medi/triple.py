"""The MEDI record, and files of them: a query, a positive and a hard negative, each [instruction, text], and a task.

The form is that of the original's ``medi-data.json``::

    {"query": [instruction, text], "pos": [instruction, text], "neg": [instruction, text],
     "task_id": 3, "task_name": "medmcqa"}

``read`` and ``write`` stream: a file is never held in memory. `TripleFile` gives random access.
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
    read_records,
    write_records,
)
from instructor_embedding.instruction import Pair

SIDES = ("query", "pos", "neg")
_FORM = "a record is {query, pos, neg: [instruction, text], task_id: whole number}"


class Triple(NamedTuple):
    """One training record: `pos` matches `query`, `neg` looks like a match and is none.

    Use it for everything that reads, makes or checks MEDI data.

    Attributes
    ----------
    query, pos, neg : Pair
        Each an instruction (``""`` for none) and a text.
    task : int
        Records of one task share it; batches hold one task.
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

    Use `TripleFile` where records are needed in another order.

    Parameters
    ----------
    path : path
        A json list such as ``medi-data.json``, json lines (either also as gzip or zstandard) or parquet; ``-`` is
        stdin.
    reject : callable, optional
        Takes each record that is no triple, as a `Reject`, and reading goes on; without it such a record is an error.

    Raises
    ------
    InputError
        With file, place and field of the first record that is no triple.

    Notes
    -----
    The task is ``task_id`` or, as in the original's code of March 2023, ``task_name``. Records that carry a name alone
    are numbered in the order in which the names come. Texts that are numbers become strings, as in the original.
    """
    names: dict[str, int] = {}
    for (what, number), record in read_records(path, reject):
        try:
            yield triple_of(record, names)
        except RecordError as error:
            if reject is None:
                raise InputError(f"{os.fspath(path)}, {what} {number}: {error}") from None
            reject(Reject(os.fspath(path), f"{what} {number}", str(error), record))


def write(path: str | os.PathLike[str], triples: Iterable[Triple]) -> int:
    """Write triples as they come and return how many; the file appears when it is complete.

    Parameters
    ----------
    path : path
        The ending tells the format: ``.json`` (the original's list), ``.jsonl``, either with ``.gz`` or ``.zst``,
        ``.parquet``; ``-`` is stdout. The same triples give the same bytes.
    triples : iterable of Triple

    Raises
    ------
    InputError
        The ending is unknown, or the folder is missing.
    """
    return write_records(path, map(record_of, triples), _schema)


def record_of(triple: Triple) -> dict[str, Any]:
    """Return the triple as the dict that files hold."""
    record: dict[str, Any] = {side: list(getattr(triple, side)) for side in SIDES}
    record["task_id"] = triple.task
    if triple.task_name:
        record["task_name"] = triple.task_name
    return record


def triple_of(record: Any, names: dict[str, int] | None = None) -> Triple:
    """Return the triple that a file's record holds.

    Parameters
    ----------
    record : dict
        As `record_of` makes it. Keys beyond those of the form are left out.
    names : dict
        Numbers given to records that carry a task's name and no number; this function adds to it.

    Raises
    ------
    RecordError
        With the field. It is an `InputError`.
    """
    if not isinstance(record, dict):
        raise RecordError(f"found {_shown(record)}; {_FORM}")
    for side in SIDES:
        if side not in record:
            raise RecordError(f"the field {side!r} is missing{nearest(side, map(str, record))}; {_FORM}")
    query, pos, neg = (_pair(record[side], side) for side in SIDES)
    task, name = _task(record, {} if names is None else names)
    return Triple(query, pos, neg, task, name)


def _pair(value: Any, side: str) -> Pair:
    if not isinstance(value, (list, tuple)):
        hint = f"; for no instruction write ['', {_shown(value)}]" if isinstance(value, str) else ""
        raise RecordError(f"{side} is {_shown(value)}; it must be [instruction, text]{hint}")
    if value and all(isinstance(part, (list, tuple)) for part in value):
        raise RecordError(f"{side} is a list of {len(value)} lists; write one record for each [instruction, text]")
    if len(value) != 2:
        raise RecordError(f"{side} has {len(value)} elements; it must be [instruction, text]")
    instruction, text = value
    if isinstance(text, (int, float)) and not isinstance(text, bool) and math.isfinite(text):
        text = str(text)
    for what, part in (("instruction", instruction), ("text", text)):
        if not isinstance(part, str):
            raise RecordError(f"the {what} of {side} is {_shown(part)}; it must be a string")
        if not part.isascii() and any("\ud800" <= character <= "\udfff" for character in part):
            raise RecordError(f"the {what} of {side} holds half of a surrogate pair, which is no text")
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
        raise RecordError(f"task_name is {_shown(name)}; it must be a string")
    if number is None:
        number = names.setdefault(str(name), len(names))
    if isinstance(number, bool) or not isinstance(number, int):
        raise RecordError(f"task_id is {_shown(number)}; it must be a whole number")
    if not -(2**31) <= number < 2**31:
        raise RecordError(f"task_id is {_shown(number)}; it must fit in 32 bits")
    return number, name or ""


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _schema() -> Any:
    arrow = need("pyarrow", "writing parquet files")
    sides = [(side, arrow.list_(arrow.string())) for side in SIDES]
    return arrow.schema([*sides, ("task_id", arrow.int32()), ("task_name", arrow.string())])


class TripleFile(Sequence[Triple]):
    """Random access to the triples of a file, with memory that does not grow with it.

    Use it to train: ``batches.homogeneous(file.tasks, 16)`` gives the record numbers of each batch. All records are
    read and checked once, here. Their places and tasks, 12 bytes a record, go to a scratch folder, and so does a copy
    of the records if the file is not plain json lines. Several threads, and processes forked later, may read.

    Parameters
    ----------
    path : path
        As in `read`.
    scratch : path, optional
        Where the scratch folder is made; default: the system's. It is removed when the object is.

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
        # the folder goes when nothing refers to it any more
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
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        index = int(index) % len(self)
        start = int(self._starts[index])
        end = self._bytes.find(b"\n", start)
        return triple_of(parse_line(self._bytes[start : end if end >= 0 else None]), self._names)


def _is_plain_lines(path: Path) -> bool:
    """Tell whether a file is json lines without compression, so that a place in it is a record."""
    if path.suffix.lower() not in (".jsonl", ".ndjson") or not path.is_file():
        return False
    with open(path, "rb") as file:
        # gzip, zstandard and UTF-16 with its byte order mark need decoding
        return file.read(1) not in (b"\x1f", b"\x28", b"\xff", b"\xfe")


def _mapped(path: Path, kind: type[Any], count: int) -> NDArray[Any]:
    return np.memmap(path, kind, mode="r", shape=(count,)) if count else np.empty(0, kind)
