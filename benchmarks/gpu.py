"""Rates of a GPU: this package beside the modules of transformers, and the card's own matmuls in the same run.

    python benchmarks/gpu.py [--device cuda] [--shapes large xl] [--texts 20000] [--output FILE]

Models have random weights in bfloat16, texts the lengths of `workloads`. For each shape and way to run it: texts and
real tokens per second, the share of the matmul rate that real tokens reach (utilization), the lowest cosine to
float32, latency of a single text, memory of the card, and the rate of the last fifth of the texts beside that of the
first one (1 is flat). `transformers` is what InstructorEmbedding and sentence-transformers run: batches of 32 texts of
similar length, padded. On a card the results go to results/gpu.json; ``--device cpu --shapes tiny --texts 64`` shows
that the program works, and its figures say nothing about a GPU.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import ROOT
from tokenizers import Tokenizer
from workloads import workload

from instructor_embedding import as_pairs
from instructor_embedding.engine import pipeline
from instructor_embedding.engine.backends.cuda import CudaBackend
from instructor_embedding.engine.backends.eager import EagerBackend
from instructor_embedding.engine.measure import Peak, operations
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.folder.write import write
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.pooling import pooling_mask
from instructor_embedding.model.scratch import random_embedder

RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
TOKENIZER = ROOT / "src" / "instructor_embedding" / "bundled" / "instructor-mini" / "tokenizer.json"
CHECKED = 64  # texts that are compared with float32


class Transformers:
    """T5EncoderModel of transformers with our pooling: the padded batches of the original."""

    batch_scale = 16
    max_tokens = None
    thread_safe = True

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        from transformers import T5EncoderModel

        self.device, self.dimension, self.head = embedder.device, embedder.dimension, embedder.head
        write(embedder, folder)
        self.model = T5EncoderModel.from_pretrained(folder).to(self.device, embedder.encoder.dtype).eval()

    def run(self, batch: Packed) -> torch.Tensor:
        rows = []
        with torch.inference_mode():
            for first in range(0, len(batch), 32):
                texts = batch.take(np.arange(first, min(first + 32, len(batch))))
                ids, mask = (torch.from_numpy(array).to(self.device) for array in texts.padded())
                states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
                skip = torch.from_numpy(texts.skip).to(self.device)
                rows.append(self.head(states, pooling_mask(mask, skip)))
        return torch.cat(rows)

    def close(self) -> None:
        del self.model


def ways(embedder: Embedder, folder: Path) -> dict[str, Callable[[], Any]]:
    """Return what to compare, made when its turn comes; flex attention on cards alone: elsewhere it is unfused."""
    flex = {"flex": lambda: CudaBackend(embedder, "flex")} if embedder.device.type == "cuda" else {}
    return {
        "sdpa": lambda: CudaBackend(embedder),
        **flex,
        "modules": lambda: EagerBackend(embedder),
        "transformers, padded": lambda: Transformers(embedder, folder),
    }


def measured(backend: Any, embedder: Embedder, pairs: list[Any], reference: np.ndarray) -> dict[str, float]:
    """Encode all texts, after a run that compiles and warms up, and single ones."""
    tokens, budget, on_card = embedder.tokens, pipeline.budget_of(32), embedder.device.type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    list(pipeline.encode(pairs[:2048], tokens, backend, budget, "quiet"))
    first = next(pipeline.encode(pairs[:CHECKED], tokens, backend, budget, "quiet"))
    vectors = torch.as_tensor(first.vectors).cpu().numpy()
    moments, lengths = [time.perf_counter()], []
    for window in pipeline.encode(pairs, tokens, backend, budget, "quiet"):
        lengths.append(window.kept)
        moments.append(time.perf_counter())
    taken, real = moments[-1] - moments[0], np.concatenate(lengths).astype(np.int64)
    fifth = max(1, len(lengths) // 5)
    early, late = moments[fifth] - moments[0], moments[-1] - moments[-1 - fifth]
    alone = []
    for _ in range(30):
        start = time.perf_counter()
        list(pipeline.encode(pairs[:1], tokens, backend, budget, "quiet"))
        alone.append(time.perf_counter() - start)
    return {
        "texts/s": round(len(pairs) / taken, 1),
        "tokens/s": round(int(real.sum()) / taken, 1),
        "gflops": round(operations(embedder.encoder.config, real) / taken / 1e9, 1),
        "last fifth / first": round(early / late, 3),
        "one text, ms": round(statistics.median(alone[5:]) * 1000, 2),
        "lowest cosine": round(float((vectors * reference).sum(1).min()), 6),
        "memory of the card, MiB": round(torch.cuda.max_memory_allocated() / (1 << 20)) if on_card else 0,
    }


def compare(shape: str, device: torch.device, pairs: list[Any], folder: Path) -> dict[str, Any]:
    """Return the results of one shape, the peak measured before and after each way."""
    single = random_embedder(shape, Tokenizer.from_file(str(TOKENIZER)), vocab_size=32_128).eval().to(device)
    batch = single.tokens.pack(pairs[:CHECKED])
    reference = torch.as_tensor(EagerBackend(single).run(batch)).cpu().numpy()
    embedder = copy.deepcopy(single).to(torch.bfloat16)
    del single
    peak = Peak(embedder.encoder.config, "exact", device, torch.bfloat16)
    results: dict[str, Any] = {}
    for name, make in ways(embedder, folder).items():
        before = peak.gflops()
        try:
            backend = make()
            row = measured(backend, embedder, pairs, reference)
            backend.close()
            row["utilization"] = round(row["gflops"] / statistics.mean([before, peak.gflops()]), 3)
        except Exception as error:  # one way that fails leaves the others
            row = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
        results[name] = row
        print(json.dumps({"shape": shape, "way": name} | row), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shapes", nargs="+", default=["large", "xl"])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    on_card = device.type == "cuda"
    if not on_card and not options.output:
        print("no GPU: nothing will be written; pass --output FILE for a file")
    every = as_pairs(workload("short", options.texts // 2) + workload("mixed", options.texts - options.texts // 2))
    pairs = [every[index] for index in np.random.RandomState(0).permutation(len(every))]
    machine = torch.cuda.get_device_name(device) if on_card else f"CPU, {platform.machine()}: not a GPU"
    facts: dict[str, Any] = {"device": machine, "torch": torch.__version__, "date": str(date.today())}
    facts |= {"texts": len(pairs), "shapes": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for shape in options.shapes:
            facts["shapes"][shape] = compare(shape, device, pairs, Path(scratch) / shape)
    target = options.output or (RESULTS if on_card else None)
    if target:
        target.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        print(f"written: {target}")


if __name__ == "__main__":
    main()
