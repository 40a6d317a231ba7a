"""All vectors of a call in one array or tensor, with a progress bar while they are computed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from tqdm import tqdm

from instructor_embedding.engine.backend import Vectors
from instructor_embedding.engine.pipeline import Window


def gathered(windows: Iterable[Window], count: int, dimension: int, progress: bool = False) -> Vectors:
    """Return the vectors of `count` texts, float32 of shape (count, dimension), in the windows' kind of array.

    `progress` shows a bar on stderr.
    """
    vectors: Vectors = np.empty((count, dimension), np.float32)
    first = 0
    with tqdm(total=count, unit=" texts", disable=not progress, desc="encode", leave=False) as bar:
        for window in windows:
            if first == 0 and not isinstance(window.vectors, np.ndarray):
                vectors = window.vectors.new_empty(vectors.shape)
            vectors[first : first + len(window.pairs)] = window.vectors
            first += len(window.pairs)
            bar.update(len(window.pairs))
    return vectors
