"""Correlation of two rows of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def pearson(a: Any, b: Any) -> float:
    """Return Pearson's correlation of two arrays of shape (n,); 0 where one of them never changes."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def spearman(a: Any, b: Any) -> float:
    """Return Spearman's correlation of two arrays of shape (n,); 0 where one of them never changes."""
    return pearson(_ranks(a), _ranks(b))


def _ranks(values: Any) -> Any:
    """Return ranks, ties with their mean."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[where]
