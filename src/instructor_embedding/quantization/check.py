"""What a smaller model loses: cosines to the vectors before, neighbors kept, scores of tasks; and a bound on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from instructor_embedding.errors import InputError
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32
from instructor_embedding.quantization.search import neighbors, overlap
from instructor_embedding.quantization.vectors import table, unit

NEIGHBORS = 10
_REMEMBERED = 2000  # pairs of an evaluation that are compared


class Model(Protocol):
    """What can be compared: most often an `INSTRUCTOR`."""

    def encode(self, pairs: Any, /, *, truncate: Literal["warn", "error", "quiet"] = "warn") -> Any:
        """Return a vector for each pair."""


@dataclass(frozen=True)
class Agreement:
    """How near a smaller model's vectors are to those before.

    Parameters
    ----------
    cosine : float
        Mean cosine between a text's two vectors.
    lowest : float
        The lowest of them.
    overlap : float
        Part of each text's 10 nearest neighbors, among the texts given, that are still among them, 0 to 1.
    texts : int
    """

    cosine: float
    lowest: float
    overlap: float
    texts: int

    def __str__(self) -> str:
        """Return it in one line."""
        return (
            f"cosine {self.cosine:.5f} (lowest {self.lowest:.5f}), "
            f"{self.overlap:.1%} of {NEIGHBORS} neighbors kept, {self.texts} texts"
        )


@dataclass(frozen=True)
class Bounds:
    """What a smaller model may lose.

    Parameters
    ----------
    cosine : float
        Least mean cosine.
    overlap : float
        Least part of neighbors kept, 0 to 1.
    loss : float
        Most points that the mean of the tasks' scores may fall.
    """

    cosine: float
    overlap: float
    loss: float

    def broken(self, agreement: Agreement, losses: Mapping[str, float]) -> list[str]:
        """Return what is below the bounds, one sentence each.

        Parameters
        ----------
        agreement : Agreement
        losses : mapping
            Points that each task's score fell by; empty where no task was run.
        """
        found = []
        if not agreement.cosine >= self.cosine:
            found.append(f"the mean cosine is {agreement.cosine:.5f}, below {self.cosine}")
        if not agreement.overlap >= self.overlap:
            found.append(f"{agreement.overlap:.1%} of the neighbors are kept, less than {self.overlap:.1%}")
        mean = float(np.mean(list(losses.values()))) if losses else 0.0
        if not mean <= self.loss:
            found.append(f"the mean of {len(losses)} tasks fell by {mean:.2f} points, more than {self.loss}")
        return found


# what is refused unless told otherwise, by the kind of weights
BOUNDS = {
    "int8": Bounds(0.999, 0.93, 0.3),
    "int4": Bounds(0.97, 0.75, 1.0),
    "bfloat16": Bounds(0.9999, 0.97, 0.1),
    "float16": Bounds(0.9999, 0.97, 0.1),
    "float32": Bounds(0.9999, 0.97, 0.1),
}


def agreement(before: npt.ArrayLike, after: npt.ArrayLike) -> Agreement:
    """Compare the vectors of the same texts, by the model before and by the smaller one.

    Parameters
    ----------
    before, after : float of shape (n, dim)

    Raises
    ------
    InputError
        The shapes differ, or there are fewer than two texts.
    """
    a = table(before, "before")
    b = table(after, "after", a.shape[1])
    if len(a) != len(b) or len(a) < 2:
        raise InputError(f"before and after must be vectors of the same texts, at least two; got {len(a)} and {len(b)}")
    cosines = (unit(a) * unit(b)).sum(1, dtype=np.float64)
    kept = overlap(neighbors(b, NEIGHBORS), neighbors(a, NEIGHBORS))
    return Agreement(float(cosines.mean()), float(cosines.min()), kept, len(a))


def compare(before: Model, after: Model, pairs: Sequence[Pair]) -> Agreement:
    """Encode `pairs` with both models and compare; equal texts count once."""
    distinct = list(dict.fromkeys(pairs))
    return agreement(*(model.encode(distinct, truncate="quiet") for model in (before, after)))


class Remembering:
    """A model that remembers the first vectors it gave, so that an evaluation's texts need not be encoded again."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.vectors: dict[Pair, Float32] = {}

    def encode(self, pairs: list[Pair], /) -> Float32:
        """Return the model's vectors."""
        found: Float32 = self.model.encode(pairs, truncate="quiet")
        for pair, vector in zip(pairs, found, strict=True):
            if len(self.vectors) >= _REMEMBERED:
                break
            self.vectors.setdefault(pair, vector)
        return found

    def agreement(self, other: Remembering) -> Agreement:
        """Compare what both remember."""
        shared = [pair for pair in self.vectors if pair in other.vectors]
        mine, theirs = (np.stack([each.vectors[pair] for pair in shared]) for each in (self, other))
        return agreement(mine, theirs)
