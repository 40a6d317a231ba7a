"""A model that is named now and loaded when the first text comes; the same one for all adapters of a process."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from instructor_embedding.instruction import Pair
from instructor_embedding.vectors import Float32

DEFAULT = "instructor-mini"


class LazyModel:
    """A model by name, or a loaded one.

    Copies and pickles carry the name, not the weights; a loaded model is copied with its weights.

    Parameters
    ----------
    model : str or INSTRUCTOR
        Hub id, folder, or an object with ``encode(pairs)``.
    device : str, optional
    batch_size : int
    """

    def __init__(self, model: Any = DEFAULT, device: str | None = None, batch_size: int = 32) -> None:
        self.model, self.device, self.batch_size = model, device, batch_size

    def load(self) -> Any:
        """Return the model, loaded."""
        return _loaded(self.model, self.device) if isinstance(self.model, str) else self.model

    def vectors(self, texts: Iterable[str], instruction: str) -> Float32:
        """Return the vectors of texts under an instruction, float32 of shape (n, dimension)."""
        pairs = [Pair(instruction, text) for text in texts]
        model = self.load()
        if not pairs:
            return np.empty((0, self.dimension()), np.float32)
        vectors: Float32 = np.asarray(model.encode(pairs, batch_size=self.batch_size), np.float32)
        return vectors

    def lists(self, texts: Iterable[str], instruction: str) -> list[list[float]]:
        """Return the vectors as lists of floats."""
        rows: list[list[float]] = self.vectors(texts, instruction).tolist()
        return rows

    def dimension(self) -> int:
        """Return the number of dimensions of a vector."""
        return int(self.load().get_sentence_embedding_dimension())


@lru_cache(maxsize=4)
def _loaded(name: str, device: str | None) -> Any:
    from instructor_embedding.instructor import INSTRUCTOR

    return INSTRUCTOR(name, device=device)
