"""From token states to vectors: mean pooling without the instruction, dense layers, normalization."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instructor_embedding.model.folder.contents import ACTIVATIONS as NAMES
from instructor_embedding.model.packed import Packed

ACTIVATIONS: dict[str, type[nn.Module]] = {name: getattr(nn, name.rpartition(".")[2]) for name in NAMES}


class Dense(nn.Module):
    """A linear layer with an activation, as sentence-transformers writes it to ``2_Dense``."""

    def __init__(self, in_features: int, out_features: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation_name = activation
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_features) to (n, out_features)."""
        weight = getattr(self.linear, "weight", None)
        return cast(Tensor, self.activation(self.linear(x.to(weight.dtype) if isinstance(weight, Tensor) else x)))


class Head(nn.Module):
    """Pools token states to one vector per text.

    Parameters
    ----------
    dense : sequence of Dense
        Applied to the mean, in order.
    normalize : bool
        Scale vectors to unit norm.
    """

    def __init__(self, dense: list[Dense], normalize: bool) -> None:
        super().__init__()
        self.dense = nn.ModuleList(dense)
        self.normalize = normalize

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool padded `states` (B, L, D) over the tokens where `mask` (B, L) is 1; returns float32 (B, dim)."""
        weights = mask.to(states.dtype)[:, :, None]
        return self.project((states * weights).sum(1) / weights.sum(1).clamp(min=1e-9))

    def packed(self, states: Tensor, batch: Packed) -> Tensor:
        """Pool packed `states` (T, D), the first ``batch.skip`` tokens of each text left out; float32 (n, dim)."""
        texts = zip(states.split(batch.lengths.tolist()), batch.skip.tolist(), strict=True)
        return self.project(torch.stack([rows[skip:].mean(0) for rows, skip in texts]))

    def dense_layers(self) -> list[Dense]:
        """Return the dense layers, in order."""
        return [cast(Dense, layer) for layer in self.dense]

    def project(self, mean: Tensor) -> Tensor:
        """Apply the dense layers and the normalization to float32 `mean` (n, D)."""
        for dense in self.dense:
            mean = dense(mean)
        mean = mean.float()
        return F.normalize(mean, dim=1, eps=1e-12) if self.normalize else mean


def pooling_mask(mask: Tensor, skip: Tensor) -> Tensor:
    """Return the attention `mask` (B, L) without the first `skip` (B,) tokens, at least the last token left."""
    skip = torch.minimum(skip, mask.sum(1).to(skip.dtype) - 1)
    return mask * (torch.arange(mask.shape[1], device=mask.device) >= skip[:, None])
