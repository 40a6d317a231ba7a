"""Files of vectors: npy, json lines and parquet, written as the vectors come.

A file appears under its name only when it is whole.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32

FORMATS = ("npy", "jsonl", "parquet")


class _Writer(Protocol):
    def write(self, pairs: Sequence[Pair], vectors: Float32) -> None: ...

    def finish(self) -> None: ...


class Sink:
    """Writes pairs and vectors to a file, or to stdout when `target` is ``-``.

    Use it as a context manager: leaving it well gives the file its name, leaving it by an error removes it.

    Raises
    ------
    InputError
        The format cannot go to stdout, or the file cannot be written.
    """

    def __init__(self, target: str, format: str, dimension: int) -> None:
        if target == "-" and format != "jsonl":
            raise InputError(f"{format} cannot be written to stdout; name a file: -o FILE")
        self._target = None if target == "-" else Path(target)
        self._part = self._target.with_name(self._target.name + ".part") if self._target else None
        try:
            self._file: IO[bytes] = open(self._part, "wb+") if self._part else sys.stdout.buffer  # noqa: SIM115
        except OSError as error:
            raise InputError(f"cannot write {target}: {error.strerror}") from None
        kinds: dict[str, type[_Writer]] = {"npy": _Npy, "jsonl": _Jsonl, "parquet": _Parquet}
        self._writer = kinds[format](self._file, dimension)  # type: ignore[call-arg]

    def write(self, pairs: Sequence[Pair], vectors: Float32) -> None:
        """Write rows; `vectors` is float32 of shape (n, dim)."""
        self._writer.write(pairs, vectors)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._writer.finish()
        self._file.flush()
        if self._part and self._target:
            self._file.close()
            if kind is None:
                os.replace(self._part, self._target)
            else:
                self._part.unlink(missing_ok=True)


class _Jsonl:
    def __init__(self, file: IO[bytes], dimension: int) -> None:
        self.file = file

    def write(self, pairs: Sequence[Pair], vectors: Float32) -> None:
        for pair, vector in zip(pairs, vectors, strict=True):
            # the shortest decimals that read back as the same float32
            numbers = ", ".join(map(str, vector))
            head = json.dumps({"instruction": pair.instruction, "text": pair.text}, ensure_ascii=False)
            self.file.write(f'{head[:-1]}, "embedding": [{numbers}]}}\n'.encode())

    def finish(self) -> None:
        pass


class _Npy:
    """The header holds the number of rows, so room is left for it and it is written last."""

    def __init__(self, file: IO[bytes], dimension: int) -> None:
        self.file, self.dimension, self.rows = file, dimension, 0
        self._header()

    def _header(self) -> None:
        shape = (self.rows, self.dimension)
        np.lib.format.write_array_header_1_0(self.file, {"descr": "<f4", "fortran_order": False, "shape": shape})

    def write(self, pairs: Sequence[Pair], vectors: Float32) -> None:
        self.rows += len(vectors)
        self.file.write(np.ascontiguousarray(vectors, "<f4").tobytes())

    def finish(self) -> None:
        self.file.seek(0)
        self._header()


class _Parquet:
    def __init__(self, file: IO[bytes], dimension: int) -> None:
        arrow: Any = need("pyarrow", "writing parquet files")
        parquet: Any = need("pyarrow.parquet", "writing parquet files")
        self.arrow, self.dimension = arrow, dimension
        kind = arrow.list_(arrow.float32(), dimension)
        self.schema = arrow.schema([("instruction", arrow.string()), ("text", arrow.string()), ("embedding", kind)])
        self.writer = parquet.ParquetWriter(file, self.schema)

    def write(self, pairs: Sequence[Pair], vectors: Float32) -> None:
        flat = self.arrow.array(vectors.reshape(-1))
        columns = [
            self.arrow.array([pair.instruction for pair in pairs]),
            self.arrow.array([pair.text for pair in pairs]),
            self.arrow.FixedSizeListArray.from_arrays(flat, self.dimension),
        ]
        self.writer.write_batch(self.arrow.record_batch(columns, schema=self.schema))

    def finish(self) -> None:
        self.writer.close()
