"""What a job will cost: its rows, tokens, time and bytes, from a sample that is encoded and stored."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from instructor_embedding.bulk import calibration, inputs
from instructor_embedding.bulk.job import Job
from instructor_embedding.bulk.run import Request, drafted
from instructor_embedding.engine import pipeline
from instructor_embedding.errors import InputError
from instructor_embedding.files import shards

SAMPLE = 2048
_PARQUET = 64  # bytes that a row has in a shard beside text and vector: id, digest, its share of the footer


class Estimate(NamedTuple):
    """What a job will cost.

    Attributes
    ----------
    files, rows : int
    tokens, truncated : int
        Estimated from the sample.
    seconds : float
        On this machine with these settings.
    bytes : int
        Of the shards.
    shards : int
    sample : int
        Rows that were encoded for the estimate.
    """

    files: int
    rows: int
    tokens: int
    truncated: int
    seconds: float
    bytes: int
    shards: int
    sample: int


def estimated(request: Request, advance: Any = lambda size: None) -> Estimate:
    """Return what a job will cost; nothing is written.

    Raises
    ------
    InputError
        As the job itself would.
    """
    draft, files = drafted(request)
    sources = inputs.measured(files, (), draft.reading, advance)
    model = request.settings.load()
    job = replace(draft, dimension=model.dimension, inputs=tuple(sources))
    pairs = calibration.sampled(job, SAMPLE)
    if not pairs:
        raise InputError("none of the first rows of the inputs has a text")
    budget = pipeline.budget_of(request.settings.batch_size)
    for _ in pipeline.encode(pairs[:64], model.tokens, model.backend, budget, "quiet"):
        pass  # what is allocated once is not part of the speed
    start = time.perf_counter()
    windows = list(pipeline.encode(pairs, model.tokens, model.backend, budget, "quiet"))
    speed = len(pairs) / (time.perf_counter() - start)
    share = job.rows / len(pairs)
    text = sum(len(pair.text.encode("utf-8", "surrogatepass")) for pair in pairs) / len(pairs)
    return Estimate(
        files=len(sources),
        rows=job.rows,
        tokens=round(share * sum(int(window.kept.sum()) for window in windows)),
        truncated=round(share * sum(int((window.full > window.kept).sum()) for window in windows)),
        seconds=job.rows / speed,
        bytes=round(job.rows * (vector_bytes(job) + text / 2 + _PARQUET)),
        shards=sum(1 for _ in job.tasks()),
        sample=len(pairs),
    )


def vector_bytes(job: Job) -> int:
    """Return the bytes of a stored vector."""
    if job.storage == "binary":
        return -(-job.dimension // 8)
    return job.dimension * int(np.dtype(shards.STORAGE[job.storage]).itemsize)
