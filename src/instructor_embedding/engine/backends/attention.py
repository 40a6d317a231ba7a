"""Attention within each text of a packed batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from instructor_embedding.model.packed import Packed


class Run(NamedTuple):
    """Neighboring texts of equal length, attended together; `bias` (1, H, length, length) is float32."""

    rows: slice
    texts: int
    length: int
    bias: Tensor


def runs_of(batch: Packed, bias: Tensor) -> list[Run]:
    """Group neighbors of equal length and slice the position bias (1, H, L, L) for each group, for all layers."""
    return [
        Run(
            slice(int(batch.starts[first]), int(batch.starts[first + count])),
            count,
            length,
            bias[:, :, :length, :length].contiguous(),
        )
        for first, count, length in batch.runs()
    ]


def attend(qkv: Tensor, runs: list[Run]) -> Tensor:
    """Attend within each text; `qkv` (T, 3 H K) in float32 or bfloat16 gives (T, H K), zero after the last text."""
    heads = runs[0].bias.shape[1]
    mixed = qkv.new_empty(len(qkv), qkv.shape[1] // 3)
    mixed[runs[-1].rows.stop :] = 0
    for run in runs:
        split = qkv[run.rows].view(run.texts, run.length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        long = run.length > (256 if qkv.dtype == torch.float32 else 1024)
        heads_mixed = _fused(split, run) if long else _plain(split, run)
        mixed[run.rows].view(run.texts, run.length, heads, -1).copy_(heads_mixed.transpose(1, 2))
    return mixed


def _plain(qkv: Tensor, run: Run) -> Tensor:
    """Two matmuls with a float32 softmax between them: faster on CPUs than the fused operator, for short texts."""
    query, key, value = qkv.flatten(1, 2) if qkv.shape[1] == 1 else qkv.reshape(3, -1, *qkv.shape[3:])
    scores = torch.bmm(query, key.transpose(1, 2)).float().view(run.texts, -1, run.length, run.length).add_(run.bias)
    weights = scores.softmax(-1).to(qkv.dtype).flatten(0, 1)
    return torch.bmm(weights, value).view(*qkv.shape[1:])


def _fused(qkv: Tensor, run: Run) -> Tensor:
    query, key, value = qkv
    return F.scaled_dot_product_attention(query, key, value, run.bias.to(qkv.dtype), scale=1.0)
