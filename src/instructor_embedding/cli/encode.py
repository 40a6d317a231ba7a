"""``instructor-embed encode``: texts from a file or stdin to vectors in a file or on stdout."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.cli.rows import Columns, format_of, read_pairs
from instructor_embedding.instruction import Pair


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
    from instructor_embedding.cli.sinks import FORMATS, Sink
    from instructor_embedding.engine import encode as pipeline
    from instructor_embedding.engine.report import Report

    kind = format_of(output, output_format, FORMATS, default="jsonl")
    pairs = read_pairs(source, input_format, Columns(text_column, instruction_column), instruction)
    embedder = options.load(model, device, dtype, backend, precision)
    report = Report(truncate, embedder.max_seq_length, None, progress=True)
    budget = pipeline.budget_of(batch_size)
    waiting: deque[Pair] = deque()
    start = time.perf_counter()
    with report, Sink(output, kind, embedder.get_sentence_embedding_dimension()) as sink:
        windows = pipeline.encode(_remembered(pairs, waiting), embedder.tokens, embedder.backend, budget, report.check)
        for window in windows:
            sink.write([waiting.popleft() for _ in window.vectors], window.vectors)
            report.advance(len(window.vectors))
    seconds = time.perf_counter() - start
    facts = {"texts": report.texts, "tokens": report.tokens, "truncated": report.truncated, "seconds": seconds}
    if as_json:
        typer.echo(json.dumps(facts | {"seconds": round(seconds, 3)}), err=output == "-")
    else:
        rate = report.texts / seconds if seconds else 0
        typer.echo(
            f"{report.texts} texts, {report.tokens} tokens, {report.truncated} truncated, "
            f"{seconds:.1f} s ({rate:.0f} texts/s)",
            err=True,
        )


def _remembered(pairs: Iterable[Pair], waiting: deque[Pair]) -> Iterator[Pair]:
    """Pass pairs on and keep them until their vectors are written."""
    for pair in pairs:
        waiting.append(pair)
        yield pair
