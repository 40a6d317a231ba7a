"""``instructor-embed encode``: texts from a file or stdin to vectors in a file or on stdout."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.instruction import Pair

if TYPE_CHECKING:
    from instructor_embedding.files.pairs import Row


class _Waiting:
    """Rows that were read and whose vectors are not written yet, and the count of those without a text."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self._queue: deque[Row] = deque()
        self.empty = 0
        self.first_empty = ""

    def pairs(self) -> Iterator[Pair]:
        """Pass the pairs on, and remember their rows."""
        for row in self._rows:
            if row.is_empty:
                self.first_empty = self.first_empty or f"{row.position[0]} {row.position[1]}"
                self.empty += 1
            self._queue.append(row)
            yield row.pair

    def take(self, count: int) -> list[Row]:
        """Return the next rows, in their order."""
        return [self._queue.popleft() for _ in range(count)]


def encode(
    source: Annotated[
        str, typer.Argument(metavar="[FILE]", help="txt, csv, tsv, json, jsonl or parquet, also .gz; - is stdin.")
    ] = "-",
    *,
    model: options.Model = options.DEFAULT,
    instruction: Annotated[
        str | None, typer.Option("-i", "--instruction", help="Instruction of the rows that have none of their own.")
    ] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="npy, jsonl or parquet; - is stdout, as jsonl.")] = "-",
    text_column: Annotated[str, typer.Option(help="Column that holds the texts.")] = "text",
    instruction_column: Annotated[
        str | None, typer.Option(help="Column that holds the instructions; default: instruction, where there is one.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Column to write beside the vector; repeat for several.")
    ] = None,
    input_format: Annotated[str | None, typer.Option(help="Where the file's ending does not tell it.")] = None,
    output_format: Annotated[str | None, typer.Option(help="Where the file's ending does not tell it.")] = None,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    batch_size: Annotated[int, typer.Option(help="One run holds at most this many times 32 tokens.")] = 32,
    truncate: options.Truncate = "warn",
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    backend: options.Backend = "torch",
    precision: options.Precision = None,
    as_json: options.Json = False,
) -> None:
    """Encode texts, one vector per row.

    Progress and the closing line go to stderr; with --json the closing line is json, on stdout when -o names a file.
    """
    from instructor_embedding.files import vector_files
    from instructor_embedding.files.pairs import Columns, read_rows

    kept = keep or []
    kind = vector_files.check(output, output_format, kept)
    columns = Columns(text_column, instruction_column, kept)
    rows = read_rows(source, columns, instruction, format=input_format, encoding=encoding, delimiter=delimiter)
    # what is wrong with the file or its columns is reported before the model is loaded
    waiting = _Waiting(chain(list(islice(rows, 1)), rows))

    from instructor_embedding.engine import encode as pipeline
    from instructor_embedding.engine.report import Report

    embedder = options.load(model, device, dtype, backend, precision)
    report = Report(truncate, embedder.max_seq_length, None, progress=True)
    budget = pipeline.budget_of(batch_size)
    start = time.perf_counter()
    dimension = embedder.get_sentence_embedding_dimension()
    with report, vector_files.VectorFile(output, kind, dimension, kept) as file:
        for window in pipeline.encode(waiting.pairs(), embedder.tokens, embedder.backend, budget, report.check):
            done = waiting.take(len(window.vectors))
            file.write([row.pair for row in done], window.vectors, [row.kept for row in done])
            report.advance(len(window.vectors))
    _close(report.texts, report.tokens, report.truncated, waiting, time.perf_counter() - start, as_json, output == "-")


def _close(
    texts: int, tokens: int, truncated: int, rows: _Waiting, seconds: float, as_json: bool, on_stdout: bool
) -> None:
    """Print the closing line, and how many texts were empty."""
    if as_json:
        facts = {"texts": texts, "tokens": tokens, "truncated": truncated, "empty": rows.empty}
        typer.echo(json.dumps(facts | {"seconds": round(seconds, 3)}), err=on_stdout)
        return
    if rows.empty:
        typer.echo(f"{rows.empty} of {texts} texts are empty, the first in {rows.first_empty}", err=True)
    rate = texts / seconds if seconds else 0
    typer.echo(f"{texts} texts, {tokens} tokens, {truncated} truncated, {seconds:.1f} s ({rate:.0f} texts/s)", err=True)
