"""What runs a batch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from instructor_embedding.model.packed import Float32, Packed

# float32 of shape (n, dimension): a numpy array, or a torch tensor that stays on its device
Vectors = Any


class Backend(Protocol):
    """Turns a packed batch into vectors; whether it pads is its own affair.

    Use it to plug in other hardware or, in tests, a fake; only `dimension` and `run` are required of one.

    Attributes
    ----------
    dimension : int
        Of a vector.
    max_tokens : int or None
        Most tokens of one run, where that is limited; a single longer text is still passed.
    thread_safe : bool
        Whether several threads may call `run` at the same time.
    batch_scale : int, optional
        Factor of the token budget that ``batch_size`` sets, for devices that need more tokens to be busy; default 1.
    """

    dimension: int
    max_tokens: int | None
    thread_safe: bool

    def run(self, batch: Packed) -> Vectors:
        """Return float32 of shape (n, dimension), one row per text, in the order of the batch."""
        ...

    def close(self) -> None:
        """Free what the backend holds; it is not used afterwards."""
        ...


class StatesBackend(Backend, Protocol):
    """A backend that also gives the states of tokens."""

    def states(self, batch: Packed) -> tuple[Any, Vectors]:
        """Return token states, float32 of shape (tokens, d_model), and the vectors that are pooled from them."""
        ...


def as_numpy(vectors: Vectors) -> Float32:
    """Return vectors as a numpy array, copied from their device where they are on one."""
    array: Float32 = vectors if isinstance(vectors, np.ndarray) else vectors.cpu().numpy()
    return array
