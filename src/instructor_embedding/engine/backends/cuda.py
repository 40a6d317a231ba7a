"""Runs T5 on a GPU: packed tokens, stacked weights in bfloat16 or float32, few launches.

GEMMs run over tokens without padding; attention pads each text to the next of a few lengths, or does not pad at all
(flex attention). A batch's indices are one pinned copy to the card. Batches of few tokens are replayed as CUDA graphs,
since launches would take longer than the work. All of it also runs on CPU tensors, as its tests do; speed on a card
was not measured yet.

Letters of shapes: n texts, T tokens with those that fill up the bucket, D d_model, H heads, K d_kv, B texts of a group,
L their padded length.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from instructor_embedding.engine.plan import bucket, padded_length, plan
from instructor_embedding.errors import InputError, choose
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.lowbit_layers import QuantizedLinear, weight_of
from instructor_embedding.model.packed import Int32, Packed
from instructor_embedding.model.t5 import ACTIVATIONS, Block

ATTENTIONS = ("sdpa", "flex")
BATCH_SCALE = 16  # batch_size=32 is 16,384 tokens of a run, which are 32 texts of 512 tokens
_REPLAYED = 2048  # tokens of a batch that is replayed as a CUDA graph
_GRAPHS = 32  # that are kept; one for each shape of a batch
_POSITIONS = 512  # that the bias has from the start; it grows by factors of two

_LOG = logging.getLogger("instructor_embedding")


class _Layer(NamedTuple):
    """Weights of one layer; `up` has the gates first where the layer is gated."""

    attention_norm: Tensor
    qkv: Tensor
    o: Tensor
    feed_forward_norm: Tensor
    up: Tensor
    down: Tensor


class Shape(NamedTuple):
    """What a batch's kernels are launched for: `tokens` in its bucket, and (texts, padded length) of each group."""

    tokens: int
    groups: tuple[tuple[int, int], ...]


