"""The backend of one model: chosen, made at first use, and made again when weights changed."""

from __future__ import annotations

import logging
import timeit
from typing import Any, cast

import torch
from torch import Tensor, nn

from instructor_embedding.engine import native_library
from instructor_embedding.engine.backend import Backend
from instructor_embedding.engine.backends import native, onednn
from instructor_embedding.engine.backends.eager import EagerBackend
from instructor_embedding.engine.backends.onnx import OnnxBackend
from instructor_embedding.engine.backends.openvino import OpenVINOBackend
from instructor_embedding.engine.torch_weights import array_of, weights_of
from instructor_embedding.errors import CheckpointError, InputError, MissingExtraError, choose
from instructor_embedding.graph import cache
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.folder.arrays import is_finite
from instructor_embedding.model.lowbit_layers import QuantizedLinear
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.t5 import Block, T5Encoder

BACKENDS = {  # name: precisions
    "torch": ("exact", "fast", "int8"),
    "openvino": ("exact", "fast"),
    "onnx": ("exact", "int8"),
}
PRECISIONS = ("exact", "fast", "int8")
_SAMPLE = 64  # elements of each weight that are compared
_TILES = {"fast": "amx_bf16", "int8": "amx_int8"}  # matmuls that oneDNN has faster instructions for


class Runtime:
    """The backend of one model; it is made at first use, again when weights changed, and never copied or pickled.

    Parameters
    ----------
    name : str
        One of ``BACKENDS``; with ``"auto"`` those that are installed run a small batch, and the fastest stays.
    precision : str, optional
        One of ``PRECISIONS``. Default: ``"int8"`` for a model whose weights are in 8 or 4 bits, where this machine and
        backend compute in it, else ``"exact"``.

    Raises
    ------
    InputError
        One of them is unknown, or this machine or backend cannot compute in that precision.
    """

    def __init__(self, name: str, precision: str | None = None) -> None:
        self.name = choose("backend", name, (*BACKENDS, "auto"))
        self.requested = precision if precision is None else choose("precision", precision, PRECISIONS)
        if name != "auto" and precision is not None and precision not in BACKENDS[name]:
            raise InputError(
                f"backend={name!r} does not compute with precision={precision!r}; it knows: {', '.join(BACKENDS[name])}"
            )
        _refuse_slow(name, precision)
        self._cached: tuple[Any, Tensor, Backend] | None = None

    def precision(self, embedder: Embedder) -> str:
        """Return the precision that this model computes in."""
        if self.requested is not None:
            return self.requested
        quantized = any(isinstance(layer, QuantizedLinear) for layer in embedder.encoder.modules())
        supported = self.name in ("torch", "auto") and int8_is_fast() and _packable(embedder.encoder)
        return "int8" if quantized and supported else "exact"

    def backend(self, embedder: Embedder) -> Backend:
        """Return what runs batches of this model, with its present weights.

        Raises
        ------
        InputError
            The precision needs a CPU and the model is elsewhere, or its layers were replaced; or it is on the device
            ``meta``, which holds no values.
        MissingExtraError
            The backend's library is not installed.
        """
        if embedder.encoder.device.type == "meta":
            raise InputError("the model is on the device 'meta', which holds no values; load it again, on another")
        if not _packable(embedder.encoder):
            if self.requested not in (None, "exact") or self.name not in ("torch", "auto"):
                raise InputError(
                    f"backend={self.name!r} with precision={self.requested or 'exact'!r} is for float32 and bfloat16 "
                    "models on a CPU; load this one with neither, and on other devices choose dtype='bfloat16'"
                )
            return EagerBackend(embedder)
        state, sample = _state(embedder)
        if self._cached is not None and self._cached[0] == state and torch.equal(self._cached[1], sample):
            return self._cached[2]
        self._cached = None  # free the old weights first
        if self.name == "auto":
            self.requested = self.precision(embedder)
            self.name = self._fastest(embedder)
        backend = self._make(self.name, embedder)
        self._cached = state, sample, backend
        return backend

    def refresh(self) -> None:
        """Free what was made; the next call makes it again from the weights of that time."""
        self._cached = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cached": None}

    def _make(self, name: str, embedder: Embedder) -> Backend:
        _refuse_not_finite(embedder)
        if name == "torch":
            precision = self.precision(embedder)
            backend = compiled(embedder, precision)
            if backend is not None:
                return backend
            if onednn.supports(embedder.encoder, precision):
                return onednn.OneDNNBackend(embedder, precision)
            return EagerBackend(embedder)
        library = OnnxBackend if name == "onnx" else OpenVINOBackend
        library.check()
        return library(cache.graph_of(embedder), embedder.dimension, self.requested or "exact")

    def _fastest(self, embedder: Embedder) -> str:
        """Run a batch on every backend that is installed and name the fastest, in the package's log too."""
        batch = Packed.of([[2 + (7 * position) % 20 for position in range(24)] for _ in range(32)], [8] * 32)
        times = {}
        for name in (name for name, precisions in BACKENDS.items() if (self.requested or "exact") in precisions):
            try:
                backend = self._make(name, embedder)
            except MissingExtraError:
                continue
            backend.run(batch)
            times[name] = min(timeit.repeat(lambda: backend.run(batch), number=1, repeat=3))  # noqa: B023 - run at once
        fastest = min(times, key=times.__getitem__)
        shown = ", ".join(f"{name} {seconds * 1000:.1f} ms" for name, seconds in times.items())
        logging.getLogger("instructor_embedding").info("backend='auto' takes %s: %s", fastest, shown)
        return fastest


