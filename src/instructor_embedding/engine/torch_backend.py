"""Runs the model's own modules, on whatever device they are."""

from __future__ import annotations

import torch

from instructor_embedding.model.packed import Float32, Packed
from instructor_embedding.model.pooling import Head
from instructor_embedding.model.t5 import T5Encoder


class TorchBackend:
    """Packed inference with torch, through the modules as they are now."""

    def __init__(self, encoder: T5Encoder, head: Head, dimension: int) -> None:
        self.encoder = encoder
        self.head = head
        self.dimension = dimension

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension)."""
        with torch.inference_mode():
            vectors: Float32 = self.head.packed(self.encoder.packed(batch), batch).cpu().numpy()
        return vectors
