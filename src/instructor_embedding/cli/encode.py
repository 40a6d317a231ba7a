"""``instructor-embed encode``: texts from a file or stdin to vectors in a file or on stdout."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.cli.rows import Columns, format_of, read_pairs


def encode(
    source: Annotated[str, typer.Argument(metavar="[FILE]", help="txt, csv, tsv, jsonl or parquet; - is stdin.")] = "-",
    *,
    model: options.Model = options.DEFAULT,
    instruction: Annotated[
        str | None, typer.Option("-i", "--instruction", help="Instruction of the rows that have none of their own.")
    ] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="npy, jsonl or parquet; - is stdout, as jsonl.")] = "-",
    text_column: Annotated[str, typer.Option(help="Column that holds the texts.")] = "text",
    instruction_column: Annotated[str, typer.Option(help="Column that holds the instructions.")] = "instruction",
    input_format: Annotated[str | None, typer.Option(help="Where the file's ending does not tell it.")] = None,
    output_format: Annotated[str | None, typer.Option(help="Where the file's ending does not tell it.")] = None,
    batch_size: Annotated[int, typer.Option(help="One run holds at most this many times 32 tokens.")] = 32,
    truncate: options.Truncate = "warn",
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    backend: options.Backend = "torch",
    precision: options.Precision = None,
    as_json: options.Json = False,
) -> None:
    """Encode texts, one vector a row.

    Progress and the closing line go to stderr; with --json the closing line is json, on stdout when -o names a file.
    """
    from tqdm import tqdm

    from instructor_embedding.cli.sinks import FORMATS, Sink
    from instructor_embedding.engine import pipeline
    from instructor_embedding.engine.backend import as_numpy

    kind = format_of(output, output_format, FORMATS, default="jsonl")
    pairs = read_pairs(source, input_format, Columns(text_column, instruction_column), instruction)
    embedder = options.load(model, device, dtype, backend, precision)
    budget = pipeline.budget_of(batch_size)
    texts = tokens = truncated = 0
    start = time.perf_counter()
    with (
        tqdm(unit=" texts", desc="encode", leave=False, disable=None) as bar,
        Sink(output, kind, embedder.dimension) as sink,
    ):
        for window in pipeline.encode(pairs, embedder.tokens, embedder.eval().backend, budget, truncate):
            sink.write(window.pairs, as_numpy(window.vectors))
            texts += len(window.pairs)
            tokens += int(window.kept.sum())
            truncated += int((window.full > window.kept).sum())
            bar.update(len(window.pairs))
    seconds = time.perf_counter() - start
    facts = {"texts": texts, "tokens": tokens, "truncated": truncated, "seconds": seconds}
    if as_json:
        typer.echo(json.dumps(facts | {"seconds": round(seconds, 3)}), err=output == "-")
    else:
        rate = texts / seconds if seconds else 0
        typer.echo(
            f"{texts} texts, {tokens} tokens, {truncated} truncated, {seconds:.1f} s ({rate:.0f} texts/s)",
            err=True,
        )
