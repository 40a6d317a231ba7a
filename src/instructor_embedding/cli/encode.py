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
    """Rows that were read and whose vectors are not written yet, and the count of rows with an empty text."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self._queue: deque[Row] = deque()
        self.empty = 0
        self.first_empty = ""

    def pairs(self) -> Iterator[Pair]:
        """Yield the pairs and store their rows."""
        for row in self._rows:
            if row.is_empty:
                self.first_empty = self.first_empty or f"{row.position[0]} {row.position[1]}"
                self.empty += 1
            self._queue.append(row)
            yield row.pair

    def take(self, count: int) -> list[Row]:
        """Remove and return the oldest rows."""
        return [self._queue.popleft() for _ in range(count)]


def encode(
    source: Annotated[
        str,
        typer.Argument(metavar="[FILE]", help="txt, csv, tsv, json, jsonl or parquet, also .gz or .zst; - is stdin."),
    ] = "-",
    *,
    model: options.Model = options.DEFAULT,
    instruction: options.Instruction = None,
    output: Annotated[str, typer.Option("-o", "--output", help="npy, jsonl or parquet; - is stdout, as jsonl.")] = "-",
    text_column: Annotated[str, typer.Option(help="Column of the texts.")] = "text",
    instruction_column: Annotated[
        str | None, typer.Option(help="Column of the instructions; default: instruction, if there is such a column.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column to copy into the output, such as an id; repeatable."),
    ] = None,
    input_format: Annotated[str | None, typer.Option(help="Default: by the extension; txt for stdin.")] = None,
    output_format: Annotated[str | None, typer.Option(help="Default: by the extension.")] = None,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    batch_size: Annotated[int, typer.Option(help="Memory: one run has at most this many times 32 tokens.")] = 32,
    truncate: options.Truncate = "warn",
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    backend: options.Backend = "torch",
    precision: options.Precision = None,
    as_json: options.Json = False,
) -> None:
    """Encode texts, one vector per row.

    Progress (on a terminal) and the closing line go to stderr; with --json the closing line is JSON, on stdout when
    -o names a file.
    """
    from instructor_embedding.files import vector_files
    from instructor_embedding.files.pairs import Columns, read_rows

    # everything that can be wrong with options, files and columns is reported before the model is loaded
    options.check(dtype=dtype, backend=backend, precision=precision, truncate=truncate, batch_size=batch_size)
    columns = Columns(text_column, instruction_column, keep or [])
    kind = vector_files.check(output, output_format, columns.keep)
    rows = read_rows(source, columns, instruction, format=input_format, encoding=encoding, delimiter=delimiter)
    waiting = _Waiting(chain(list(islice(rows, 1)), rows))

    from tqdm import tqdm

    from instructor_embedding.engine import pipeline
    from instructor_embedding.engine.backend import as_numpy

    budget = pipeline.budget_of(batch_size)
    embedder = options.load_encoder(model, device, dtype, backend, precision)
    start = time.perf_counter()
    texts = tokens = truncated = 0
    progress = tqdm(unit=" texts", desc="encode", leave=False, disable=None)
    with progress as bar, vector_files.VectorFile(output, kind, embedder.dimension, columns.keep) as file:
        windows = pipeline.encode(waiting.pairs(), embedder.tokens, embedder.backend, budget, truncate)
        for window in windows:
            batch = waiting.take(len(window.pairs))
            file.write(window.pairs, as_numpy(window.vectors), [row.kept for row in batch])
            texts += len(window.pairs)
            tokens += int(window.kept.sum())
            truncated += int((window.full > window.kept).sum())
            bar.update(len(window.pairs))
    seconds = time.perf_counter() - start
    facts = {
        "texts": texts,
        "tokens": tokens,
        "truncated": truncated,
        "empty": waiting.empty,
        "seconds": round(seconds, 3),
    }
    if as_json:
        typer.echo(json.dumps(facts), err=output == "-")
    else:
        typer.echo(_closing_line(facts, waiting.first_empty), err=True)


def _closing_line(facts: dict[str, float], first_empty: str) -> str:
    """Return the counts of a run in one line."""
    first = f" (the first: {first_empty})" if first_empty else ""
    rate = facts["texts"] / facts["seconds"] if facts["seconds"] else 0
    return (
        f"{facts['texts']} texts, {facts['tokens']} tokens, {facts['truncated']} truncated, "
        f"{facts['empty']} empty{first}, {facts['seconds']:.1f} s ({rate:.0f} texts/s)"
    )
