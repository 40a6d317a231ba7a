"""``instructor-embed bench``: how fast a model is on this machine."""

from __future__ import annotations

import dataclasses
import json
from itertools import islice
from typing import Annotated, Any

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError
from instructor_embedding.files.pairs import read_pairs


def bench(
    name: options.ModelArgument = None,
    *,
    model: options.ModelOption = None,
    source: Annotated[
        str | None,
        typer.Option("--input", help="Your own texts, a file in any format of encode; default: built-in ones."),
    ] = None,
    instruction: options.Instruction = None,
    texts: Annotated[int, typer.Option(help="How many texts to encode.")] = 512,
    words: Annotated[int, typer.Option(help="Length of built-in texts, in words.")] = 16,
    rounds: Annotated[int, typer.Option(help="Rounds; the median is reported.")] = 3,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    backend: options.Backend = "torch",
    precision: options.Precision = None,
    as_json: options.Json = False,
) -> None:
    """Measure throughput, latency, memory and the fraction of the machine's matmul peak."""
    from instructor_embedding.engine.measure import built_in_texts, measure

    name = options.chosen_model(model, name)
    options.check(dtype=dtype, backend=backend, precision=precision)
    if min(texts, words, rounds) < 1:
        raise InputError("--texts, --words and --rounds must be at least 1")
    if source is None:
        pairs = built_in_texts(texts, words)
    else:
        pairs = list(islice(read_pairs(source, instruction=instruction), texts))
        if not pairs:
            raise InputError(f"{source} has no texts")
    embedder = options.load(name, device, dtype, backend, precision)
    runner = embedder.eval().backend
    precision = embedder.precision
    kernels = getattr(runner, "kernels", None)
    kind = getattr(runner, "dtype", embedder.encoder.dtype)
    result = measure(pairs, embedder.tokens, runner, embedder.encoder.config, precision, rounds, embedder.device, kind)
    facts: dict[str, Any] = {"model": name, "backend": type(runner).__name__, "kernels": kernels}
    facts |= {"device": str(embedder.device), "precision": precision} | dataclasses.asdict(result)
    if as_json:
        typer.echo(json.dumps(facts | {"share_of_peak": result.share}))
        return
    shown = f"kernels {kernels}" if kernels else f"on {embedder.device}"
    typer.echo(f"{name} on {type(runner).__name__}, {shown}, precision {precision}")
    typer.echo(f"throughput  {result.texts_per_second:,.0f} texts/s, {result.tokens_per_second:,.0f} tokens/s")
    typer.echo(f"work        {result.texts} texts, {result.tokens} tokens, median of {rounds} rounds")
    typer.echo(f"latency     {result.latency_ms:.1f} ms for one text, 95 % under {result.latency_p95_ms:.1f} ms")
    typer.echo(
        f"matmul      {result.gflops:,.0f} of {result.peak_gflops:,.0f} GFLOP/s: "
        f"{result.share:.0%} of what matmuls of these shapes reach on this machine"
    )
    typer.echo(f"memory      {result.memory_mb:,.0f} MiB at peak")
