"""Runs T5 on a CPU through the compiled part of the engine: the whole encoder in one call, on packed tokens.

The exact savings are those of `torch_cpu`: the first layer's attention input is computed once for each distinct token,
and behind the last attention only the tokens go on that the mean takes.
"""

from __future__ import annotations

import ctypes
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instructor_embedding.engine import native_library as native
from instructor_embedding.model import mapped
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.lowbit_layers import QuantizedEmbedding, bits_of, int8_of, weight_of
from instructor_embedding.model.packed import Float32, Packed
from instructor_embedding.model.pooling import Head
from instructor_embedding.model.t5 import Block, T5Encoder

_KEPT = 64 << 20  # bytes of scratch memory that are kept between runs
_CACHED = 4096  # positions; the bias of longer texts is computed when they come
_GATED = 16  # gates beside as many values
_TILES = {native.BFLOAT16: "amx_bf16", native.INT8: "amx_int8"}  # products that oneDNN has faster instructions for


class NativeBackend:
    """T5 with packed weights, compiled.

    Parameters
    ----------
    embedder : Embedder
    precision : str
        ``"exact"``: the dtype of the weights; ``"fast"``: bfloat16; ``"int8"``. `able` says whether it can be.
    """

    max_tokens: int | None = None
    thread_safe = True

    def __init__(self, embedder: Embedder, precision: str = "exact") -> None:
        self.encoder = encoder = embedder.encoder
        self.head = head = embedder.head
        self.dimension = embedder.dimension
        self.kind = kind = _kind(encoder, precision)
        self._library = cast(ctypes.CDLL, native.library())
        self._held: list[Any] = []
        self._scratch: list[Tensor] = []  # lists change in one step, so threads may share them
        self._bias = torch.empty(0, 0)
        config = encoder.config
        self._model = native.Model(
            kind=kind,
            attention=native.BFLOAT16 if kind != native.FLOAT32 and native.able(native.BFLOAT16) else native.FLOAT32,
            width=config.d_model,
            heads=config.num_heads,
            head=config.d_kv,
            inner=config.d_ff,
            layers=config.num_layers,
            activation=native.ACTIVATIONS.index(config.activation),
            gated=config.gated,
            epsilon=encoder.final_norm.eps,
        )
        with torch.inference_mode():
            self._layers = (native.Layer * config.num_layers)(*(self._layer(cast(Block, b)) for b in encoder.blocks))
            plain = plain_head(head)
            self._dense = (native.Weight * len(plain))(*(self._pack(native.FLOAT32, [layer]) for layer in plain))
        packed = [tensor for block in encoder.blocks for tensor in (*block.parameters(), *block.buffers())]
        mapped.release([*packed, *(layer.weight for layer in plain)])
        self._model.layer, self._model.head_weights, self._model.dense = self._layers, self._dense, len(plain)

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension).

        Raises
        ------
        IndexError
            A token id is outside the embeddings' table.
        """
        ids, where = np.unique(batch.ids, return_inverse=True)
        rows = self._table_rows()
        if len(ids) and not 0 <= ids[0] <= ids[-1] < rows:
            raise IndexError(f"token ids {ids[0]} to {ids[-1]} are outside the table of {rows} embeddings")
        model, held = self._current()
        bias = self._bias_of(int(batch.lengths.max()))
        vectors = np.empty((len(batch), self._dense[-1].outputs if self._dense else model.width), np.float32)
        arrays = [np.ascontiguousarray(part, np.int32) for part in (ids, where, batch.starts, batch.skip)]
        given = native.Batch(
            *(array.ctypes.data for array in arrays), bias.data_ptr(), len(batch), len(ids), (bias.shape[1] + 1) // 2,
            vectors.ctypes.data,
        )  # fmt: skip
        threads = torch.get_num_threads()
        scratch = self._room(self._library.forward_bytes(model, given, threads))
        self._library.forward(model, given, threads, scratch.data_ptr())
        if scratch.numel() <= _KEPT:
            self._scratch.append(scratch)
        del held
        return self._finished(vectors)

    def close(self) -> None:
        """Free the packed weights and scratch memory."""
        self._held.clear()
        self._scratch.clear()

    def _finished(self, vectors: Float32) -> Float32:
        if not self._dense:
            with torch.inference_mode():
                found: Float32 = self.head.project(torch.from_numpy(vectors)).numpy()
            return found
        if self.head.normalize:
            vectors /= np.sqrt(np.einsum("nd,nd->n", vectors, vectors)).clip(1e-12)[:, None]
        return vectors

    def _room(self, size: int) -> Tensor:
        """Return scratch memory, of an earlier run if it is large enough."""
        while self._scratch:
            try:
                found = self._scratch.pop()
            except IndexError:  # another thread was faster
                break
            if found.numel() >= size:
                return found
        return torch.empty(size, dtype=torch.uint8)

    def _bias_of(self, length: int) -> Tensor:
        """Return the bias of relative positions: float32 of shape (H, 2 L - 1) for L of at least `length`."""
        bias = self._bias
        if 2 * length - 1 > bias.shape[1]:
            with torch.inference_mode():
                bias = self.encoder.distance_bias(length).contiguous()
            if length <= _CACHED:
                self._bias = bias
        return bias

    def _table_rows(self) -> int:
        table: Any = self.encoder.embedding
        rows: int = len(table.codes if isinstance(table, QuantizedEmbedding) else table.weight)
        return rows

    def _current(self) -> tuple[native.Model, list[Any]]:
        """Return a copy of the model with norms and embeddings as they are now, and what holds their memory."""
        held: list[Any] = []
        model, layers = native.Model.from_buffer_copy(self._model), type(self._layers).from_buffer_copy(self._layers)
        model.layer = layers

        def pointer(weight: Tensor) -> int:
            plain = weight.detach().float().contiguous()
            held.append(plain)
            return plain.data_ptr()

        for layer, block in zip(layers, self.encoder.blocks, strict=True):
            layer.attention_norm = pointer(cast(Block, block).attention_norm.weight)
            layer.feed_forward_norm = pointer(cast(Block, block).feed_forward_norm.weight)
        model.final_norm = pointer(self.encoder.final_norm.weight)
        table: Any = self.encoder.embedding
        if isinstance(table, QuantizedEmbedding):
            model.table_kind = native.INT8 if bits_of(table.codes) == 8 else native.INT4
            parts = [table.codes.contiguous(), table.scale.contiguous(), table.columns.float().contiguous()]
            model.table, model.table_scale, model.table_columns = (part.data_ptr() for part in parts)
        else:
            parts = [table.weight.detach().contiguous()]
            model.table_kind = native.BFLOAT16 if table.weight.dtype == torch.bfloat16 else native.FLOAT32
            model.table = parts[0].data_ptr()
        return model, [*held, *parts, layers]

    def _layer(self, block: Block) -> native.Layer:
        attention, inner = block.attention, block.feed_forward
        up = [inner.wi_0, inner.wi_1] if inner.gated else [inner.wi]
        layer = native.Layer(
            None,
            None,
            self._pack(self.kind, [attention.q, attention.k, attention.v]),
            self._pack(self.kind, [attention.o]),
            self._pack(self.kind, up, gated=inner.gated),
            self._pack(self.kind, [inner.wo]),
        )
        return layer

    def _pack(self, kind: int, layers: list[Any], gated: bool = False) -> native.Weight:
        """Lay out the weights (out, in) of linear layers, one above the other or, gated, 16 rows of each in turn."""
        join = _in_turn if gated else torch.cat
        if kind == native.INT8:
            codes, scale = (join(each) for each in zip(*map(int8_of, layers), strict=True))
        else:
            dtype = torch.bfloat16 if kind == native.BFLOAT16 else torch.float32
            codes = join([weight_of(layer).detach().to(dtype) for layer in layers])
        outputs, inputs = codes.shape
        padded = -(-outputs // native.COLUMNS) * native.COLUMNS
        panels = torch.empty(self._library.panel_bytes(kind, outputs, inputs), dtype=torch.uint8)
        shift = torch.zeros(padded if kind == native.INT8 else 0, dtype=torch.int32)
        codes = codes.contiguous()
        self._library.panel_pack(kind, codes.data_ptr(), outputs, inputs, panels.data_ptr(), shift.data_ptr())
        weight = native.Weight(panels.data_ptr(), None, None, inputs, outputs)
        self._held.append(panels)
        if kind == native.INT8:
            scale = F.pad(scale, (0, padded - outputs))
            self._held += [scale, shift]
            weight.scale, weight.shift = scale.data_ptr(), shift.data_ptr()
        return weight


def supports(encoder: T5Encoder, precision: str) -> bool:
    """Say whether the compiled part is here and runs this encoder on this CPU, as fast as torch would."""
    kind = _kind(encoder, precision)
    if torch.cpu.get_capabilities().get(_TILES.get(kind, "")):
        return False
    table: Any = encoder.embedding
    known = isinstance(table, QuantizedEmbedding) or (
        type(table) is nn.Embedding and table.weight.dtype in (torch.float32, torch.bfloat16)
    )
    plain = known and not table._forward_hooks and not table._forward_pre_hooks
    config = encoder.config
    return plain and config.d_kv % 2 == 0 and config.num_layers > 0 and native.able(kind)


def _kind(encoder: T5Encoder, precision: str) -> int:
    """Return what products are in."""
    if precision == "exact" and encoder.dtype == torch.bfloat16:
        return native.BFLOAT16
    return {"exact": native.FLOAT32, "fast": native.BFLOAT16, "int8": native.INT8}[precision]


def _in_turn(parts: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Join rows of several tensors, 16 of each in turn, filled up with zeros."""
    count = parts[0].shape[0]
    filled = [torch.cat([part, part.new_zeros(-count % _GATED, *part.shape[1:])]) for part in parts]
    return torch.stack([part.unflatten(0, (-1, _GATED)) for part in filled], 1).flatten(0, 2)


def plain_head(head: Head) -> list[nn.Linear]:
    """Return the head's layers where they are nothing but float32 products, else none."""
    layers: list[nn.Linear] = []
    for dense in head.dense_layers():
        layer = dense.linear
        if type(layer) is not nn.Linear or layer.bias is not None or not isinstance(dense.activation, nn.Identity):
            return []
        if layer.weight.dtype != torch.float32 or layer._forward_hooks or layer._forward_pre_hooks:
            return []
        layers.append(layer)
    return layers
