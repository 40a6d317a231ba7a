"""Texts of a file with their vectors under several instructions, for verbs that need all of them at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError

if TYPE_CHECKING:
    from instructor_embedding.vectors import Float32

File = Annotated[str, typer.Argument(metavar="FILE", help="txt, csv, tsv, json, jsonl or parquet; - is stdin.")]
Instructions = Annotated[
    list[str] | None, typer.Option("-i", "--instruction", help="Of the texts; repeat to compare several.")
]
TextColumn = Annotated[str, typer.Option(help="Column that holds the texts.")]


def text_vectors(
    source: str, text_column: str, keep: list[str], model: str, instructions: list[str], device: str | None, least: int
) -> tuple[list[str], list[list[Any]], list[Float32]]:
    """Return texts, values of other columns per text, and vectors of all texts for each instruction.

    Raises
    ------
    InputError
        The file has fewer texts than `least`; nothing was encoded.
    """
    from instructor_embedding.files.pairs import Columns, read_rows

    rows = [row for row in read_rows(source, Columns(text_column, "", keep)) if not row.is_empty]
    if len(rows) < least:
        count = f"{len(rows)} texts" if rows else "no texts"
        raise InputError(f"{'stdin' if source == '-' else source} has {count}; at least {least} are required")
    texts = [row.pair.text for row in rows]
    embedder = options.load(model, device, "float32")
    vectors = [embedder.encode(texts, instruction=text, show_progress_bar=sys.stderr.isatty()) for text in instructions]
    return texts, [[row.kept[name] for name in keep] for row in rows], vectors
