"""T5's bias of relative positions, as numpy arrays; torch modules look up the same buckets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from instructor_embedding.model.config import T5Config
from instructor_embedding.model.packed import Float32


def buckets(length: int, config: T5Config) -> npt.NDArray[np.int64]:
    """Return the bucket of each distance from ``1 - L`` to ``L - 1``, int64 of shape (2 L - 1,).

    A distance is key position less query position. Near ones have a bucket each, far ones share logarithmically
    wider ones; keys after the query have the upper half of the buckets.
    """
    distance = np.arange(1 - length, length)
    half = config.relative_attention_num_buckets // 2
    exact = half // 2
    size = np.abs(distance)
    growth = np.float32(np.log(config.relative_attention_max_distance / exact))
    # in float32, as the published models were trained: borders of buckets depend on it
    ratio = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(exact)) / growth * np.float32(half - exact)
    far = np.minimum(exact + ratio.astype(np.int64), half - 1)
    index: npt.NDArray[np.int64] = np.where(size < exact, size, far) + half * (distance > 0)
    return index


def distance_bias(table: Float32, length: int, config: T5Config) -> Float32:
    """Return the bias of each head by distance, float32 of shape (H, 2 L - 1), from the `table` (buckets, H)."""
    return np.ascontiguousarray(table[buckets(length, config)].T, np.float32)
