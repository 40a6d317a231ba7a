"""Contrast between triples, where one text may stand in several of them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

TEMPERATURE = 0.05


def contrast(vectors: Tensor, query: NDArray[np.int64], pos: NDArray[np.int64], neg: NDArray[np.int64]) -> Tensor:
    """Return the loss of both directions; what is known to match is no negative."""
    count = len(query)
    queries, positives, negatives = vectors.view(3, count, -1)
    own = torch.eye(count, dtype=torch.bool)
    same_query = torch.from_numpy(query[:, None] == query[None])
    others = np.concatenate([pos, neg])[None]
    known = torch.from_numpy((others == pos[:, None]) | (others == query[:, None]))
    known[:, :count] = (known[:, :count] | same_query) & ~own
    there = (queries @ torch.cat([positives, negatives]).T / TEMPERATURE).masked_fill(known, -1e4)
    known_back = (torch.from_numpy(pos[:, None] == pos[None]) | same_query) & ~own
    back = (positives @ queries.T / TEMPERATURE).masked_fill(known_back, -1e4)
    right = torch.arange(count)
    return (F.cross_entropy(there, right) + F.cross_entropy(back, right)) / 2
