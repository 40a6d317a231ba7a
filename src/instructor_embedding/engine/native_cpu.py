"""Runs T5 on a CPU through the compiled part of the engine: the whole encoder in one call, on packed tokens.

The exact savings are those of `torch_cpu`: the first layer's attention input is computed once for each distinct token,
and behind the last attention only the tokens go on that the mean takes.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from instructor_embedding.engine import native_library as native
from instructor_embedding.engine.native_encoder import LayerWeights, NativeEncoder, Parameters, Shape
from instructor_embedding.engine.native_library import Matrix
from instructor_embedding.model import weights
from instructor_embedding.model.packed import Float32, Packed
from instructor_embedding.model.pooling import Head
from instructor_embedding.model.quantized import QuantizedEmbedding, QuantizedLinear, bits_of, weight_of
from instructor_embedding.model.t5 import Block, T5Encoder

_TILES = {native.BFLOAT16: "amx_bf16", native.INT8: "amx_int8"}  # matmuls that oneDNN has faster instructions for


class NativeCPU:
    """T5 with packed weights, compiled.

    Parameters
    ----------
    encoder, head
        Norms, embeddings and a head that is more than matmuls are read from them at each run; the matmuls' weights are
        copied here.
    dimension : int
        Of a vector.
    precision : str
        ``"exact"``: the dtype of the weights; ``"fast"``: bfloat16; ``"int8"``. `able` says whether it can be.
    kernels : str, optional
        A name of `native_library.kernels`. Default: the fastest of this CPU.
    """

    def __init__(
        self, encoder: T5Encoder, head: Head, dimension: int, precision: str = "exact", kernels: str | None = None
    ) -> None:
        self.encoder = encoder
        self.head = head
        self.dimension = dimension
        self.kind = _kind(encoder, precision)
        self._plain = plain_head(head)
        config = encoder.config
        shape = Shape(
            config.d_model, config.num_heads, config.d_kv, config.d_ff, config.num_layers, config.activation,
            config.gated, encoder.final_norm.eps,
        )  # fmt: skip
        with torch.inference_mode():
            layers = [_layer(cast(Block, block), f"layer {number}") for number, block in enumerate(encoder.blocks)]
            dense = [_matrix(layer, "a dense layer") for layer in self._plain]
            self.native = NativeEncoder(shape, layers, dense, self.kind, self._bias_of, kernels)
        packed = [tensor for block in encoder.blocks for tensor in (*block.parameters(), *block.buffers())]
        weights.release([*packed, *(layer.weight for layer in self._plain)])

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension).

        Raises
        ------
        IndexError
            A token id is outside the embeddings' table.
        """
        vectors = self.native.run(batch, self._parameters(), torch.get_num_threads())
        if not self._plain:
            with torch.inference_mode():
                projected: Float32 = self.head.project(torch.from_numpy(vectors)).numpy()
            return projected
        if self.head.normalize:
            vectors /= np.sqrt(np.einsum("nd,nd->n", vectors, vectors)).clip(1e-12)[:, None]
        return vectors

    def _bias_of(self, length: int) -> Float32:
        with torch.inference_mode():
            bias: Float32 = self.encoder.distance_bias(length).contiguous().numpy()
        return bias

    def _parameters(self) -> Parameters:
        """Return norms and embeddings as they are now."""
        blocks = [cast(Block, block) for block in self.encoder.blocks]
        table: Any = self.encoder.embedding
        columns = table.columns.float().numpy() if isinstance(table, QuantizedEmbedding) else None
        return Parameters(
            [_floats(block.attention_norm.weight) for block in blocks],
            [_floats(block.feed_forward_norm.weight) for block in blocks],
            _floats(self.encoder.final_norm.weight),
            _matrix(table, "the table of embeddings"),
            columns,
        )


def _floats(weight: Tensor) -> Float32:
    array: Float32 = weight.detach().float().numpy()
    return array


def _layer(block: Block, name: str) -> LayerWeights:
    attention, inner = block.attention, block.feed_forward
    up = [inner.wi_0, inner.wi_1] if inner.gated else [inner.wi]
    return LayerWeights(
        [_matrix(layer, f"{name}: a weight of q, k, v") for layer in (attention.q, attention.k, attention.v)],
        _matrix(attention.o, f"{name}: the weight of o"),
        [_matrix(layer, f"{name}: a weight of wi") for layer in up],
        _matrix(inner.wo, f"{name}: the weight of wo"),
    )


def _matrix(layer: Any, name: str) -> Matrix:
    """Return a layer's weight as it is stored, without a copy where numpy can share its memory."""
    if isinstance(layer, (QuantizedLinear, QuantizedEmbedding)):
        format = native.INT8 if bits_of(layer.codes) == 8 else native.INT4
        return Matrix(layer.codes.numpy(), format, layer.scale.numpy(), name)
    weight = weight_of(layer).detach()
    if weight.dtype == torch.bfloat16:
        return Matrix(weight.contiguous().view(torch.int16).numpy().view(np.uint16), native.BFLOAT16, None, name)
    if weight.dtype == torch.float16:
        return Matrix(weight.numpy(), native.FLOAT16, None, name)
    return Matrix(weight.float().numpy(), native.FLOAT32, None, name)


def able(encoder: T5Encoder, precision: str) -> bool:
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
    return plain and config.d_kv % 2 == 0 and config.num_layers > 0 and native.supports(kind)


def _kind(encoder: T5Encoder, precision: str) -> int:
    """Return what products are in."""
    if precision == "exact" and encoder.dtype == torch.bfloat16:
        return native.BFLOAT16
    return {"exact": native.FLOAT32, "fast": native.BFLOAT16, "int8": native.INT8}[precision]


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
