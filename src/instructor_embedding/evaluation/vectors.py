"""Unit norm, until `instructor_embedding.vectors` is here."""

from __future__ import annotations

import numpy as np

from instructor_embedding.model.packed import Float32


def unit(vectors: Float32) -> Float32:
    """Return L2-normalized rows, float32 of shape (n, dim); a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