class CudaBackend:
    """Packed inference on one GPU.

    Use it for models in bfloat16 or float32 on a CUDA device; ``INSTRUCTOR`` chooses it there. Weights in 8 or 4 bits
    are dequantized once, to bfloat16. For several GPUs use ``Workers``.

    Parameters
    ----------
    embedder : Embedder
        On its device. Matrices are stacked in copies; embeddings, norms and the head are used where they are.
    attention : str
        ``"sdpa"``: texts padded to a few lengths, with the position bias as a mask in the dtype of the weights;
        ``"flex"``: packed, with the bias read in float32 inside the kernel.
    fused : bool, optional
        Compile norms and activations with ``torch.compile``. Default: on CUDA devices.

    Raises
    ------
    InputError
        The model is in float16, which T5 leaves in its feed-forward layers, or `attention` is unknown.
    """

    thread_safe = True  # a lock keeps runs apart: they share static buffers
    batch_scale = BATCH_SCALE

    def __init__(self, embedder: Embedder, attention: str = "sdpa", fused: bool | None = None) -> None:
        if embedder.encoder.dtype == torch.float16:
            raise InputError(
                "float16 is too narrow for T5: its feed-forward layers exceed 65,504; use dtype='bfloat16', which "
                "takes as much memory, or 'float32'"
            )
        self.attention = choose("attention", attention, ATTENTIONS)
        self.embedder = embedder
        self.dimension = embedder.dimension
        self.device = embedder.device
        quantized = any(isinstance(layer, QuantizedLinear) for layer in embedder.encoder.modules())
        self.dtype = torch.bfloat16 if quantized else embedder.encoder.dtype
        self.max_tokens: int | None = None  # set when memory ran out
        self._lock = threading.Lock()
        self._graphs: OrderedDict[Shape, _Replay] = OrderedDict()
        self._pool = torch.cuda.graph_pool_handle() if self.device.type == "cuda" else None
        self._bias = torch.empty(0)
        self._functions = functions(embedder, self.device.type == "cuda" if fused is None else fused)
        with torch.inference_mode():
            self.layers = [self._stacked(cast(Block, block)) for block in embedder.encoder.blocks]

    def run(self, batch: Packed) -> Tensor:
        """Return float32 of shape (n, dimension) on the model's device.

        Where memory runs out, the budget of later runs is halved, which is logged, and this batch is split.

        Raises
        ------
        InputError
            A single text does not fit into the device's memory.
        """
        try:
            with self._lock, torch.inference_mode():
                return self._vectors(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise InputError(
                    f"a text of {len(batch.ids)} tokens does not fit into the memory of {self.device}; set "
                    "max_seq_length, or load the model with dtype='bfloat16'"
                ) from None
        return self._in_halves(batch)

    def close(self) -> None:
        """Free the stacked weights and the graphs; `run` fails afterwards."""
        self._graphs.clear()
        del self.layers

    def _in_halves(self, batch: Packed) -> Tensor:
        """Run a batch that did not fit, under half its tokens; outside the handler, which keeps tensors alive."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.max_tokens = max(1, len(batch.ids) // 2)
        _LOG.warning("%s: out of memory; runs have at most %d tokens from now on", self.device, self.max_tokens)
        vectors = torch.empty(len(batch), self.dimension, device=self.device)
        for order in plan(batch.lengths, self.max_tokens):
            rows = self.run(batch.take(order))
            vectors[torch.from_numpy(order).to(self.device)] = rows
        return vectors

    def _vectors(self, batch: Packed) -> Tensor:
        replayed = len(batch.ids) <= _REPLAYED and self.attention == "sdpa"
        shape, indices = replayed_indices(batch) if replayed else packed_indices(batch)
        bias = self._bias_of(max(length for _, length in shape.groups))
        if not replayed or shape.tokens > _REPLAYED:
            return self._forward(on_device(indices, self.device), shape, bias)[: len(batch)]
        graph = self._graphs.pop(shape, None) or _Replay(self.device, len(indices), self._pool)
        self._graphs[shape] = graph  # the most recently used is last
        if len(self._graphs) > _GRAPHS:
            self._graphs.popitem(last=False)
        return graph.run(indices, lambda buffer: self._forward(buffer, shape, bias))[: len(batch)]

    def _forward(self, buffer: Tensor, shape: Shape, bias: Tensor) -> Tensor:
        """Return vectors from the indices of a batch, in static shapes and without a synchronization."""
        indices = _Indices.of(buffer, shape)
        attend = self._attention(indices, shape, bias)
        added, active, epsilon = self._functions.added, self._functions.active, self._functions.epsilon
        hidden = self.embedder.encoder.embedding(indices.ids).float()
        hidden, x = added(hidden, None, self.layers[0].attention_norm, epsilon, self.dtype)
        final = self.embedder.encoder.final_norm.weight
        following = [*(layer.attention_norm for layer in self.layers[1:]), final]
        for number, (layer, norm) in enumerate(zip(self.layers, following, strict=True), 1):
            mixed = F.linear(attend(F.linear(x, layer.qkv)), layer.o)
            hidden, x = added(hidden, mixed, layer.feed_forward_norm, epsilon, self.dtype)
            inner = F.linear(active(F.linear(x, layer.up)), layer.down)
            dtype = torch.float32 if number == len(self.layers) else self.dtype
            hidden, x = added(hidden, inner, norm, epsilon, dtype)
        return self.embedder.head.project(pooled(x, indices))

    def _attention(self, indices: _Indices, shape: Shape, bias: Tensor) -> Callable[[Tensor], Tensor]:
        heads = bias.shape[0]
        if self.attention == "flex":
            mask = flex_mask(indices, shape.tokens)
            return lambda qkv: flex(qkv, heads, bias, mask)
        masks = [
            padded_mask(bias.to(self.dtype), lengths, length)
            for lengths, (_, length) in zip(indices.lengths, shape.groups, strict=True)
        ]
        return lambda qkv: sdpa(qkv, heads, indices, shape, masks)

    def _stacked(self, block: Block) -> _Layer:
        attention, inner = block.attention, block.feed_forward
        up = [inner.wi_0, inner.wi_1] if inner.gated else [inner.wi]

        def stacked(layers: Sequence[Any]) -> Tensor:
            return torch.cat([weight_of(layer).detach().to(self.dtype) for layer in layers])

        return _Layer(
            block.attention_norm.weight, stacked([attention.q, attention.k, attention.v]), stacked([attention.o]),
            block.feed_forward_norm.weight, stacked(up), stacked([inner.wo]),
        )  # fmt: skip

    def _bias_of(self, length: int) -> Tensor:
        """Return the bias by distance, float32 of shape (H, 2 L - 1), of at least `length` positions."""
        if 2 * length - 1 > self._bias.shape[-1]:
            self._graphs.clear()  # they read the old one
            positions = max(_POSITIONS, 1 << (length - 1).bit_length())
            self._bias = self.embedder.encoder.distance_bias(positions).contiguous()
        return self._bias


class _Indices(NamedTuple):
    """Views of a batch's one buffer of int32; group by group: rows of each padded text, and its lengths."""

    ids: Tensor  # (T,)
    back: Tensor  # (T,) of each token, its row among the padded tokens of all groups
    text: Tensor  # (T,) of each token, its text; those that fill up the bucket have a text of their own
    rows: list[Tensor]  # (B, L) each
    lengths: list[Tensor]  # (B,)
    skip: list[Tensor]  # (B,)
    order: Tensor  # (n,) where each text's vector is among those of the groups

    @classmethod
    def of(cls, buffer: Tensor, shape: Shape) -> _Indices:
        texts, padded = [count for count, _ in shape.groups], [count * length for count, length in shape.groups]
        sizes = [shape.tokens] * 3 + padded + texts + texts + [sum(texts)]
        ids, back, text, *views, order = buffer.split(sizes)
        count = len(texts)
        rows = [view.view(group) for view, group in zip(views, shape.groups, strict=False)]
        return cls(ids, back, text, rows, views[count : 2 * count], views[2 * count :], order)


def packed_indices(batch: Packed) -> tuple[Shape, Int32]:
    """Return the shape of a packed batch and its buffer of indices, the layout of which is that of `_Indices`."""
    padded = np.array([padded_length(length) for length in batch.lengths.tolist()], np.int32)
    groups = [(length, np.flatnonzero(padded == length)) for length in np.unique(padded).tolist()]
    return _indices(batch, [(length, texts, len(texts)) for length, texts in groups], bucket(len(batch.ids)))


def replayed_indices(batch: Packed) -> tuple[Shape, Int32]:
    """Return the same for a small batch as one group, so that few shapes exist; texts that fill it up have one token.

    The tokens of both kinds of padding are computed, and no text attends to them.
    """
    length = padded_length(int(batch.lengths.max(initial=1)))
    count = 1 << (len(batch) - 1).bit_length() if len(batch) else 1
    if count * length > _REPLAYED:
        return packed_indices(batch)
    return _indices(batch, [(length, np.arange(len(batch)), count)], count * length)


def _indices(batch: Packed, groups: list[tuple[int, Any, int]], tokens: int) -> tuple[Shape, Int32]:
    """Return the buffer for groups of (padded length, texts of the batch, texts of the group)."""
    real, starts, lengths = len(batch.ids), batch.starts, batch.lengths
    ids, back, text = (np.zeros(tokens, np.int32) for _ in range(3))
    ids[:real], text[:real], text[real:] = batch.ids, np.repeat(np.arange(len(batch)), lengths), len(batch)
    rows: list[Int32] = []
    group_lengths: list[Int32] = []
    group_skip: list[Int32] = []
    first = vector = 0
    order = np.zeros(sum(count for _, _, count in groups), np.int32)
    for length, texts, count in groups:
        position = np.arange(length, dtype=np.int32)
        inside = position < lengths[texts][:, None]
        padded = np.zeros((count, length), np.int32)
        padded[: len(texts)] = np.where(inside, starts[:-1][texts][:, None] + position, 0)
        back[padded[: len(texts)][inside]] = first + np.flatnonzero(inside)
        sizes, skip = np.ones(count, np.int32), np.zeros(count, np.int32)
        sizes[: len(texts)], skip[: len(texts)] = lengths[texts], batch.skip[texts]
        for collected, array in ((rows, padded.ravel()), (group_lengths, sizes), (group_skip, skip)):
            collected.append(array)
        order[texts] = vector + np.arange(len(texts))
        first, vector = first + count * length, vector + count
    shape = Shape(tokens, tuple((count, length) for length, _, count in groups))
    return shape, np.concatenate([ids, back, text, *rows, *group_lengths, *group_skip, order])


def on_device(indices: Int32, device: torch.device) -> Tensor:
    """Copy indices to the device: from pinned memory, so that nothing waits for it."""
    tensor = torch.from_numpy(indices)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class _Replay:
    """One shape of a batch: a static buffer of indices and, on a GPU, the graph of all launches that follow from it.

    Graphs of one backend share a pool of memory: they never run at the same time, and results are copied out at once.
    """

    def __init__(self, device: torch.device, size: int, pool: Any) -> None:
        self._pool = pool
        self._buffer = torch.zeros(size, dtype=torch.int32, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._vectors = torch.empty(0)

    def run(self, indices: Int32, forward: Callable[[Tensor], Tensor]) -> Tensor:
        """Return a copy of the vectors of `forward`, which is captured at the second run; the first one warms up."""
        first = len(self._vectors) == 0
        self._buffer.copy_(on_device(indices, self._buffer.device), non_blocking=True)
        if self._graph is None:
            if not first and self._buffer.device.type == "cuda":
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, self._pool, capture_error_mode="thread_local"):
                    self._vectors = forward(self._buffer)
                self._graph = graph
                graph.replay()
            else:
                self._vectors = forward(self._buffer)
        else:
            self._graph.replay()
        return self._vectors.clone()


class _Functions(NamedTuple):
    added: Callable[..., tuple[Tensor, Tensor]]
    active: Callable[[Tensor], Tensor]
    epsilon: float


def functions(embedder: Embedder, fused: bool) -> _Functions:
    """Return the element-wise functions of a model, compiled where `fused`: once for all counts of tokens."""
    config = embedder.encoder.config
    activate = ACTIVATIONS[config.activation]

    def active(up: Tensor) -> Tensor:
        if not config.gated:
            return activate(up)
        gates, values = up.chunk(2, 1)
        return activate(gates) * values

    def added(
        hidden: Tensor, delta: Tensor | None, weight: Tensor, epsilon: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Add `delta` to the residual stream, which stays float32, and return it with its norm."""
        hidden = hidden if delta is None else hidden + delta
        scale = torch.rsqrt(hidden.square().mean(-1, keepdim=True) + epsilon)
        return hidden, (hidden * scale * weight).to(dtype)

    if fused:
        active, added = torch.compile(active, dynamic=True), torch.compile(added, dynamic=True)
    return _Functions(added, active, config.layer_norm_epsilon)


def padded_mask(bias: Tensor, lengths: Tensor, length: int) -> Tensor:
    """Return what is added to the scores of a group, (B, H, L, L): the bias, and minus infinity after each text."""
    center = bias.shape[1] // 2
    position = torch.arange(length, device=bias.device)
    square = bias[:, position[None, :] - position[:, None] + center]
    return square.masked_fill((position >= lengths[:, None])[:, None, None, :], -torch.inf)


def sdpa(qkv: Tensor, heads: int, indices: _Indices, shape: Shape, masks: list[Tensor]) -> Tensor:
    """Attend within each text of `qkv` (T, 3 H K), group by group; returns (T, H K)."""
    mixed = []
    for rows, (count, length), mask in zip(indices.rows, shape.groups, masks, strict=True):
        query, key, value = qkv[rows].view(count, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        states = F.scaled_dot_product_attention(query, key, value, mask, scale=1.0)
        mixed.append(states.transpose(1, 2).reshape(count * length, -1))
    return torch.cat(mixed)[indices.back]


def flex_mask(indices: _Indices, tokens: int) -> Any:
    """Return the blocks of (query, key) that are of one text."""
    from torch.nn.attention.flex_attention import create_block_mask  # here: it imports torch's compiler

    text = indices.text
    # compiled, it does not materialize the square of all tokens
    create = _compiled(create_block_mask) if text.is_cuda else create_block_mask
    return create(lambda batch, head, query, key: text[query] == text[key], None, None, tokens, tokens, text.device)


def flex(qkv: Tensor, heads: int, bias: Tensor, mask: Any) -> Tensor:
    """Attend within each text of `qkv` (T, 3 H K), packed, with the bias of each distance read inside the kernel."""
    from torch.nn.attention.flex_attention import flex_attention

    center = bias.shape[1] // 2

    def biased(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + bias[head, (key - query + center).clamp(0, bias.shape[1] - 1)]

    query, key, value = qkv.view(1, len(qkv), 3, heads, -1).permute(2, 0, 3, 1, 4)
    attend = _compiled(flex_attention) if qkv.is_cuda else flex_attention
    states = cast(Tensor, attend(query, key, value, score_mod=biased, block_mask=mask, scale=1.0))
    return states[0].transpose(0, 1).reshape(len(qkv), -1)


@functools.cache
def _compiled(function: Any) -> Any:
    """Return a compiled function, one for all counts of tokens; flex attention is slow and large without."""
    return torch.compile(function, dynamic=True)


def pooled(states: Tensor, indices: _Indices) -> Tensor:
    """Return the mean of each text's tokens without its instruction, float32 of shape (n, D), in the batch's order.

    By a matmul with weights per group: the same sum in every run, which atomic additions would not give.
    """
    means = []
    for rows, lengths, skip in zip(indices.rows, indices.lengths, indices.skip, strict=True):
        position = torch.arange(rows.shape[1], device=rows.device)
        inside = (position >= skip[:, None]) & (position < lengths[:, None])
        weights = inside.float() / (lengths - skip)[:, None]
        means.append(torch.bmm(weights[:, None, :], states[rows]).squeeze(1))
    return torch.cat(means)[indices.order]
