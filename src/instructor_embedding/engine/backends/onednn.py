"""Runs T5 on a CPU with torch's oneDNN operators, on packed tokens, with prepacked weights.

Three things make it fast besides prepacking: no padding anywhere; the first layer's attention input is computed once
per distinct token; and after the last attention layer, only the tokens that are pooled are computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from instructor_embedding.engine.backends.attention import attend, runs_of
from instructor_embedding.engine.backends.kernels import FloatKernel, Int8Kernel, Kernel, Value
from instructor_embedding.engine.forked import use_own_threads
from instructor_embedding.model import mapped
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.packed import Float32, Packed
from instructor_embedding.model.t5 import Block, RMSNorm, T5Encoder

_CACHED = 1024  # positions; the bias of longer texts is computed for each run
_FEWEST = 8  # rows of a matmul; other counts are multiples of it


class _Layer(NamedTuple):
    block: Block
    qkv: Any
    o: Any
    up: list[Any]
    down: Any


class OneDNNBackend:
    """T5 with prepacked weights.

    Parameters
    ----------
    embedder : Embedder
        Norms, embeddings and the head are read from it at each run; the matrices are copied here.
    precision : str
        ``"exact"``: the dtype of the weights; ``"fast"``: bfloat16; ``"int8"``.
    """

    max_tokens: int | None = None
    thread_safe = True

    def __init__(self, embedder: Embedder, precision: str = "exact") -> None:
        self.encoder = encoder = embedder.encoder
        self.head = embedder.head
        self.dimension = embedder.dimension
        self.kernel: Kernel
        if precision == "int8":
            self.kernel = Int8Kernel(torch.bfloat16 if bfloat16_is_native() else torch.float32)
        else:
            dtype = encoder.dtype if precision == "exact" else torch.bfloat16
            self.kernel = FloatKernel(dtype)
        use_own_threads()
        with torch.inference_mode():
            self.layers = [self._pack(cast(Block, block)) for block in encoder.blocks]
        mapped.release(
            tensor.data_ptr() for block in encoder.blocks for tensor in (*block.parameters(), *block.buffers())
        )
        self._bias = torch.empty(1, 0, 0, 0, device="cpu")

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension)."""
        use_own_threads()
        with torch.inference_mode():
            states = self._states(batch)[: int(batch.lengths.sum() - batch.skip.sum())]
            lengths = torch.from_numpy((batch.lengths - batch.skip).astype(np.int64))
            means = torch.segment_reduce(states, "mean", lengths=lengths, axis=0, unsafe=True)
            vectors: Float32 = self.head.project(means).numpy()
        return vectors

    def _pack(self, block: Block) -> _Layer:
        attention, inner, pack = block.attention, block.feed_forward, self.kernel.pack
        qkv = pack([attention.q, attention.k, attention.v])
        up = [pack([layer]) for layer in ([inner.wi_0, inner.wi_1] if inner.gated else [inner.wi])]
        return _Layer(block, qkv, pack([attention.o]), up, pack([inner.wo]))

    def close(self) -> None:
        """Free the packed weights."""
        self.layers = []

    def _states(self, batch: Packed) -> Tensor:
        """Return the normed states, float32, of the tokens that are pooled, and filler rows after them."""
        ids, inverse = torch.unique(torch.from_numpy(batch.ids), return_inverse=True)
        inverse = _filled(inverse, 16)
        first = self.encoder.embedding(_filled(ids, 8)).float()
        hidden = first[inverse]
        runs = runs_of(batch, self._bias_of(int(batch.lengths.max())))
        pooled = _filled(_pooled(batch), 8)
        for index, layer in enumerate(self.layers):
            qkv = self._attention_input(first, layer)[inverse] if index == 0 else self._attention_input(hidden, layer)
            mixed = attend(qkv, runs)
            if index == len(self.layers) - 1:
                hidden, mixed = hidden[pooled], mixed[pooled]
            _add(hidden, self.kernel.multiply(self.kernel.rows(mixed), layer.o))
            _add(hidden, self._feed_forward(hidden, layer))
        states, scale = _norm(hidden, self.encoder.final_norm)
        return states.mul_(cast(Tensor, scale))

    def _attention_input(self, hidden: Tensor, layer: _Layer) -> Tensor:
        """Return query, key and value side by side: (T, 3 H K)."""
        rows = self.kernel.rows(*_norm(hidden, layer.block.attention_norm))
        qkv, scale = self.kernel.multiply(rows, layer.qkv, dtype=self.kernel.attention)
        return qkv if scale is None else qkv.mul_(scale.to(qkv.dtype))

    def _feed_forward(self, hidden: Tensor, layer: _Layer) -> Value:
        inner = layer.block.feed_forward
        rows = self.kernel.rows(*_norm(hidden, layer.block.feed_forward_norm))
        hidden, scale = self.kernel.multiply(rows, layer.up[0], inner.activation)
        if inner.gated:
            if scale is not None:
                hidden.mul_(scale)
            values, scale = self.kernel.multiply(rows, layer.up[1])
            hidden.mul_(values)
        positive = inner.activation == "relu" and not inner.gated
        return self.kernel.multiply(self.kernel.rows(hidden, scale, positive), layer.down)

    def _bias_of(self, length: int) -> Tensor:
        """Return the bias of relative positions, (1, H, L, L) or larger."""
        if length > self._bias.shape[-1]:
            bias = self.encoder.position_bias(length)
            if length > _CACHED:
                return bias
            self._bias = bias
        return self._bias


def bfloat16_is_native() -> bool:
    """Return whether this CPU has instructions for bfloat16."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def supports(encoder: T5Encoder, precision: str) -> bool:
    """Return whether oneDNN computes with this encoder's weights in this precision on this CPU."""
    if precision == "int8":
        return bool(torch.cpu._is_vnni_supported())
    bfloat16 = precision == "fast" or encoder.dtype == torch.bfloat16
    return not bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _norm(hidden: Tensor, norm: RMSNorm) -> Value:
    """Return the normed float32 `hidden`; its norm is left in the scale."""
    size = torch.linalg.vector_norm(hidden, dim=1, keepdim=True)
    return hidden * norm.weight, size.square_().mul_(1 / hidden.shape[1]).add_(norm.eps).rsqrt_()


def _add(hidden: Tensor, value: Value) -> None:
    rows, scale = value
    if scale is None:
        hidden.add_(rows)
    else:
        hidden.addcmul_(rows, scale)


def _filled(rows: Tensor, fraction: int) -> Tensor:
    """Append copies of the first row index until the count is round; by one in `fraction` at most.

    oneDNN makes and keeps a kernel of half a megabyte for each count of rows: few counts save memory and time.
    """
    count = len(rows)
    step = max(_FEWEST, (1 << count.bit_length()) // 2 // fraction)
    return torch.cat([rows, rows[:1].expand(-count % step)])


def _pooled(batch: Packed) -> Tensor:
    """Return the indices of the tokens that are pooled."""
    position = np.arange(len(batch.ids)) - np.repeat(batch.starts[:-1], batch.lengths)
    return torch.from_numpy(np.flatnonzero(position >= np.repeat(batch.skip, batch.lengths)))
