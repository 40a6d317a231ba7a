"""Runs T5 on a CPU through the compiled engine: the complete encoder in one call, on packed tokens, without torch."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from instructor_embedding.engine import native_library as native
from instructor_embedding.engine.native_encoder import LayerWeights, NativeEncoder, Parameters, Shape
from instructor_embedding.engine.native_library import Matrix
from instructor_embedding.model import mapped
from instructor_embedding.model.config import T5Config
from instructor_embedding.model.folder.arrays import BFLOAT16, Array, floats
from instructor_embedding.model.packed import Float32, Packed
from instructor_embedding.model.position import distance_bias
from instructor_embedding.model.projection import normalized, project
from instructor_embedding.model.weights import Weights

KIND = {"exact": native.FLOAT32, "fast": native.BFLOAT16, "int8": native.INT8}
_IDENTITY = "torch.nn.modules.linear.Identity"


class NativeBackend:
    """T5 with packed weights, compiled.

    Parameters
    ----------
    weights : Weights
        Matrices are copied into packed form; norms, embeddings and the position bias are used where they are.
    precision : str
        ``"exact"``: float32; ``"fast"``: bfloat16; ``"int8"``. `supports` tells what this CPU computes in.
    threads : int or callable, optional
        Threads of a run, or what returns their number. Default: `cores`.
    kernels : str, optional
        A name of `native_library.kernels`. Default: the fastest of this CPU.

    Raises
    ------
    CheckpointError
        A weight has a value that is infinite or not a number.
    InputError
        This CPU does not compute in that precision, or has no such kernels.
    """

    max_tokens: int | None = None
    thread_safe = True

    def __init__(
        self,
        weights: Weights,
        precision: str = "exact",
        threads: int | Callable[[], int] | None = None,
        kernels: str | None = None,
    ) -> None:
        self.dimension = weights.dimension
        self.precision = precision
        self._threads = threads if callable(threads) else (lambda: threads or cores())
        self._normalize = weights.normalize
        in_c = all(layer.bias is None and layer.activation == _IDENTITY for layer in weights.dense)
        self._dense = () if in_c else weights.dense
        head = [_stored(layer.weight, layer.scale, f"dense layer {n}") for n, layer in enumerate(weights.dense) if in_c]
        config, tensors = weights.config, weights.tensors
        layers = [_layer(weights, f"blocks.{index}.") for index in range(config.num_layers)]
        table = floats(tensors["relative_bias.weight"])
        self.encoder = NativeEncoder(
            _shape(config), layers, head, KIND[precision], lambda length: distance_bias(table, length, config), kernels
        )
        self._parameters = _parameters(weights)
        mapped.release(
            matrix.values.ctypes.data
            for layer in layers
            for matrix in (*layer.qkv, layer.o, *layer.up, layer.down)
            if matrix.values.base is not None
        )

    @property
    def kernels(self) -> str:
        """Name of the kernels that run."""
        return self.encoder.library.name

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension).

        Raises
        ------
        IndexError
            A token id is outside the table of embeddings.
        """
        vectors = project(self.encoder.run(batch, self._parameters, self._threads()), self._dense)
        return normalized(vectors) if self._normalize else vectors

    def close(self) -> None:
        """Free the packed weights and scratch memory; `run` fails afterwards."""
        del self.encoder


def cores() -> int:
    """Return how many CPUs this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def supports(config: T5Config, precision: str) -> bool:
    """Return whether the compiled engine is here and runs such an encoder in this precision on this CPU."""
    return config.d_kv % 2 == 0 and config.num_layers > 0 and native.supports(KIND[precision])


def _shape(config: T5Config) -> Shape:
    return Shape(
        config.d_model, config.num_heads, config.d_kv, config.d_ff, config.num_layers, config.activation, config.gated,
        config.layer_norm_epsilon,
    )  # fmt: skip


def _layer(weights: Weights, block: str) -> LayerWeights:
    up = ("wi_0", "wi_1") if weights.config.gated else ("wi",)
    return LayerWeights(
        [_matrix(weights, f"{block}attention.{name}.weight") for name in ("q", "k", "v")],
        _matrix(weights, f"{block}attention.o.weight"),
        [_matrix(weights, f"{block}feed_forward.{name}.weight") for name in up],
        _matrix(weights, f"{block}feed_forward.wo.weight"),
    )


def _parameters(weights: Weights) -> Parameters:
    tensors = weights.tensors
    blocks = range(weights.config.num_layers)
    table = _matrix(weights, "embedding.weight")
    if table.format == native.FLOAT16:
        table = table._replace(values=floats(table.values), format=native.FLOAT32)
    columns = tensors.get("embedding.weight_columns")
    return Parameters(
        [floats(tensors[f"blocks.{index}.attention_norm.weight"]) for index in blocks],
        [floats(tensors[f"blocks.{index}.feed_forward_norm.weight"]) for index in blocks],
        floats(tensors["final_norm.weight"]),
        table,
        None if columns is None else floats(columns),
    )


def _matrix(weights: Weights, name: str) -> Matrix:
    return _stored(weights.tensors[name], weights.tensors.get(f"{name}_scale"), name)


def _stored(values: Array, scale: Array | None, name: str) -> Matrix:
    if scale is not None:
        return Matrix(values, native.INT8 if values.dtype == np.int8 else native.INT4, scale, name)
    if values.dtype == BFLOAT16:
        return Matrix(values.view(np.uint16), native.BFLOAT16, None, name)
    if values.dtype == np.float16:
        return Matrix(values, native.FLOAT16, None, name)
    return Matrix(floats(values), native.FLOAT32, None, name)
