"""Shards: a folder of parquet files with one manifest, the form in which vectors are written in bulk and searched.

Columns of a shard are ``id``, ``text``, ``digest``, the payload, and a list of `dimension` float32 per field. A shard
belongs to the folder from the moment at which the manifest names it, so that a reader sees complete versions and a
process that is killed leaves at most a file that no manifest names.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files.atomic import replacing
from instructor_embedding.files.manifest import Manifest

CALIBRATION = "calibration.npz"  # of vectors that are stored as codes
OWN_COLUMNS = ("id", "text", "digest")
STORAGE = {"float32": np.float32, "float16": np.float16, "int8": np.int8, "binary": np.uint8}
_ROW_GROUP = 8192


@dataclass(frozen=True)
class Batch:
    """Rows on their way into a store.

    Parameters
    ----------
    ids, texts : list of str
    digests : int64 of shape (n,)
        Of text and payload, to recognize unchanged rows.
    payload : dict of str to list
        Values of each payload column; None where there is none.
    vectors : dict of str to float32 of shape (n, dimension)
        Of unit norm, by field; or in the manifest's ``storage``.
    """

    ids: list[str]
    texts: list[str]
    digests: NDArray[np.int64]
    payload: Mapping[str, list[Any]] = field(default_factory=dict)
    vectors: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


def arrow_schema(manifest: Manifest) -> Any:
    """Return the pyarrow schema of the rows of a manifest."""
    arrow = need("pyarrow", "an index")
    kinds = {"text": arrow.string(), "int": arrow.int64(), "float": arrow.float64(), "bool": arrow.bool_()}
    fields = [("id", arrow.string()), ("text", arrow.string()), ("digest", arrow.int64())]
    fields += [(name, kinds[kind]) for name, kind in manifest.columns.items()]
    storage = np.dtype(STORAGE[manifest.storage])
    width = -(-manifest.dimension // 8) if manifest.storage == "binary" else manifest.dimension
    fields += [(name, arrow.list_(arrow.from_numpy_dtype(storage), width)) for name in manifest.fields]
    return arrow.schema(fields)


def digest(text: str, payload: Sequence[Any]) -> int:
    """Return an integer that changes when the text or the payload of a row does."""
    content = json.dumps([text, list(payload)], ensure_ascii=False)
    code = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(code, "little", signed=True)


def arrow_table(manifest: Manifest, batch: Batch) -> Any:
    """Return rows as a pyarrow table."""
    arrow = need("pyarrow", "an index")
    schema = arrow_schema(manifest)
    columns = [arrow.array(batch.ids, arrow.string()), arrow.array(batch.texts, arrow.string())]
    columns.append(arrow.array(batch.digests, arrow.int64()))
    columns += [arrow.array(batch.payload[name], schema.field(name).type) for name in manifest.columns]
    columns += [vector_array(batch.vectors[name]) for name in manifest.fields]
    return arrow.table(columns, schema=schema)


def vector_array(vectors: NDArray[Any]) -> Any:
    """Return vectors of shape (n, dimension) as a pyarrow array of fixed-size lists, in their own dtype."""
    arrow = need("pyarrow", "an index")
    flat = arrow.array(np.ascontiguousarray(vectors).reshape(-1))
    return arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def append(folder: str | os.PathLike[str], manifest: Manifest, batch: Batch) -> Manifest:
    """Write rows as a new shard and return the manifest that names it.

    Raises
    ------
    InputError, OutputError
        It cannot be written.
    """
    name = f"{len(manifest.shards):05}.parquet"
    write(Path(folder) / name, arrow_table(manifest, batch))
    manifest = manifest.changed(shards=(*manifest.shards, name))
    manifests.write(folder, manifest)
    return manifest


def write(path: str | os.PathLike[str], table: Any) -> None:
    """Write a shard; the file appears when it is complete. Vectors are not compressed, for they do not shrink."""
    parquet = need("pyarrow.parquet", "writing shards")
    arrow = need("pyarrow", "writing shards")
    lists = [column.name for column in table.schema if arrow.types.is_fixed_size_list(column.type)]
    codecs = {column.name: "none" if column.name in lists else "zstd" for column in table.schema}
    codecs |= {f"{name}.list.element": "none" for name in lists}
    plain = [column.name for column in table.schema if column.name not in lists]
    with replacing(path) as file:
        parquet.write_table(table, file, compression=codecs, use_dictionary=plain, row_group_size=_ROW_GROUP)


def read(folder: str | os.PathLike[str], manifest: Manifest, columns: Sequence[str]) -> Iterator[Any]:
    """Yield the rows of all shards as pyarrow record batches, of some columns, in bounded memory.

    Raises
    ------
    InputError
        A shard is missing or corrupt.
    """
    parquet = need("pyarrow.parquet", "reading shards")
    for name in manifest.shards:
        path = Path(folder) / name
        try:
            with parquet.ParquetFile(path, memory_map=True) as file:
                yield from file.iter_batches(_ROW_GROUP, columns=list(columns))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot read the shard {path}: {reason}; build the index again") from None


def vectors_of(batch: Any, name: str) -> NDArray[Any]:
    """Return the vectors of a field of a record batch, of shape (n, width), in the dtype that they are stored in."""
    column = batch.column(name)
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values).reshape(len(column), column.type.list_size)
