"""Files of vectors: npy, JSON lines and parquet, written as the vectors come."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.errors import InputError, choose
from instructor_embedding.extras import need
from instructor_embedding.files.atomic import check_target, is_seekable, replacing
from instructor_embedding.files.records import format_of
from instructor_embedding.instruction import Pair

FORMATS = ("npy", "jsonl", "parquet")
_OWN = ("instruction", "text", "embedding")


class _Writer(Protocol):
    def write(self, pairs: Sequence[Pair], vectors: NDArray[Any], kept: Sequence[Mapping[str, Any]]) -> None: ...

    def finish(self) -> None: ...

    def drop(self) -> None: ...


def check(path: str, format: str | None = None, keep: Sequence[str] = ()) -> str:
    """Return the format of a file of vectors; call it before the vectors are computed.

    Parameters
    ----------
    path : str
        ``-`` is stdout.
    format : str, optional
        One of `FORMATS`; default: the extension's, of stdout jsonl.
    keep : sequence of str
        Columns written beside instruction, text and vector.

    Raises
    ------
    InputError
        The format cannot go there or cannot hold columns, or the file cannot be written.
    """
    if format is not None:
        choose("format", format, FORMATS)
    kind = format_of(path, format, FORMATS, default="jsonl")
    if kind == "npy" and path == "-":
        raise InputError("npy cannot be written to stdout; name a file: -o FILE")
    if kind == "parquet" and path == "-":
        raise InputError("parquet cannot be written to stdout; name a file: -o FILE")
    if path.lower().endswith((".gz", ".zst")):
        raise InputError(f"{path}: vectors are not compressed; name a file that ends with .{kind}")
    if kind == "npy" and keep:
        raise InputError("npy holds vectors alone; to keep columns, write jsonl or parquet")
    if kind == "parquet":
        need("pyarrow.parquet", "writing parquet files")
    for column in keep:
        if column in _OWN:
            raise InputError(f"the column {column!r} cannot be kept: the file has a column of this name anyway")
    if len(set(keep)) < len(keep):
        raise InputError(f"a column is to be kept twice: {', '.join(keep)}")
    check_target(path)
    if kind == "npy" and not is_seekable(path) and path != os.devnull:
        raise InputError(f"npy cannot be written to {path}, which is not a regular file; write jsonl there")
    return kind


class VectorFile:
    """Writes pairs and vectors to a file, or to stdout for ``-``.

    Use it as a context manager: leaving it well gives the file its name, leaving it by an error leaves nothing.

    Parameters
    ----------
    path, format, keep
        As for `check`.
    dimension : int
        Of the vectors.

    Raises
    ------
    InputError
        As `check`.
    """

    def __init__(self, path: str, format: str | None, dimension: int, keep: Sequence[str] = ()) -> None:
        self._kind = check(path, format, keep)
        self._dimension, self._keep = dimension, tuple(keep)
        self._output: AbstractContextManager[IO[bytes]] = replacing(path, "wb+")
        self._writer: _Writer | None = None

    def write(
        self, pairs: Sequence[Pair], vectors: NDArray[Any], kept: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        """Write rows.

        Parameters
        ----------
        pairs : sequence of Pair
        vectors : float32 of shape (n, dimension)
        kept : sequence of dict, optional
            The values of the columns to keep, one dict per row.
        """
        assert self._writer is not None, "use it as a context manager"
        self._writer.write(pairs, vectors, kept if kept is not None else [{}] * len(pairs))

    def __enter__(self) -> VectorFile:
        file = self._output.__enter__()
        kinds: dict[str, Any] = {"npy": _Npy, "jsonl": _Jsonl, "parquet": _Parquet}
        self._writer = kinds[self._kind](file, self._dimension, self._keep)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                if self._writer is not None:
                    self._writer.finish()
            except BaseException as failure:
                self._output.__exit__(type(failure), failure, failure.__traceback__)
                raise
        elif self._writer is not None:
            self._writer.drop()
        self._output.__exit__(kind, error, trace)


class _Jsonl:
    def __init__(self, file: IO[bytes], dimension: int, keep: Sequence[str]) -> None:
        self.file = file

    def write(self, pairs: Sequence[Pair], vectors: NDArray[Any], kept: Sequence[Mapping[str, Any]]) -> None:
        for pair, vector, columns in zip(pairs, vectors, kept, strict=True):
            # the shortest decimals that read back as the same float32
            values = ", ".join(map(str, vector))
            record = {"instruction": pair.instruction, "text": pair.text, **columns}
            head = json.dumps(record, ensure_ascii=False, default=str)
            self.file.write(f'{head[:-1]}, "embedding": [{values}]}}\n'.encode())

    def finish(self) -> None:
        """Do nothing: every line is complete."""

    def drop(self) -> None:
        """Do nothing: nothing is buffered here."""


class _Npy:
    """The header holds the number of rows, so it is written again when that is known."""

    def __init__(self, file: IO[bytes], dimension: int, keep: Sequence[str]) -> None:
        self.file, self.dimension, self.rows = file, dimension, 0
        self._header()

    def _header(self) -> None:
        shape = (self.rows, self.dimension)
        np.lib.format.write_array_header_1_0(self.file, {"descr": "<f4", "fortran_order": False, "shape": shape})

    def write(self, pairs: Sequence[Pair], vectors: NDArray[Any], kept: Sequence[Mapping[str, Any]]) -> None:
        self.rows += len(vectors)
        self.file.write(np.ascontiguousarray(vectors, "<f4").tobytes())

    def finish(self) -> None:
        if self.file.seekable():
            self.file.seek(0)
            self._header()

    def drop(self) -> None:
        """Do nothing: nothing is buffered here."""


class _Parquet:
    """The types of kept columns are those of the first rows, or text where these are all missing."""

    def __init__(self, file: IO[bytes], dimension: int, keep: Sequence[str]) -> None:
        self.arrow: Any = need("pyarrow", "writing parquet files")
        self.parquet: Any = need("pyarrow.parquet", "writing parquet files")
        self.file, self.dimension, self.keep = file, dimension, keep
        self.schema: Any = None
        self.writer: Any = None

    def write(self, pairs: Sequence[Pair], vectors: NDArray[Any], kept: Sequence[Mapping[str, Any]]) -> None:
        arrow = self.arrow
        if self.writer is None:
            self._begin(kept)
        columns = [arrow.array([pair.instruction for pair in pairs]), arrow.array([pair.text for pair in pairs])]
        for name in self.keep:
            try:
                columns.append(arrow.array([row[name] for row in kept], self.schema.field(name).type))
            except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
                raise InputError(f"the column {name!r} cannot be kept in parquet: {error}; write jsonl") from None
        flat = arrow.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        columns.append(arrow.FixedSizeListArray.from_arrays(flat, self.dimension))
        self.writer.write_batch(arrow.record_batch(columns, schema=self.schema))

    def finish(self) -> None:
        if self.writer is None:
            self._begin([])
        self.writer.close()

    def drop(self) -> None:
        """Close the writer as long as its file is open, for it would try to when it is collected."""
        if self.writer is not None:
            with contextlib.suppress(Exception):
                self.writer.close()

    def _begin(self, kept: Sequence[Mapping[str, Any]]) -> None:
        arrow = self.arrow
        fields = [("instruction", arrow.string()), ("text", arrow.string())]
        for name in self.keep:
            try:
                kind = arrow.array([row[name] for row in kept]).type
            except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
                raise InputError(f"the column {name!r} cannot be kept in parquet: {error}; write jsonl") from None
            fields.append((name, arrow.string() if arrow.types.is_null(kind) else kind))
        fields.append(("embedding", arrow.list_(arrow.float32(), self.dimension)))
        self.schema = arrow.schema(fields)
        self.writer = self.parquet.ParquetWriter(self.file, self.schema)
