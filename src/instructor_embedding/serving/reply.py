"""Vectors as replies: JSON floats, base64, codes of 8 bits or 1 bit, raw bytes."""

from __future__ import annotations

import binascii
from typing import Any

import msgspec
import numpy as np
import orjson
from starlette.responses import Response

from instructor_embedding.model.packed import Float32
from instructor_embedding.quantization.codes import truncated
from instructor_embedding.serving.job import Job

NUMPY = orjson.OPT_SERIALIZE_NUMPY
RAW = "application/octet-stream"


def vectors(job: Job, dimensions: int | None, normalize: bool = False) -> Float32 | list[Float32]:
    """Return a job's vectors, with the first `dimensions` if these are fewer than all, or L2-normalized."""
    rows: list[Float32] = job.rows
    size = len(rows[0])
    if dimensions in (None, size) and not normalize:
        return rows
    return truncated(np.stack(rows), dimensions or size)


def int8(row: Float32) -> tuple[Any, float]:
    """Return int8 codes and their scale: each vector's largest component becomes 127, so that cosines are kept."""
    scale = max(float(np.abs(row).max()) / 127, 1e-12)
    return np.rint(row / np.float32(scale)).astype(np.int8), scale


def binary(row: Float32) -> Any:
    """Return one bit per dimension, 1 where it is above zero, packed into uint8, the first dimension highest."""
    return np.packbits(row > 0)


def openai(rows: Any, dtype: str, encoding: str, model: str, usage: dict[str, int]) -> bytes:
    """Return the body of /v1/embeddings."""
    if encoding == "base64":
        return _base64(rows, dtype, model, usage)
    data = []
    for index, row in enumerate(rows):
        entry: dict[str, Any] = {"object": "embedding", "index": index}
        value = row
        if dtype == "int8":
            value, entry["scale"] = int8(row)
        elif dtype == "binary":
            value = binary(row)
        entry["embedding"] = np.ascontiguousarray(value)
        data.append(entry)
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage}, option=NUMPY)


def _base64(rows: Any, dtype: str, model: str, usage: dict[str, int]) -> bytes:
    """Return that body with vectors in base64, joined from bytes: an encoder of JSON would look at each character."""
    entries = []
    for index, row in enumerate(rows):
        value, scale = row, b""
        if dtype == "int8":
            value, factor = int8(row)
            scale = b',"scale":%s' % orjson.dumps(factor)
        elif dtype == "binary":
            value = binary(row)
        text = binascii.b2a_base64(_little(value), newline=False)
        entries.append(b'{"object":"embedding","index":%d,"embedding":"%s"%s}' % (index, text, scale))
    end = orjson.dumps({"model": model, "usage": usage})[1:]
    return b'{"object":"list","data":[%s],%s' % (b",".join(entries), end)


def raw(rows: Any, dtype: str) -> tuple[bytes, dict[str, str]]:
    """Return vectors as little-endian bytes, and the headers that say their shape and dtype."""
    values = list(rows)
    if dtype == "int8":
        values = [int8(row)[0] for row in rows]
    elif dtype == "binary":
        values = [binary(row) for row in rows]
    shape = f"{len(values)},{len(values[0])}"
    kind = {"float": "float32", "int8": "int8", "binary": "uint8"}[dtype]
    return b"".join(map(_little, values)), {"x-embedding-shape": shape, "x-embedding-dtype": kind}


def as_json(value: Any, headers: dict[str, str] | None = None) -> Response:
    """Return a reply of arrays and plain values as JSON."""
    return Response(orjson.dumps(value, option=NUMPY), 200, headers, "application/json")


def encoded(value: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """Return a reply of the schema's types as JSON."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def headers_of(job: Job, source: str) -> dict[str, str]:
    """Return headers that say what was computed and how long it took, in milliseconds as TEI has them."""
    return {
        "x-instruction": source,
        "x-truncated": str(job.truncated),
        "x-compute-type": "cpu",
        "x-compute-tokens": str(int(job.lengths.sum())),
        "x-queue-time": str(int(job.queue_seconds * 1000)),
        "x-tokenization-time": str(int(job.tokenize_seconds * 1000)),
        "x-inference-time": str(int(job.compute_seconds * 1000)),
    }


def _little(row: Any) -> bytes:
    little: bytes = (row.astype("<f4", copy=False) if row.dtype == np.float32 else row).tobytes()
    return little
