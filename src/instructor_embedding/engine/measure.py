"""How fast a model is here: throughput, latency, memory, and the share of the peak of matmuls alone."""

from __future__ import annotations

import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from instructor_embedding.engine import pipeline
from instructor_embedding.engine.backend import Backend
from instructor_embedding.engine.backends.kernels import FloatKernel, Int8Kernel, Kernel
from instructor_embedding.instruction import Pair
from instructor_embedding.model.config import T5Config
from instructor_embedding.model.tokens import TextTokenizer

CPU = torch.device("cpu")
_ROWS = {"cpu": 1024}  # of the peak's matmuls; other devices need more to be busy
_WORDS = """
the of and a to in is for that with as on by it from at are this an be which or was not have has its can more one their
new time we about into other some between than over after most also only these first under each model study water energy
market results system people state data cell field group history small large river city music light question answer
paper method trade court value health school theory species network surface language price
""".split()  # noqa: SIM905 - a hundred words read better this way
_INSTRUCTIONS = (
    "Represent the Science title:",
    "Represent the question for retrieving supporting documents:",
    "Represent the Wikipedia document for retrieval:",
    "Represent the sentence:",
)


@dataclass(frozen=True)
class Measures:
    """Results of `measure`; rates are medians of the rounds.

    Parameters
    ----------
    texts, tokens : int
        Size of the work.
    texts_per_second, tokens_per_second : float
    gflops : float
        Matmuls of real tokens, in 10^9 operations per second.
    peak_gflops : float
        The same for large matmuls of this model's shapes alone, measured between the rounds.
    latency_ms : float
        Median time of one text, the first of the work.
    latency_p95_ms : float
    memory_mb : float
        Peak resident memory of the process so far, in MiB.
    """

    texts: int
    tokens: int
    texts_per_second: float
    tokens_per_second: float
    gflops: float
    peak_gflops: float
    latency_ms: float
    latency_p95_ms: float
    memory_mb: float

    @property
    def share(self) -> float:
        """Share of the matmul peak that was reached, 0 to 1."""
        return self.gflops / self.peak_gflops


def measure(
    pairs: Sequence[Pair],
    tokens: TextTokenizer,
    backend: Backend,
    config: T5Config,
    precision: str,
    rounds: int = 3,
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
) -> Measures:
    """Encode `pairs` several times and one of them many times.

    Parameters
    ----------
    pairs : sequence of Pair
        At least one; equal ones are computed once, as always.
    tokens, backend, config
        Of the model.
    precision : str
        What the peak is measured in: ``"exact"`` (float32), ``"fast"`` or ``"int8"``.
    rounds : int
        Encodings of the complete work.
    device, dtype
        Where the model is; the peak of devices other than a CPU is measured there, in this dtype.
    """
    lengths = tokens.pack(list(dict.fromkeys(pairs))).lengths.astype(np.int64)
    budget = pipeline.budget_of(32)
    peak = Peak(config, precision, device, dtype)
    seconds, peaks = [], []
    _encode(pairs[:64], tokens, backend, budget)
    for _ in range(rounds):
        peaks.append(peak.gflops())
        seconds.append(_encode(pairs, tokens, backend, budget))
    alone = sorted(_encode(pairs[:1], tokens, backend, budget) for _ in range(30))
    taken, total = statistics.median(seconds), int(tokens.pack(pairs).lengths.sum())
    return Measures(
        texts=len(pairs),
        tokens=total,
        texts_per_second=len(pairs) / taken,
        tokens_per_second=total / taken,
        gflops=operations(config, lengths) / taken / 1e9,
        peak_gflops=statistics.median(peaks),
        latency_ms=statistics.median(alone) * 1000,
        latency_p95_ms=alone[28] * 1000,
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (1 << 20 if sys.platform == "darwin" else 1 << 10),
    )


def operations(config: T5Config, lengths: np.ndarray) -> float:
    """Count the additions and multiplications of the encoder's matmuls for texts of these `lengths` in tokens."""
    inner = config.num_heads * config.d_kv
    per_token = 4 * config.d_model * inner + (3 if config.gated else 2) * config.d_model * config.d_ff
    squares = float((lengths.astype(float) ** 2).sum())
    return 2.0 * config.num_layers * (float(lengths.sum()) * per_token + 2 * inner * squares)


def built_in_texts(count: int, words: int, seed: int = 0) -> list[Pair]:
    """Return pairs of random words, about `words` long with the spread of real texts, and different instructions."""
    draw = random.Random(seed)
    return [
        Pair(
            _INSTRUCTIONS[index % len(_INSTRUCTIONS)],
            " ".join(draw.choices(_WORDS, k=max(1, round(draw.lognormvariate(0, 0.6) * words)))),
        )
        for index in range(count)
    ]


class Peak:
    """The rate of matmuls of a model's shapes alone: on a CPU of 1,024 rows, by oneDNN, elsewhere of 8,192.

    Use it as the most that a complete model can reach on this machine; `precision` is one of those of ``INSTRUCTOR``
    and counts on a CPU, `dtype` elsewhere.
    """

    def __init__(
        self, config: T5Config, precision: str, device: torch.device = CPU, dtype: torch.dtype = torch.float32
    ) -> None:
        inner = config.num_heads * config.d_kv
        shapes = [(config.d_model, 3 * inner), (config.d_model, config.d_ff), (config.d_ff, config.d_model)]
        self._device = device
        self._rows = _ROWS.get(device.type, 8192)
        with torch.inference_mode():
            if device.type == "cpu":
                self._matmuls = [_on_cpu(*shape, self._rows, precision) for shape in shapes]
            else:
                self._matmuls = [_on_device(*shape, self._rows, device, dtype) for shape in shapes]
        self._operations = sum(2.0 * self._rows * inputs * outputs for inputs, outputs in shapes)

    def gflops(self, seconds: float = 0.7) -> float:
        """Return the rate over at least this many seconds."""
        done, start = 0.0, time.perf_counter()
        with torch.inference_mode():
            while time.perf_counter() - start < seconds:
                for matmul in self._matmuls:
                    matmul()
                if self._device.type == "cuda":
                    torch.cuda.synchronize(self._device)
                done += self._operations
        return done / (time.perf_counter() - start) / 1e9


def _on_cpu(inputs: int, outputs: int, rows: int, precision: str) -> Callable[[], Any]:
    float_type = torch.float32 if precision == "exact" else torch.bfloat16
    kernel: Kernel = Int8Kernel(torch.bfloat16) if precision == "int8" else FloatKernel(float_type)
    weight, left = kernel.pack([nn.Linear(inputs, outputs, bias=False)]), kernel.rows(torch.randn(rows, inputs))
    return lambda: kernel.multiply(left, weight)


def _on_device(inputs: int, outputs: int, rows: int, device: torch.device, dtype: torch.dtype) -> Callable[[], Any]:
    weight = torch.randn(outputs, inputs, device=device, dtype=dtype)
    left = torch.randn(rows, inputs, device=device, dtype=dtype)
    return lambda: nn.functional.linear(left, weight)


def _encode(pairs: Sequence[Pair], tokens: TextTokenizer, backend: Backend, budget: int) -> float:
    start = time.perf_counter()
    for _ in pipeline.encode(pairs, tokens, backend, budget):
        pass
    return time.perf_counter() - start
