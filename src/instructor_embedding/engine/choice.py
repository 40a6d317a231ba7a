"""Which backend a model runs on, and when it has to be made again."""

from __future__ import annotations

import logging
import timeit
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from instructor_embedding.engine import exported
from instructor_embedding.engine.backend import Backend
from instructor_embedding.engine.native_cpu import NativeCPU, able, plain_head
from instructor_embedding.engine.torch_backend import TorchBackend
from instructor_embedding.engine.torch_cpu import TorchCPU, bfloat16_is_native
from instructor_embedding.errors import InputError, MissingExtraError, nearest
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.pooling import Head
from instructor_embedding.model.quantized import QuantizedLinear
from instructor_embedding.model.t5 import Block, T5Encoder

BACKENDS = {  # name: precisions
    "torch": ("exact", "fast", "int8"),
    "openvino": ("exact", "fast"),
    "onnx": ("exact", "int8"),
}
PRECISIONS = ("exact", "fast", "int8")
_SAMPLE = 8  # numbers of each weight that are compared


class Choice:
    """The backend of one model; it is made at first use, again when weights changed, and never copied or pickled.

    Parameters
    ----------
    name : str
        One of ``BACKENDS``; with ``"auto"`` those that are installed run a small batch, and the fastest stays.
    precision : str, optional
        One of ``PRECISIONS``. Default: ``"int8"`` for a model whose weights are in 8 or 4 bits, where this machine and
        backend compute in it, else ``"exact"``.
    folder : path, optional
        The model's folder, where graphs of other backends are kept.

    Raises
    ------
    InputError
        One of them is unknown, or this machine or backend cannot compute in that precision.
    """

    def __init__(self, name: str, precision: str | None = None, folder: Path | None = None) -> None:
        known_names = (*BACKENDS, "auto")
        for argument, value, known in (("backend", name, known_names), ("precision", precision, PRECISIONS)):
            if value not in known and value is not None:
                hint = nearest(str(value), known)
                raise InputError(f"{argument}={value!r} is unknown{hint}; known: {', '.join(known)}")
        if name != "auto" and precision is not None and precision not in BACKENDS[name]:
            raise InputError(
                f"backend={name!r} does not compute with precision={precision!r}; it knows: {', '.join(BACKENDS[name])}"
            )
        _refuse_slow(precision)
        self.name = name
        self.wanted = precision
        self.folder = folder
        self._made: tuple[Any, Tensor, Backend] | None = None

    def precision(self, encoder: T5Encoder) -> str:
        """Return the precision that this model computes in."""
        held = any(isinstance(layer, QuantizedLinear) for layer in encoder.modules())
        able = self.name in ("torch", "auto") and torch.cpu._is_vnni_supported() and _products(encoder) is not None
        return self.wanted or ("int8" if held and able else "exact")

    def backend(self, encoder: T5Encoder, head: Head, dimension: int) -> Backend:
        """Return what runs batches of this model, with its weights as they are now.

        Raises
        ------
        InputError
            The precision needs a CPU and the model is elsewhere, or its layers were replaced.
        MissingExtraError
            The backend's library is not installed.
        """
        products = _products(encoder)
        if products is None:
            if self.wanted not in (None, "exact") or self.name not in ("torch", "auto"):
                raise InputError(
                    f"backend={self.name!r} with precision={self.wanted or 'exact'!r} is for float32 and bfloat16 "
                    "models on a CPU; load this one with neither, and on other devices choose dtype='bfloat16'"
                )
            return TorchBackend(encoder, head, dimension)
        copied = [*products, *(layer.weight for layer in plain_head(head))]
        mark, sample = _mark(copied if self.name == "torch" else _all(encoder, head))
        if self._made is not None and self._made[0] == mark and torch.equal(self._made[1], sample):
            return self._made[2]
        self._made = None  # free the old weights first
        if self.name == "auto":
            self.wanted = self.precision(encoder)
            self.name = self._fastest(encoder, head, dimension)
            return self.backend(encoder, head, dimension)
        backend = self._make(self.name, encoder, head, dimension)
        self._made = mark, sample, backend
        return backend

    def drop(self) -> None:
        """Free what was made; the next call makes it again."""
        self._made = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_made": None}

    def _make(self, name: str, encoder: T5Encoder, head: Head, dimension: int) -> Backend:
        if name == "torch":
            precision = self.precision(encoder)
            kind = NativeCPU if able(encoder, precision) else TorchCPU
            return kind(encoder, head, dimension, precision)
        runtime = exported.OnnxBackend if name == "onnx" else exported.OpenVINOBackend
        runtime.check()
        return runtime(exported.graph_of(encoder, head, self.folder), dimension, self.wanted or "exact")

    def _fastest(self, encoder: T5Encoder, head: Head, dimension: int) -> str:
        """Run a batch on every backend that is installed and name the fastest, in the log of the package too."""
        batch = Packed.of([[2 + (7 * place) % 20 for place in range(24)] for _ in range(32)], [8] * 32)
        times = {}
        for name in (name for name, precisions in BACKENDS.items() if (self.wanted or "exact") in precisions):
            try:
                backend = self._make(name, encoder, head, dimension)
            except MissingExtraError:
                continue
            backend.run(batch)
            times[name] = min(timeit.repeat(lambda: backend.run(batch), number=1, repeat=3))  # noqa: B023 - run at once
        told = ", ".join(f"{name} {taken * 1000:.1f} ms" for name, taken in times.items())
        found = min(times, key=times.__getitem__)
        logging.getLogger("instructor_embedding").info("backend='auto' takes %s: %s", found, told)
        return found


def _all(encoder: T5Encoder, head: Head) -> list[Tensor]:
    """Return every tensor that a graph is made of."""
    return [tensor for part in (encoder, head) for tensor in (*part.parameters(), *part.buffers())]


def _refuse_slow(precision: str | None) -> None:
    """Refuse a precision that would be slower than the exact one here."""
    if precision == "fast" and not bfloat16_is_native():
        raise InputError("precision='fast' needs a CPU that computes in bfloat16 (avx512_bf16 or amx)")
    if precision == "int8" and not torch.cpu._is_vnni_supported():
        raise InputError("precision='int8' needs a CPU with 8-bit products (avx512_vnni or amx)")


def _products(encoder: T5Encoder) -> list[Tensor] | None:
    """Return the weights that `NativeCPU` and `TorchCPU` lay out, or None for other devices, dtypes or layers."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return None
    kind = encoder.dtype
    found = []
    for block in encoder.blocks:
        attention, inner = cast(Block, block).attention, cast(Block, block).feed_forward
        up = [inner.wi_0, inner.wi_1] if inner.gated else [inner.wi]
        for layer in (attention.q, attention.k, attention.v, attention.o, *up, inner.wo):
            if type(layer) not in (nn.Linear, QuantizedLinear) or layer._forward_hooks or layer._forward_pre_hooks:
                return None
            held = [layer.codes, layer.scale] if isinstance(layer, QuantizedLinear) else [layer.weight]
            if held[0].device.type != "cpu" or (len(held) == 1 and held[0].dtype != kind):
                return None
            found += held
    return found if kind in (torch.float32, torch.bfloat16) else None


def _mark(products: list[Tensor]) -> tuple[Any, Tensor]:
    """Tell weights from others: address, version and a few numbers, as writing to ``.data`` changes no version."""
    mark = tuple((weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in products)
    with torch.inference_mode():
        return mark, torch.cat([weight.view(-1)[:_SAMPLE].float() for weight in products])
