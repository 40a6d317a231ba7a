"""The calibration of int8 and binary vectors: on a sample of a job's rows, before its first shard is written."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from instructor_embedding.bulk.job import Job
from instructor_embedding.engine import pipeline
from instructor_embedding.engine.backend import as_numpy
from instructor_embedding.files.pairs import Row, read_rows_or_rejects
from instructor_embedding.instruction import Pair
from instructor_embedding.quantization.codes import VectorQuantizer
from instructor_embedding.vectors import unit

SAMPLE = 4096
_FILES = 64


def sampled(job: Job, size: int = SAMPLE) -> list[Pair]:
    """Return the first rows of up to 64 inputs, evenly spaced, about `size` in all: the same for the same inputs."""
    filled = [source for source in job.inputs if source.rows]
    chosen = filled[:: max(1, -(-len(filled) // _FILES))]
    pairs: list[Pair] = []
    for source in chosen:
        items = read_rows_or_rejects(source.name, job.chosen, job.instruction, **job.reading)
        rows = (item.pair for item in items if isinstance(item, Row) and not item.is_empty)
        pairs += islice(rows, -(-size // len(chosen)))
    return pairs


def calibrate(job: Job, model: Any, batch_size: int) -> VectorQuantizer:
    """Return the quantizer of a job, fitted to the vectors of a sample."""
    budget = pipeline.budget_of(batch_size)
    windows = pipeline.encode(sampled(job), model.tokens, model.backend, budget, "quiet")
    return VectorQuantizer.fit(unit(np.concatenate([as_numpy(window.vectors) for window in windows])), job.storage)
