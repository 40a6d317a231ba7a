"""Vectors in the types that callers of ``INSTRUCTOR.encode`` request."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from instructor_embedding.engine.backend import Vectors, as_numpy


def normalized(vectors: Vectors) -> Vectors:
    """Scale vectors, an array or a tensor, to unit norm."""
    return vectors / (vectors**2).sum(1)[:, None] ** 0.5


def converted(vectors: Vectors, numpy: bool, tensor: bool, device: torch.device) -> Any:
    """Return an array (`numpy`), one tensor on `device` (`tensor`, which wins), or a list of tensors."""
    if numpy and not tensor:
        return as_numpy(vectors)
    rows: Tensor = torch.as_tensor(vectors, device=device)
    return rows if tensor else list(rows)
