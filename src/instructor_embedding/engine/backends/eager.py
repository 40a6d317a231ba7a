"""Runs the model's own modules, on whatever device they are."""

from __future__ import annotations

import torch
from torch import Tensor

from instructor_embedding.engine.backend import Vectors
from instructor_embedding.engine.forked import use_own_threads
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.packed import Packed


class EagerBackend:
    """Packed inference with torch, through the modules with the weights that they have now.

    Vectors are a numpy array where the model is on a CPU, else a tensor on the model's device.
    """

    max_tokens: int | None = None
    thread_safe = True

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.dimension = embedder.dimension

    def run(self, batch: Packed) -> Vectors:
        """Return float32 of shape (n, dimension)."""
        use_own_threads()
        with torch.inference_mode():
            vectors = self.embedder.packed(batch)
        return vectors.numpy() if vectors.device.type == "cpu" else vectors

    def states(self, batch: Packed) -> tuple[Tensor, Vectors]:
        """Return token states, float32 of shape (tokens, d_model), and the vectors that are pooled from them."""
        use_own_threads()
        with torch.no_grad():
            states = self.embedder.encoder.packed(batch)
            return states, self.embedder.head.packed(states, batch)

    def close(self) -> None:
        """Do nothing: the weights are the model's."""
