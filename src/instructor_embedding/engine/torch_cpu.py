"""Runs T5 on a CPU, on packed tokens, with weights laid out once.

Three things make it fast beside the layout: no padding anywhere; the first layer's attention input is computed once for
each distinct token; and behind the last attention only the tokens go on that the mean takes.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from instructor_embedding.engine.attention import attend, runs_of
from instructor_embedding.engine.kernels import FloatKernel, Int8Kernel, Kernel, Value
from instructor_embedding.model import weights
from instructor_embedding.model.packed import Float32, Packed
from instructor_embedding.model.pooling import Head
from instructor_embedding.model.t5 import Block, RMSNorm, T5Encoder

_CACHED = 1024  # positions; the bias of longer texts is computed when they come
_FEWEST = 8  # rows of a product; other counts are multiples of it


class _Layer(NamedTuple):
    block: Block
    qkv: Any
    o: Any
    up: list[Any]
    down: Any


class TorchCPU:
    """T5 with packed weights.

    Parameters
    ----------
    encoder, head
        Norms, embeddings and the head are read from them at each run; the products' weights are copied here.
    dimension : int
        Of a vector.
    precision : str
        ``"exact"``: the dtype of the weights; ``"fast"``: bfloat16; ``"int8"``.
    """

    def __init__(self, encoder: T5Encoder, head: Head, dimension: int, precision: str = "exact") -> None:
        self.encoder = encoder
        self.head = head
        self.dimension = dimension
        self.kernel: Kernel
        if precision == "int8":
            self.kernel = Int8Kernel(torch.bfloat16 if bfloat16_is_native() else torch.float32)
        else:
            dtype = encoder.dtype if precision == "exact" else torch.bfloat16
            self.kernel = FloatKernel(dtype)
        with torch.inference_mode():
            self.layers = [self._pack(cast(Block, block)) for block in encoder.blocks]
        self._bias = torch.empty(1, 0, 0, 0)

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension)."""
        with torch.inference_mode():
            states = self._states(batch)[: int(batch.lengths.sum() - batch.skip.sum())]
            lengths = torch.from_numpy((batch.lengths - batch.skip).astype(np.int64))
            means = torch.segment_reduce(states, "mean", lengths=lengths, axis=0, unsafe=True)
            vectors: Float32 = self.head.project(means).numpy()
        return vectors

    def _pack(self, block: Block) -> _Layer:
        attention, inner, pack = block.attention, block.feed_forward, self.kernel.pack
        qkv = pack([attention.q, attention.k, attention.v])
        up = [pack([part]) for part in ([inner.wi_0, inner.wi_1] if inner.gated else [inner.wi])]
        layer = _Layer(block, qkv, pack([attention.o]), up, pack([inner.wo]))
        weights.release([*block.parameters(), *block.buffers()])
        return layer

    def _states(self, batch: Packed) -> Tensor:
        """Return the normed states, float32, of the tokens that are pooled, and rows of no meaning behind them."""
        ids, where = torch.unique(torch.from_numpy(batch.ids), return_inverse=True)
        where = _filled(where, 16)
        first = self.encoder.embedding(_filled(ids, 8)).float()
        hidden = first[where]
        runs = runs_of(batch, self._bias_of(int(batch.lengths.max())))
        kept = _filled(_kept(batch), 8)
        for number, layer in enumerate(self.layers):
            qkv = self._attention_input(first, layer)[where] if number == 0 else self._attention_input(hidden, layer)
            mixed = attend(qkv, runs)
            if number == len(self.layers) - 1:
                hidden, mixed = hidden[kept], mixed[kept]
            _add(hidden, self.kernel.product(self.kernel.rows(mixed), layer.o))
            _add(hidden, self._feed_forward(hidden, layer))
        states, scale = _norm(hidden, self.encoder.final_norm)
        return states.mul_(cast(Tensor, scale))

    def _attention_input(self, hidden: Tensor, layer: _Layer) -> Tensor:
        """Return query, key and value beside each other: (T, 3 H K)."""
        rows = self.kernel.rows(*_norm(hidden, layer.block.attention_norm))
        found, scale = self.kernel.product(rows, layer.qkv, dtype=self.kernel.attention)
        return found if scale is None else found.mul_(scale.to(found.dtype))

    def _feed_forward(self, hidden: Tensor, layer: _Layer) -> Value:
        inner = layer.block.feed_forward
        rows = self.kernel.rows(*_norm(hidden, layer.block.feed_forward_norm))
        found, scale = self.kernel.product(rows, layer.up[0], inner.activation)
        if inner.gated:
            if scale is not None:
                found.mul_(scale)
            other, scale = self.kernel.product(rows, layer.up[1])
            found.mul_(other)
        positive = inner.activation == "relu" and not inner.gated
        return self.kernel.product(self.kernel.rows(found, scale, positive), layer.down)

    def _bias_of(self, length: int) -> Tensor:
        """Return the bias of relative positions, (1, H, L, L) or larger."""
        if length > self._bias.shape[-1]:
            bias = self.encoder.position_bias(length)
            if length > _CACHED:
                return bias
            self._bias = bias
        return self._bias


def bfloat16_is_native() -> bool:
    """Say whether this CPU multiplies bfloat16 itself."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _norm(hidden: Tensor, norm: RMSNorm) -> Value:
    """Return the normed float32 `hidden`; its length is left in the scale."""
    size = torch.linalg.vector_norm(hidden, dim=1, keepdim=True)
    return hidden * norm.weight, size.square_().mul_(1 / hidden.shape[1]).add_(norm.eps).rsqrt_()


def _add(hidden: Tensor, value: Value) -> None:
    found, scale = value
    if scale is None:
        hidden.add_(found)
    else:
        hidden.addcmul_(found, scale)


def _filled(rows: Tensor, parts: int) -> Tensor:
    """Repeat the first of some row numbers behind them until there is a round count, by one in `parts` at most.

    oneDNN makes and keeps a kernel of half a megabyte for each count of rows: few counts save memory and time.
    """
    count = len(rows)
    step = max(_FEWEST, (1 << count.bit_length()) // 2 // parts)
    return torch.cat([rows, rows[:1].expand(-count % step)])


def _kept(batch: Packed) -> Tensor:
    """Number the tokens that the mean takes."""
    place = np.arange(len(batch.ids)) - np.repeat(batch.starts[:-1], batch.lengths)
    return torch.from_numpy(np.flatnonzero(place >= np.repeat(batch.skip, batch.lengths)))
