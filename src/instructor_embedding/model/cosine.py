"""Cosines of vectors as torch tensors, which stay on their device and keep their gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from instructor_embedding.errors import InputError
from instructor_embedding.vectors import checked


def cosines(a: Any, b: Any) -> Tensor:
    """Return the cosine of each row of `a` (n, dim) with each row of `b` (m, dim), float32 of shape (n, m).

    Raises
    ------
    InputError
        They are not tables of values, or differ in width.
    """
    left, right = _rows(a, "the first vectors"), _rows(b, "the second vectors")
    if left.shape[1] != right.shape[1]:
        raise InputError(f"the first vectors have {left.shape[1]} dimensions, the second {right.shape[1]}")
    return F.normalize(left, dim=1) @ F.normalize(right.to(left.device), dim=1).T


def _rows(vectors: Any, name: str) -> Tensor:
    """Return vectors of any form as a float32 tensor (n, dim)."""
    if isinstance(vectors, (list, tuple)) and vectors and all(isinstance(row, Tensor) for row in vectors):
        if len({row.shape for row in vectors}) > 1:
            raise InputError(f"{name} are tensors of different shapes")
        vectors = torch.stack(list(vectors))
    if not isinstance(vectors, Tensor):
        single = getattr(vectors, "ndim", 0) == 1 or (isinstance(vectors, (list, tuple)) and _is_number(vectors[:1]))
        vectors = torch.from_numpy(checked([vectors] if single else vectors, name))
    rows: Tensor = torch.atleast_2d(vectors).float()
    if rows.ndim != 2:
        raise InputError(f"{name} must be of shape (n, dim), got {tuple(vectors.shape)}")
    return rows


def _is_number(items: Any) -> bool:
    return len(items) == 1 and isinstance(items[0], (int, float))
