"""Backends that run the ONNX graph on padded batches: ONNX Runtime and OpenVINO.

The graph is written once for each state of the weights, into a folder ``onnx`` beside the model, or, where that cannot
be written, into the user's cache.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.engine import graph
from instructor_embedding.extras import need
from instructor_embedding.model.packed import Float32, Packed
from instructor_embedding.model.pooling import Head
from instructor_embedding.model.t5 import T5Encoder


class OnnxBackend:
    """ONNX Runtime; `precision` is ``"exact"`` or ``"int8"`` (weights in int8, activations as they come)."""

    def __init__(self, path: Path, dimension: int, precision: str) -> None:
        runtime = self.check()
        self.dimension = dimension
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if precision == "int8":
            path = _quantized(path)
        self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    @staticmethod
    def check() -> Any:
        """Return the library, or say how to install it."""
        return need("onnxruntime", "backend='onnx'")

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension)."""
        vectors: Float32 = self._session.run(None, _inputs(batch))[0]
        return vectors


class OpenVINOBackend:
    """OpenVINO; `precision` is ``"exact"`` or ``"fast"`` (bfloat16)."""

    def __init__(self, path: Path, dimension: int, precision: str) -> None:
        openvino = self.check()
        self.dimension = dimension
        kind = "f32" if precision == "exact" else "bf16"
        settings = {"INFERENCE_PRECISION_HINT": kind, "PERFORMANCE_HINT": "LATENCY"}
        self._request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()

    @staticmethod
    def check() -> Any:
        """Return the library, or say how to install it."""
        return need("openvino", "backend='openvino'")

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension)."""
        found = self._request.infer(_inputs(batch))
        vectors: Float32 = np.array(next(iter(found.values())))
        return vectors


def graph_of(encoder: T5Encoder, head: Head, folder: Path | None) -> Path:
    """Return the file of the model's graph, which is written if it is not there."""
    name = f"{fingerprint(encoder, head)}.onnx"
    homes = [Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "instructor_embedding" / "onnx"]
    if folder is not None:
        homes.insert(0, folder / "onnx")
    for home in homes:
        if (home / name).is_file():
            return home / name
    home = next((home for home in homes if _writable(home)), homes[-1])
    draft = home / f"draft-{os.getpid()}"
    graph.write(encoder, head, draft / name)
    for part in (f"{name}.data", name):  # the graph last: a file by its name is whole
        (draft / part).replace(home / part)
    draft.rmdir()
    return home / name


def fingerprint(encoder: T5Encoder, head: Head) -> str:
    """Return a hash of all weights and of the shape, as 16 hexadecimal digits."""
    digest = hashlib.sha256(repr((encoder.config, head)).encode())
    for module in (encoder, head):
        for name, value in module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _inputs(batch: Packed) -> dict[str, Any]:
    ids, mask = batch.padded()
    columns = {"input_ids": ids, "attention_mask": mask, "context_masks": batch.skip}
    return {name: column.astype(np.int64) for name, column in columns.items()}


def _quantized(path: Path) -> Path:
    """Return the graph with int8 weights, made by ONNX Runtime's own tool if it is not there."""
    target = path.with_suffix(".int8.onnx")
    if not target.is_file():
        quantization = need("onnxruntime.quantization", "backend='onnx' with precision='int8'")
        draft = target.with_suffix(f".{os.getpid()}")
        logging.disable(logging.WARNING)  # it recommends a step that is not needed here
        try:
            quantization.quantize_dynamic(path, draft, per_channel=True)
        finally:
            logging.disable(logging.NOTSET)
        draft.replace(target)
    return target


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
