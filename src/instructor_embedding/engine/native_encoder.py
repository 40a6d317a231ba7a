"""The compiled encoder on numpy arrays: no torch. Backends and `Encoder` give it their weights.

Matmul weights are packed once; norms and embeddings are passed at each run, so a caller whose weights may change passes
their values of that moment.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from instructor_embedding.engine import native_library as native
from instructor_embedding.engine.native_library import Matrix
from instructor_embedding.errors import InputError
from instructor_embedding.model.packed import Float32, Packed

_SCRATCHES = 4  # that are kept between runs
_SCRATCH_BYTES = 64 << 20  # of all that are kept
_CACHED = 4096  # positions; the bias of longer texts is computed when they come


@dataclass(frozen=True)
class Shape:
    """Of a T5 encoder: sizes, activation and the epsilon of its norms."""

    width: int
    heads: int
    head: int
    inner: int
    layers: int
    activation: str
    gated: bool
    epsilon: float


class LayerWeights(NamedTuple):
    """Matrices (outputs, inputs) of one layer; `up` has the gates first where the layer is gated."""

    qkv: Sequence[Matrix]
    o: Matrix
    up: Sequence[Matrix]
    down: Matrix


class Parameters(NamedTuple):
    """What is read at each run.

    Parameters
    ----------
    attention_norms, feed_forward_norms : float32 arrays of shape (width,), one per layer
    final_norm : float32 of shape (width,)
    table : Matrix
        Embeddings, of any format but float16.
    columns : float32 of shape (2, width), optional
        Mean and standard deviation of each column, for embeddings in 8 or 4 bits.
    """

    attention_norms: Sequence[Float32]
    feed_forward_norms: Sequence[Float32]
    final_norm: Float32
    table: Matrix
    columns: Float32 | None = None


class NativeEncoder:
    """T5 and the dense layers after pooling, with packed weights; any number of threads may call `run`.

    Parameters
    ----------
    shape : Shape
    layers : LayerWeights, one per layer
    head : matrices (outputs, inputs)
        Dense layers after pooling, without bias or activation; they stay float32.
    kind : int
        What matmuls compute in: ``native_library.FLOAT32``, ``BFLOAT16`` or ``INT8``.
    bias_of : function of a length L
        Returns the bias of relative positions, float32 of shape (heads, 2 L - 1), by key less query position + L - 1.
    kernels : str, optional
        See `native_library.library`.

    Raises
    ------
    CheckpointError
        A weight has a value that is infinite or not a number, or a shape that does not fit the others.
    InputError
        This CPU does not compute in that kind.
    """

    def __init__(
        self,
        shape: Shape,
        layers: Sequence[LayerWeights],
        head: Sequence[Matrix],
        kind: int,
        bias_of: Callable[[int], Float32],
        kernels: str | None = None,
    ) -> None:
        library = native.library(kernels, kind)
        if library is None:
            raise InputError(f"kernels={kernels!r} do not compute in this kind here; known: {native.kernels()}")
        self.shape = shape
        self.library = library
        self.kind = kind
        self._bias_of = bias_of
        self._bias = np.empty((0, 0), np.float32)
        self._memory: list[Any] = []
        self._scratch = ScratchMemory()
        self._layers = (native.Layer * shape.layers)(*(self._layer(weights) for weights in layers))
        self._dense = (native.Weight * len(head))(*(self._pack(native.FLOAT32, [matrix]) for matrix in head))
        narrow = kind != native.FLOAT32 and "bfloat16" in library.kinds
        self._model = native.Model(
            kernels=library.number, kind=kind, attention=native.BFLOAT16 if narrow else native.FLOAT32,
            width=shape.width, heads=shape.heads, head=shape.head, inner=shape.inner, layers=shape.layers,
            activation=native.ACTIVATIONS.index(shape.activation), gated=shape.gated, dense=len(head),
            epsilon=shape.epsilon, head_weights=self._dense,
        )  # fmt: skip

    @property
    def dimension(self) -> int:
        """Elements of a vector."""
        return int(self._dense[-1].outputs) if len(self._dense) else self.shape.width

    def run(self, batch: Packed, parameters: Parameters, threads: int) -> Float32:
        """Return the pooled vectors after the dense layers, not normalized: float32 of shape (texts, dimension).

        Raises
        ------
        IndexError
            A token id is outside the table of embeddings.
        InputError
            The batch is not one: lengths, skipped tokens or ids do not fit each other.
        """
        table = parameters.table.checked()
        _check(batch, len(table.values))
        vectors = np.empty((len(batch), self.dimension), np.float32)
        if not len(batch):
            return vectors
        ids, where = np.unique(batch.ids, return_inverse=True)
        bias = self._bias_for(int(batch.lengths.max()))
        arrays = [np.ascontiguousarray(array, np.int32) for array in (ids, where.reshape(-1), batch.starts, batch.skip)]
        packed = native.Batch(
            *(array.ctypes.data for array in arrays), bias.ctypes.data, len(batch), len(ids), (bias.shape[1] + 1) // 2,
            vectors.ctypes.data,
        )  # fmt: skip
        model, alive = self._current(parameters, table)
        with self._scratch.of(self.library.forward_bytes(model, packed, threads)) as scratch:
            self.library.forward(model, packed, threads, scratch)
        del alive
        return vectors

    def _current(self, parameters: Parameters, table: Matrix) -> tuple[native.Model, list[Any]]:
        """Return a copy of the model with these parameters, and what keeps their memory alive."""
        model, layers = native.Model.from_buffer_copy(self._model), type(self._layers).from_buffer_copy(self._layers)
        alive: list[Any] = [layers, table]

        def pointer(array: Float32, size: int) -> int:
            contiguous = np.ascontiguousarray(array, np.float32)
            if contiguous.size != size:
                raise InputError(f"a parameter has {contiguous.size} values; {size} are needed")
            alive.append(contiguous)
            return contiguous.ctypes.data

        width = self.shape.width
        for layer, attention, feed_forward in zip(
            layers, parameters.attention_norms, parameters.feed_forward_norms, strict=True
        ):
            layer.attention_norm, layer.feed_forward_norm = pointer(attention, width), pointer(feed_forward, width)
        model.layer, model.final_norm = layers, pointer(parameters.final_norm, width)
        if table.inputs != width or table.format == native.FLOAT16:
            raise InputError(f"{table.name} is not a table of {width} columns in float32, bfloat16, int8 or int4")
        model.table_format, model.table = table.format, table.values.ctypes.data
        if table.scale is not None:
            columns = np.zeros(0, np.float32) if parameters.columns is None else parameters.columns
            model.table_scale, model.table_columns = table.scale.ctypes.data, pointer(columns, 2 * width)
        return model, alive

    def _layer(self, weights: LayerWeights) -> native.Layer:
        gated = self.shape.gated
        return native.Layer(
            None,
            None,
            self._pack(self.kind, weights.qkv),
            self._pack(self.kind, [weights.o]),
            self._pack(self.kind, weights.up, gated),
            self._pack(self.kind, [weights.down]),
        )

    def _pack(self, kind: int, matrices: Sequence[Matrix], gated: bool = False) -> native.Weight:
        packed = self.library.pack(kind, matrices, gated)
        self._memory.append(packed.memory)
        return packed.weight

    def _bias_for(self, length: int) -> Float32:
        """Return the bias for texts of at least `length` tokens."""
        bias = self._bias
        if 2 * length - 1 > bias.shape[1]:
            bias = np.ascontiguousarray(self._bias_of(length), np.float32)
            if bias.shape != (self.shape.heads, 2 * length - 1):
                raise InputError(f"the bias of {length} positions has shape {bias.shape}")
            if length <= _CACHED:
                self._bias = bias
        return bias


class ScratchMemory:
    """Scratch memory that is kept between runs: a few pieces, and a bounded number of bytes in all."""

    def __init__(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._free: list[npt.NDArray[np.uint8]] = []

    def of(self, size: int) -> _Borrowed:
        """Return a context manager that lends an array of at least `size` bytes."""
        if self._process != os.getpid():
            # a forked child: a thread that is not here may have held the lock, or have been changing the list
            self.__init__()  # type: ignore[misc]
        with self._lock:
            fits = [index for index, array in enumerate(self._free) if len(array) >= size]
            array = self._free.pop(min(fits, key=lambda index: len(self._free[index]))) if fits else None
        return _Borrowed(self, np.empty(size, np.uint8) if array is None else array)

    @property
    def kept(self) -> list[int]:
        """Bytes of each piece that waits for its next run."""
        return [len(array) for array in self._free]

    def give_back(self, array: npt.NDArray[np.uint8]) -> None:
        """Keep an array for the next run, the largest first, as far as the bounds allow."""
        with self._lock:
            self._free.append(array)
            self._free.sort(key=len, reverse=True)
            total = 0
            bounded: list[npt.NDArray[np.uint8]] = []
            for piece in self._free:
                if total + len(piece) <= _SCRATCH_BYTES and len(bounded) < _SCRATCHES:
                    bounded.append(piece)
                    total += len(piece)
            self._free = bounded

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return ScratchMemory, ()


@dataclass(frozen=True)
class _Borrowed:
    owner: ScratchMemory
    array: npt.NDArray[np.uint8]

    def __enter__(self) -> npt.NDArray[np.uint8]:
        return self.array

    def __exit__(self, *_: object) -> None:
        self.owner.give_back(self.array)


def _check(batch: Packed, rows: int) -> None:
    """Refuse what would make the compiled code read or write outside its memory."""
    ids, starts, skip = batch.ids, batch.starts, batch.skip
    if len(starts) != len(skip) + 1 or starts[0] != 0 or starts[-1] != len(ids):
        raise InputError(f"a batch of {len(skip)} texts and {len(ids)} tokens has starts {starts[:3]}...{starts[-1:]}")
    lengths = np.diff(starts)
    wrong = np.flatnonzero((lengths <= 0) | (skip < 0) | (skip >= lengths))
    if len(wrong):
        text = int(wrong[0])
        raise InputError(f"text {text} of the batch has {lengths[text]} tokens and skips {skip[text]} of them")
    if len(ids) and not 0 <= ids.min() <= ids.max() < rows:
        raise IndexError(f"token ids {ids.min()} to {ids.max()} are outside the table of {rows} embeddings")
