"""What an index requires of a store: rows by id, a vector per field, nearest rows, full text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.errors import InstructorError
from instructor_embedding.files.manifest import Manifest
from instructor_embedding.files.shards import Batch
from instructor_embedding.index.filters import Condition

Float32 = NDArray[np.float32]


class StoreError(InstructorError, OSError):
    """A database refuses or cannot be reached."""

    def __str__(self) -> str:
        """Return the message."""
        return str(self.args[0]) if self.args else ""


class Match(NamedTuple):
    """A row that answers a query.

    Attributes
    ----------
    id, text : str
    score : float
        The cosine; of a hybrid search the sum of reciprocal ranks.
    payload : dict
    """

    id: str
    score: float
    text: str
    payload: Mapping[str, Any]


class Store(Protocol):
    """Rows and vectors, and their manifest; storage and graphs are those of a library.

    `upsert`, `delete` and `set_vectors` are durable and atomic when they return: a process that is killed leaves the
    rows of complete calls, and a reader sees those.
    """

    name: str
    location: str

    def read_manifest(self) -> Manifest | None:
        """Return the manifest, None where there is no index yet."""

    def create(self, manifest: Manifest) -> None:
        """Make an empty index; what an interrupted `create` has left is replaced."""

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest."""

    def count(self) -> int:
        """Return the number of rows."""

    def digests(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the digests of those of the ids that are stored."""

    def upsert(self, batch: Batch) -> None:
        """Store rows; of ids that are stored, the rows are replaced. The ids of a batch are distinct."""

    def delete(self, ids: Sequence[str] | None, where: Condition | None) -> int:
        """Delete rows by id, by condition or by both, and return how many."""

    def add_field(self, manifest: Manifest, name: str) -> None:
        """Make the column of a new field, without values, and replace the manifest."""

    def without_vector(self, field: str, size: int) -> Iterator[tuple[list[str], list[str]]]:
        """Yield ids and texts of the rows without a vector in a field."""

    def set_vectors(self, field: str, ids: Sequence[str], vectors: Float32) -> None:
        """Store the vectors of rows in a field."""

    def nearest(self, field: str, query: Float32, k: int, where: Condition | None, approximate: bool) -> list[Match]:
        """Return the rows with the largest cosines, best first."""

    def full_text(self, query: str, k: int, where: Condition | None) -> list[Match]:
        """Return the rows that match words of the query, best first."""

    def optimize(self, approximate: bool) -> None:
        """Compact the rows and bring indexes up to date; with `approximate`, make one for each field."""

    @property
    def has_approximate(self) -> bool:
        """Whether there is an approximate index."""

    def close(self) -> None:
        """Release files and connections."""
