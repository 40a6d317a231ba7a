"""One engine in a process of its own: ``python engine.py NAME CHECKPOINT WORKLOADS.json``.

It loads, encodes each workload once to warm up, and then answers each line of stdin with a line of json: seconds, and
the peak memory of the process in MiB. A line is the name of a workload, and, after a tab, a file to save vectors to.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Encode = Callable[[list[list[str]]], Any]


def original(folder: str, _: Any) -> Encode:
    from InstructorEmbedding import INSTRUCTOR

    return INSTRUCTOR(folder, device="cpu").encode


def original_int8(folder: str, _: Any) -> Encode:
    import torch

    from InstructorEmbedding import INSTRUCTOR

    model = INSTRUCTOR(folder, device="cpu")
    return torch.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8).encode


def sentence_transformers(folder: str, _: Any) -> Encode:
    """One call for each instruction, as the library takes one prompt per call."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu")

    def encode(pairs: list[list[str]]) -> Any:
        indices: dict[str, list[int]] = {}
        for index, (instruction, _) in enumerate(pairs):
            indices.setdefault(instruction, []).append(index)
        vectors = np.empty((len(pairs), model.get_sentence_embedding_dimension()), np.float32)
        for instruction, rows in indices.items():
            vectors[rows] = model.encode([pairs[row][1] for row in rows], prompt=instruction)
        return vectors

    return encode


def ours(backend: str, precision: str, compiled: bool = True) -> Callable[[str, Any], Encode]:
    def load(folder: str, _: Any) -> Encode:
        from instructor_embedding import INSTRUCTOR
        from instructor_embedding.engine import native_library

        if not compiled:
            native_library.library = lambda: None
        return INSTRUCTOR(folder, device="cpu", backend=backend, precision=precision).encode

    return load


def openvino_int8(folder: str, works: dict[str, list[list[str]]]) -> Encode:
    """NNCF's full quantization of our graph, calibrated on 200 texts, run as our OpenVINO backend runs."""
    import nncf
    import openvino

    from instructor_embedding import INSTRUCTOR, as_pairs
    from instructor_embedding.engine.backends.openvino import OpenVINOBackend
    from instructor_embedding.graph.builder import feeds
    from instructor_embedding.graph.cache import graph_of

    nncf.set_log_level(40)
    model = INSTRUCTOR(folder, device="cpu")
    path = graph_of(model)
    target = path.with_suffix(".nncf.xml")
    if not target.is_file():
        pairs = as_pairs([pair for work in works.values() for pair in work[:100]])
        samples = [feeds(model.tokens.pack([pair])) for pair in pairs]
        openvino.save_model(
            nncf.quantize(
                openvino.Core().read_model(path),
                nncf.Dataset(samples),
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(samples),
            ),
            target,
        )
    runner = OpenVINOBackend(target, model.dimension, "fast")
    from instructor_embedding.engine import pipeline

    return lambda pairs: np.concatenate(
        [window.vectors for window in pipeline.encode(as_pairs(pairs), model.tokens, runner, pipeline.budget_of(32))]
    )


def peak(precision: str) -> Callable[[str, Any], Encode]:
    """GEMMs of the model's shapes alone; its 'seconds' are those of 10^12 operations."""

    def load(folder: str, _: Any) -> Encode:
        from instructor_embedding import INSTRUCTOR
        from instructor_embedding.engine.measure import Peak

        products = Peak(INSTRUCTOR(folder, device="cpu").encoder.config, precision)
        return lambda _: 1000 / products.gflops(1.5)

    return load


# name: environment, loader
ENGINES: dict[str, tuple[str, Callable[[str, Any], Encode]]] = {
    "original": ("original", original),
    "original, quantize_dynamic": ("original", original_int8),
    "sentence-transformers": ("sentence-transformers", sentence_transformers),
    "torch exact": ("ours", ours("torch", "exact")),
    "torch fast": ("ours", ours("torch", "fast")),
    "torch int8": ("ours", ours("torch", "int8")),
    "operators exact": ("ours", ours("torch", "exact", compiled=False)),
    "operators fast": ("ours", ours("torch", "fast", compiled=False)),
    "operators int8": ("ours", ours("torch", "int8", compiled=False)),
    "openvino exact": ("ours", ours("openvino", "exact")),
    "openvino fast": ("ours", ours("openvino", "fast")),
    "openvino int8 (NNCF)": ("ours", openvino_int8),
    "onnx exact": ("ours", ours("onnx", "exact")),
    "onnx int8": ("ours", ours("onnx", "int8")),
    "peak exact": ("ours", peak("exact")),
    "peak fast": ("ours", peak("fast")),
    "peak int8": ("ours", peak("int8")),
}


def memory() -> float:
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1024


def main() -> None:
    name, folder, path = sys.argv[1:4]
    with open(path, encoding="utf-8") as file:
        works = json.load(file)
    is_peak = name.startswith("peak")
    answers, sys.stdout = sys.stdout, sys.stderr  # some libraries print
    encode = ENGINES[name][1](folder, works)
    for work in works.values():
        encode(work)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        command, _, target = line.strip().partition("\t")
        start = time.perf_counter()
        result = encode(works[command])
        taken = result if is_peak else time.perf_counter() - start
        if target:
            np.save(target, np.asarray(result))
        print(json.dumps({"seconds": taken, "memory": memory()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
