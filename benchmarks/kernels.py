"""Rates of the compiled engine's kernels beside the core's peak and torch's operators: ``python kernels.py``.

One thread, its CPU time, base shape with random weights. Every round runs each variant once, between two measurements of
the peak of AVX2's fused multiply-adds; rounds in which the core was slowed by its neighbors are left out. Torch's
operators are limited to AVX2 by ``ONEDNN_MAX_CPU_ISA=AVX2``, which has to be set before python starts.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from instructor_embedding.engine.native_cpu import NativeCPU
from instructor_embedding.engine.torch_cpu import TorchCPU

from instructor_embedding.engine import native_library
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.pooling import Head
from instructor_embedding.model.t5 import T5Config, T5Encoder


def peak_meter():
    """Return a function that measures the FMA rate of this core at this moment, GFLOP/s."""
    target = Path(tempfile.mkdtemp()) / "peak.so"
    source = Path(__file__).with_name("fma_peak.c")
    subprocess.run(["cc", "-O2", "-mavx2", "-mfma", "-shared", "-fPIC", "-o", target, source], check=True)
    rate = ctypes.CDLL(str(target)).fma_rate
    rate.restype = ctypes.c_double
    return lambda: rate(50_000)


def encoder_of(layers):
    config = T5Config(1000, 768, 64, 3072, layers, 12, "relu", False)
    torch.manual_seed(0)
    encoder = T5Encoder(config)
    for name, weight in encoder.named_parameters():
        torch.nn.init.normal_(weight, 1.0 if name.endswith("norm.weight") else 0.0, 0.03)
    return encoder.eval()


def operations(batch, config):
    """Operations of the matmuls, of attention's included."""
    tokens, distinct, pooled = len(batch.ids), len(np.unique(batch.ids)), int((batch.lengths - batch.skip).sum())
    width, inner, all_heads = config.d_model, config.d_ff, config.num_heads * config.d_kv
    rest = width * all_heads + 2 * width * inner
    linear = distinct * 3 * width * all_heads + (config.num_layers - 1) * tokens * (3 * width * all_heads + rest)
    attention = 2 * all_heads * int((batch.lengths.astype(np.int64) ** 2).sum()) * config.num_layers
    return 2 * (linear + pooled * rest + attention)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--texts", default="16x24,4x128,1x512,1x16")
    parser.add_argument("--kernels", default="", help="names, separated by commas; default: all of this CPU")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder, head, peak = encoder_of(options.layers), Head([], normalize=True), peak_meter()
    variants = (
        {
            (name, precision): NativeCPU(encoder, head, 768, precision, name)
            for name in options.kernels.split(",")
            if options.kernels or True
            for precision in ("exact", "int8")
        }
        if options.kernels
        else {
            (name, precision): NativeCPU(encoder, head, 768, precision, name)
            for name, kinds in native_library.kernels().items()
            for precision, kind in (("exact", "float32"), ("int8", "int8"))
            if kind in kinds
        }
    )
    variants["operators", "exact"] = TorchCPU(encoder, head, 768, "exact")
    for work in options.texts.split(","):
        count, length = map(int, work.split("x"))
        random = np.random.RandomState(0)
        batch = Packed.of([random.randint(2, 1000, length).tolist() for _ in range(count)], [length // 4] * count)
        total = operations(batch, encoder.config) / 1e9
        rates = {variant: [] for variant in variants}
        best = max(peak() for _ in range(50))
        for number in range(options.rounds + 1):
            for variant, backend in variants.items():
                before, start = peak(), time.thread_time()
                backend.run(batch)
                rate = total / (time.thread_time() - start)
                if number and min(before, peak()) > 0.9 * best:
                    rates[variant].append(rate / before)
        for (name, precision), values in rates.items():
            values = sorted(values) or [0.0]
            line = {
                "texts": work,
                "kernels": name,
                "precision": precision,
                "rounds": len(values),
                "share of FMA peak": round(statistics.median(values), 3),
                "best tenth": round(values[-1 - len(values) // 10], 3),
                "peak": round(best, 1),
                "isa": os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
