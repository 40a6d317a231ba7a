"""``instructor-embed bench``: how fast a model is on this machine."""

from __future__ import annotations

import dataclasses
import json
from itertools import islice
from typing import Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError
from instructor_embedding.files.pairs import read_pairs


def bench(
    model: options.Name = options.DEFAULT,
    source: Annotated[
        str | None,
        typer.Option("--input", help="Your own texts, a file as encode reads it; default: built-in ones."),
    ] = None,
    instruction: Annotated[
        str | None, typer.Option("-i", "--instruction", help="Instruction of the rows that have none of their own.")
    ] = None,
    texts: Annotated[int, typer.Option(help="How many texts to encode.")] = 512,
    words: Annotated[int, typer.Option(help="About how long built-in texts are, in words.")] = 16,
    rounds: Annotated[int, typer.Option(help="How often; the median is reported.")] = 3,
    backend: options.Backend = "torch",
    precision: options.Precision = None,
    as_json: options.Json = False,
) -> None:
    """Measure throughput, latency, memory and the share of the machine's matrix peak."""
    from instructor_embedding.engine.measure import built_in_texts, measure

    if min(texts, words, rounds) < 1:
        raise InputError("--texts, --words and --rounds must be at least 1")
    if source is None:
        pairs = built_in_texts(texts, words)
    else:
        pairs = list(islice(read_pairs(source, instruction=instruction), texts))
        if not pairs:
            raise InputError(f"{source} holds no texts")
    embedder = options.load(model, "cpu", "float32", backend, precision)
    runner = embedder.eval().backend
    precision = embedder.precision
    found = measure(pairs, embedder.tokens, runner, embedder.encoder.config, precision, rounds)
    facts = {"model": model, "backend": type(runner).__name__, "precision": precision} | dataclasses.asdict(found)
    if as_json:
        typer.echo(json.dumps(facts | {"share_of_peak": found.share}))
        return
    typer.echo(f"{model} on {type(runner).__name__}, precision {precision}")
    typer.echo(f"throughput  {found.texts_per_second:,.0f} texts/s, {found.tokens_per_second:,.0f} tokens/s")
    typer.echo(f"work        {found.texts} texts, {found.tokens} tokens, median of {rounds} rounds")
    typer.echo(f"latency     {found.latency_ms:.1f} ms for one text, 95 % under {found.latency_p95_ms:.1f} ms")
    typer.echo(
        f"products    {found.gflops:,.0f} of {found.peak_gflops:,.0f} GFLOP/s: "
        f"{found.share:.0%} of what this machine's products of these shapes reach"
    )
    typer.echo(f"memory      {found.memory_mb:,.0f} MiB at most")
