"""Parquet in and out, a batch of rows at a time."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, Any

from instructor_embedding.errors import InputError, in_one_line
from instructor_embedding.extras import need
from instructor_embedding.files.opening import why_unreadable

_BATCH = 1024


def read_rows(name: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a parquet file; `columns` are those to read, default all.

    Raises
    ------
    InputError
        The file is missing, is not parquet or is corrupt, or a column's name appears twice.
    """
    file = _opened(name)
    with file:
        number = 0
        try:
            for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield record
        except (OSError, ValueError, need("pyarrow", "reading parquet files").ArrowException) as error:
            raise InputError(f"{name}, row {number + 1}: the parquet file is corrupt: {in_one_line(error)}") from None


def columns_of(name: str) -> list[str]:
    """Return the columns of a parquet file; errors as `read_rows`."""
    with _opened(name) as file:
        return list(file.schema_arrow.names)


def write_rows(file: IO[bytes], records: Iterable[dict[str, Any]], schema: Callable[[], Any] | None = None) -> int:
    """Write records as parquet and return how many.

    Parameters
    ----------
    schema : callable, optional
        Returns a pyarrow schema. Default: that of the first records; needed where there may be none.
    """
    arrow, parquet = need("pyarrow", "writing parquet files"), need("pyarrow.parquet", "writing parquet files")
    source, count = iter(records), 0
    rows = list(islice(source, 8 * _BATCH))
    fields = schema() if schema is not None else arrow.Table.from_pylist(rows).schema
    with parquet.ParquetWriter(file, fields) as writer:
        while rows:
            writer.write_table(arrow.Table.from_pylist(rows, schema=fields))
            count += len(rows)
            rows = list(islice(source, 8 * _BATCH))
    return count


def _opened(name: str) -> Any:
    parquet = need("pyarrow.parquet", "reading parquet files")
    if name == "-":
        raise InputError("parquet cannot be read from stdin; pass the file's name")
    if why := why_unreadable(name):
        raise InputError(f"cannot read {name}: {why}")
    if not stat.S_ISREG(os.stat(name).st_mode):
        raise InputError(f"cannot read {name}: parquet is read from its end, which a pipe has not; pass a file's name")
    try:
        file = parquet.ParquetFile(name)
    except (OSError, ValueError, need("pyarrow", "reading parquet files").ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else in_one_line(error)
        raise InputError(f"{name} is not a parquet file: {reason}") from None
    repeated = [column for column, count in Counter(file.schema_arrow.names).items() if count > 1]
    if repeated:
        file.close()
        raise InputError(f"{name}: the column {repeated[0]!r} appears twice; rename one")
    return file
