"""Runs the ONNX graph with OpenVINO, on padded batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.extras import need
from instructor_embedding.graph.builder import feeds
from instructor_embedding.model.packed import Float32, Packed


class OpenVINOBackend:
    """OpenVINO; `precision` is ``"exact"`` or ``"fast"`` (bfloat16)."""

    max_tokens: int | None = None
    thread_safe = False  # one infer request holds one input at a time

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
        outputs = self._request.infer(feeds(batch))
        vectors: Float32 = np.array(next(iter(outputs.values())))
        return vectors

    def close(self) -> None:
        """Free the compiled model."""
        del self._request