def compiled(embedder: Embedder, precision: str) -> native.NativeBackend | None:
    """Return the compiled engine's backend, or None where it is not here, or torch's operators are faster."""
    if precision == "exact" and embedder.encoder.dtype == torch.bfloat16:
        precision = "fast"
    if torch.cpu.get_capabilities().get(_TILES.get(precision, "")):
        return None
    if not native.supports(embedder.encoder.config, precision):
        return None
    weights = weights_of(embedder)
    return None if weights is None else native.NativeBackend(weights, precision, torch.get_num_threads)


def _refuse_not_finite(embedder: Embedder) -> None:
    """Refuse weights of layers that are infinite or not a number, which a relu or the rounding to 8 bits would hide.

    Those of the table, the last norm and the head cannot hide: they reach every vector, which is checked.
    """
    for name, tensor in embedder.encoder.state_dict().items():
        hidden = name.startswith(("blocks.", "relative_bias."))
        if hidden and tensor.is_floating_point() and not is_finite(array_of(tensor)):
            raise CheckpointError(f"{name} has a value that is infinite or not a number; load the model again")


def int8_is_fast() -> bool:
    """Return whether this CPU computes in 8 bits, by the compiled engine or by oneDNN."""
    return native_library.supports(native_library.INT8) or bool(torch.cpu._is_vnni_supported())


def _refuse_slow(name: str, precision: str | None) -> None:
    """Refuse a precision that would be slower than the exact one here, or wrong."""
    if precision == "fast" and not onednn.bfloat16_is_native():
        raise InputError("precision='fast' needs a CPU that computes in bfloat16 (avx512_bf16 or amx)")
    if precision == "int8" and name == "onnx" and not torch.cpu._is_vnni_supported():
        # ONNX Runtime sums pairs of 8-bit terms in 16 bits there, which saturates: cosines of 0.92 were measured
        raise InputError(
            "backend='onnx' with precision='int8' needs a CPU with 8-bit dot products (avx512_vnni or amx); "
            "leave out backend= for the compiled engine, which computes int8 exactly on every CPU"
        )
    if precision == "int8" and name != "onnx" and not int8_is_fast():
        raise InputError(
            "precision='int8' needs a CPU with 8-bit dot products (avx512_vnni or amx) or the compiled engine"
        )


def _packable(encoder: T5Encoder) -> bool:
    """Return whether the CPU backends can pack this encoder: its device, dtype and layers are those they know."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    if len(encoder.blocks) != encoder.config.num_layers:
        return False
    if any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules()):
        return False  # a hook does more than the weights say
    kind = encoder.dtype
    for block in encoder.blocks:
        attention, inner = cast(Block, block).attention, cast(Block, block).feed_forward
        up = [inner.wi_0, inner.wi_1] if inner.gated else [inner.wi]
        for layer in (attention.q, attention.k, attention.v, attention.o, *up, inner.wo):
            if type(layer) not in (nn.Linear, QuantizedLinear):
                return False
            weight = layer.codes if isinstance(layer, QuantizedLinear) else layer.weight
            if not isinstance(weight, Tensor) or weight.layout != torch.strided:
                return False
            if weight.device.type != "cpu" or (weight.dtype != kind and type(layer) is nn.Linear):
                return False
    return kind in (torch.float32, torch.bfloat16)


def _state(embedder: Embedder) -> tuple[Any, Tensor]:
    """Return what tells weights from changed ones: shapes, addresses, versions and a sample of each tensor.

    torch counts writes through an operation in a tensor's version. Writes through ``.data``, numpy or another process
    are not counted; the sample sees those that reach an element of it, `Runtime.refresh` is for the others.
    """
    tensors = [*embedder.parameters(), *embedder.buffers()]
    state = tuple((tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors)
    with torch.inference_mode():
        flat = [tensor.reshape(-1)[:: max(1, tensor.numel() // _SAMPLE)] for tensor in tensors]
        return (state, embedder.head.normalize), torch.cat([sample.float() for sample in flat])
