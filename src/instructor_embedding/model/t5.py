"""The T5 encoder, packed or padded.

Letters of shapes: B texts, L tokens of the longest text, T tokens of all texts together, D d_model, H heads, K d_kv,
F d_ff. The architecture is that of T5 (arXiv 1910.10683) and T5 1.1: RMS norms before each sublayer, no biases,
attention scores not scaled, one bias of relative positions shared by all layers.

The residual stream is float32 whatever the dtype of the weights, and in float16 the second GEMM of the feed-forward
layer stays float32 too: T5 leaves the range of float16 there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from instructor_embedding.model.config import T5Config
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.position import buckets

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


class RMSNorm(nn.Module):
    """Root mean square norm without mean or bias; float32 in, dtype of `weight` out."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalize the last dimension of float32 `hidden`."""
        scale = torch.rsqrt(hidden.square().mean(-1, keepdim=True) + self.eps)
        return (hidden * scale).to(self.weight.dtype) * self.weight


class Attention(nn.Module):
    """Self-attention with an additive bias of relative positions."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        inner = config.num_heads * config.d_kv
        self.heads = config.num_heads
        self.q = nn.Linear(config.d_model, inner, bias=False)
        self.k = nn.Linear(config.d_model, inner, bias=False)
        self.v = nn.Linear(config.d_model, inner, bias=False)
        self.o = nn.Linear(inner, config.d_model, bias=False)
        self.dropout_rate = config.dropout_rate

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attend within each row of `x` (B, L, D), with `bias` (B or 1, H, L, L) added to the scores."""
        query, key, value = (self._split(layer(x)) for layer in (self.q, self.k, self.v))
        dropout = self.dropout_rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, bias.to(query.dtype), dropout, False, scale=1.0)
        return cast(Tensor, self.o(mixed.transpose(1, 2).flatten(2)))

    def packed(self, x: Tensor, bias: Tensor, batch: Packed) -> Tensor:
        """Attend within each text of packed `x` (T, D), with `bias` (1, H, L, L) of the longest text."""
        runs = list(batch.runs())
        sizes = [count * length for _, count, length in runs]
        # split and cat keep one autograd node per GEMM; with slices, each would allocate and clear a full gradient
        groups = zip(runs, *(layer(x).split(sizes) for layer in (self.q, self.k, self.v)), strict=True)
        dropout = self.dropout_rate if self.training else 0.0
        mixed = []
        for (_, count, length), *states in groups:
            q, k, v = (tensor.view(count, length, self.heads, -1).transpose(1, 2) for tensor in states)
            near = bias[:, :, :length, :length].to(q.dtype)
            run = F.scaled_dot_product_attention(q, k, v, near, dropout, False, scale=1.0)
            mixed.append(run.transpose(1, 2).reshape(count * length, -1))
        return cast(Tensor, self.o(torch.cat(mixed)))

    def _split(self, states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, gated in T5 1.1."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.gated = config.gated
        if config.gated:
            self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
            self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        else:
            self.wi = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.activation = config.activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        activate = ACTIVATIONS[self.activation]
        inner = activate(self.wi_0(x)) * self.wi_1(x) if self.gated else activate(self.wi(x))
        weight = getattr(self.wo, "weight", None)
        if isinstance(weight, Tensor):  # float32 beside float16 layers
            inner = inner.to(weight.dtype)
        elif inner.dtype == torch.float16:  # a quantized layer holds no plain weight
            inner = inner.float()
        return cast(Tensor, self.wo(self.dropout(inner)))


class Block(nn.Module):
    """One layer: attention, then feed-forward, each after a norm and added to the residual stream."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.attention = Attention(config)
        self.feed_forward_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, hidden: Tensor, bias: Tensor, batch: Packed | None = None) -> Tensor:
        """Return the next hidden state; with `batch` the rows are packed (T, D), else padded (B, L, D)."""
        x = self.attention_norm(hidden)
        mixed = self.attention(x, bias) if batch is None else self.attention.packed(x, bias, batch)
        hidden = hidden + self.dropout(mixed)
        return cast(Tensor, hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden))))


class T5Encoder(nn.Module):
    """The encoder half of T5.

    Use `packed` wherever texts differ in length, with or without gradients, `forward` where a padded batch is at hand;
    both give the same states.

    Attributes
    ----------
    checkpointing : bool
        Activation checkpointing: store the input of each layer and recompute the rest in the backward pass; less
        memory, a third more time.
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = _table(config.vocab_size, config.d_model)
        self.relative_bias = _table(config.relative_attention_num_buckets, config.num_heads)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.checkpointing = False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.final_norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are, those in 8 and 4 bits left aside."""
        return self.final_norm.weight.dtype

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Encode a padded batch, with gradients.

        Parameters
        ----------
        ids : int of shape (B, L)
        mask : int or bool of shape (B, L)
            1 for tokens, 0 for padding.

        Returns
        -------
        float32 of shape (B, L, D)
        """
        bias = self.position_bias(ids.shape[1])
        bias = bias.masked_fill(mask[:, None, None, :] == 0, torch.finfo(bias.dtype).min)
        return self._through(ids, bias, None)

    def packed(self, batch: Packed) -> Tensor:
        """Encode a packed batch without padding; returns float32 of shape (T, D)."""
        bias = self.position_bias(int(batch.lengths.max(initial=0)))
        return self._through(torch.from_numpy(batch.ids).to(bias.device), bias, batch)

    def _through(self, ids: Tensor, bias: Tensor, batch: Packed | None) -> Tensor:
        """Run all blocks; with `checkpointing`, their inner values are recomputed in the backward pass."""
        hidden = self.dropout(self.embedding(ids).float())
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                hidden = checkpoint(block, hidden, bias, batch, use_reentrant=False)
            else:
                hidden = block(hidden, bias, batch)
        return cast(Tensor, self.dropout(self.final_norm(hidden).float()))

    def position_bias(self, length: int) -> Tensor:
        """Return the bias of relative positions, float32 of shape (1, H, L, L).

        It depends on the distance alone, so that the bias of a shorter text is the upper left part.
        """
        position = torch.arange(length, device=self.device)
        distance = position[None, :] - position[:, None]
        index = self._buckets(length)[distance + length - 1]
        return cast(Tensor, self.relative_bias(index).float().movedim(-1, 0))[None]

    def distance_bias(self, length: int) -> Tensor:
        """Return the same values once per distance from ``1 - L`` to ``L - 1``, float32 of shape (H, 2 L - 1)."""
        return cast(Tensor, self.relative_bias(self._buckets(length)).float().T)

    def _buckets(self, length: int) -> Tensor:
        return torch.from_numpy(buckets(length, self.config)).to(self.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> T5Encoder:
        """Convert as ``nn.Module`` does, but keep the second feed-forward layer out of float16."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for block in self.blocks:
            layer = cast(Block, block).feed_forward.wo
            if isinstance(layer, nn.Linear) and layer.weight.dtype == torch.float16:
                layer.float()
        return self


def _table(rows: int, columns: int) -> nn.Embedding:
    """Return an embedding that is not yet filled: to draw its values on the meta device would import a compiler."""
    return nn.Embedding(rows, columns, _weight=torch.empty(rows, columns))
