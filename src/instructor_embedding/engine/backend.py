"""What runs a batch: one method."""

from __future__ import annotations

from typing import Protocol

from instructor_embedding.model.packed import Float32, Packed


class Backend(Protocol):
    """Turns a packed batch into vectors; it pads for itself, or not.

    Use it to plug in other hardware or, in tests, a fake.
    """

    dimension: int

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension), one row a text, in the order of the batch."""
        ...
