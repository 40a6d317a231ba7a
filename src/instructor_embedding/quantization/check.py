"""The loss of a quantized model: cosines to the original vectors, shared neighbors, scores of tasks; and bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from instructor_embedding.errors import InputError
from instructor_embedding.instruction import Pair
from instructor_embedding.quantization.search import overlap
from instructor_embedding.vectors import Float32, checked, nearest, paired_cosines, unit

NEIGHBORS = 10
_COMPARED = 2000  # pairs of an evaluation whose vectors are compared


class Model(Protocol):
    """A model that can be compared, such as an `INSTRUCTOR`."""

    def encode(self, pairs: Any, /, *, truncate: Literal["warn", "error", "quiet"] = "warn") -> Any:
        """Return a vector per pair."""


@dataclass(frozen=True)
class Agreement:
    """How close the vectors of a quantized model are to the original ones.

    Parameters
    ----------
    cosine : float
        Mean cosine between the two vectors of a text.
    lowest : float
        The lowest cosine.
    overlap : float
        Share of each text's 10 nearest neighbors, among these texts, that both models agree on, 0 to 1.
    texts : int
    """

    cosine: float
    lowest: float
    overlap: float
    texts: int

    def __str__(self) -> str:
        """Return one line for the terminal."""
        return (
            f"cosine {self.cosine:.5f} (lowest {self.lowest:.5f}), "
            f"{self.overlap:.1%} of {NEIGHBORS} neighbors shared, {self.texts} texts"
        )


@dataclass(frozen=True)
class Bounds:
    """Bounds on the loss of a quantized model.

    Parameters
    ----------
    cosine : float
        Least mean cosine.
    overlap : float
        Least share of neighbors, 0 to 1.
    loss : float
        Most points by which the mean score of the tasks may fall.
    """

    cosine: float
    overlap: float
    loss: float

    def violations(self, agreement: Agreement, losses: Mapping[str, float]) -> list[str]:
        """Return a sentence for each bound that is violated.

        Parameters
        ----------
        agreement : Agreement
        losses : mapping
            Points by which the score of each task fell; empty where no task was run.
        """
        sentences = []
        if not agreement.cosine >= self.cosine:
            sentences.append(f"the mean cosine is {agreement.cosine:.5f}, below {self.cosine}")
        if not agreement.overlap >= self.overlap:
            sentences.append(f"{agreement.overlap:.1%} of the neighbors are shared, less than {self.overlap:.1%}")
        mean = float(np.mean(list(losses.values()))) if losses else 0.0
        if not mean <= self.loss:
            sentences.append(f"the mean of {len(losses)} tasks fell by {mean:.2f} points, more than {self.loss}")
        return sentences


# default bounds by the format of the weights
BOUNDS = {
    "int8": Bounds(0.999, 0.93, 0.3),
    "int4": Bounds(0.97, 0.75, 1.0),
    "bfloat16": Bounds(0.9999, 0.97, 0.1),
    "float16": Bounds(0.9999, 0.97, 0.1),
    "float32": Bounds(0.9999, 0.97, 0.1),
}


def agreement(before: npt.ArrayLike, after: npt.ArrayLike) -> Agreement:
    """Compare the vectors of the same texts by the original and the quantized model.

    Parameters
    ----------
    before, after : float of shape (n, dim)

    Raises
    ------
    InputError
        The shapes differ, or there are fewer than two texts.
    """
    a = checked(before, "before")
    b = checked(after, "after", a.shape[1])
    if len(a) != len(b) or len(a) < 2:
        raise InputError(f"before and after must be vectors of the same texts, at least two; got {len(a)} and {len(b)}")
    cosines = paired_cosines(a, b).astype(np.float64)
    neighbors = [nearest(unit(rows), unit(rows), NEIGHBORS, exclude_self=True)[1] for rows in (b, a)]
    shared = overlap(*neighbors)
    return Agreement(float(cosines.mean()), float(cosines.min()), shared, len(a))


def compare(before: Model, after: Model, pairs: Sequence[Pair]) -> Agreement:
    """Encode `pairs` with both models and compare; equal texts count once."""
    distinct = list(dict.fromkeys(pairs))
    return agreement(*(model.encode(distinct, truncate="quiet") for model in (before, after)))


class Recorded:
    """A model whose first vectors are recorded, so that the texts of an evaluation are not encoded again to compare."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.vectors: dict[Pair, Float32] = {}

    def encode(self, pairs: list[Pair], /) -> Float32:
        """Return the model's vectors."""
        vectors: Float32 = self.model.encode(pairs, truncate="quiet")
        for pair, vector in zip(pairs, vectors, strict=True):
            if len(self.vectors) >= _COMPARED:
                break
            self.vectors.setdefault(pair, vector)
        return vectors

    def agreement(self, other: Recorded) -> Agreement:
        """Compare the pairs that both recorded."""
        shared = [pair for pair in self.vectors if pair in other.vectors]
        before, after = (np.stack([model.vectors[pair] for pair in shared]) for model in (self, other))
        return agreement(before, after)
