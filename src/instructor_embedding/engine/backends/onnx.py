"""Runs the ONNX graph with ONNX Runtime, on padded batches."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from instructor_embedding.extras import need
from instructor_embedding.graph.builder import feeds
from instructor_embedding.model.packed import Float32, Packed


class OnnxBackend:
    """ONNX Runtime; `precision` is ``"exact"`` or ``"int8"`` (weights in int8, activations rounded dynamically)."""

    max_tokens: int | None = None
    thread_safe = True

    def __init__(self, path: Path, dimension: int, precision: str) -> None:
        runtime = self.check()
        self.dimension = dimension
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if precision == "int8":
            path = _quantized(path)
        self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def close(self) -> None:
        """Free the session."""
        del self._session

    @staticmethod
    def check() -> Any:
        """Return the library, or say how to install it."""
        return need("onnxruntime", "backend='onnx'")

    def run(self, batch: Packed) -> Float32:
        """Return float32 of shape (n, dimension)."""
        vectors: Float32 = self._session.run(None, feeds(batch))[0]
        return vectors


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
