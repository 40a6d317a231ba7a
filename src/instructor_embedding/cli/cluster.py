"""``instructor-embed cluster``: texts in groups, under one instruction or several."""

from __future__ import annotations

import csv
import io
import json
from typing import Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.cli.text_vectors import File, Instructions, TextColumn, text_vectors

CLUSTERING = "Represent the text for clustering: "


def cluster(
    source: File,
    *,
    output: Annotated[str, typer.Option("-o", "--output", help="csv of texts and groups; - is stdout.")] = "-",
    model: options.Model = options.DEFAULT,
    instruction: Instructions = None,
    k: Annotated[int | None, typer.Option("-k", min=2, help="Groups; default: the best of 2 to 20.")] = None,
    text_column: TextColumn = "text",
    keep: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Column to write too; repeat.")] = None,
    seed: Annotated[int, typer.Option(help="Of k-means.")] = 0,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Group texts by k-means, once per instruction; words that describe each group go to stderr."""
    from instructor_embedding.analysis.clusters import clustered, words_of
    from instructor_embedding.files.atomic import check_target, replacing

    check_target(output)
    chosen = instruction or [CLUSTERING]
    columns = ["cluster"] if len(chosen) == 1 else [f"cluster_{number}" for number in range(1, len(chosen) + 1)]
    texts, kept_values, vectors = text_vectors(
        source, text_column, keep or [], model, chosen, device, max(3, (k or 0) + 1)
    )
    groups = [clustered(rows, k, seed=seed) for rows in vectors]
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow([text_column, *(keep or []), *columns])
    labels = [group.labels.tolist() for group in groups]
    for number, text in enumerate(texts):
        table.writerow([text, *kept_values[number], *(column[number] for column in labels)])
    with replacing(output) as file:
        file.write(buffer.getvalue().encode())
    for text, group in zip(chosen, groups, strict=True):
        described = words_of(texts, group.labels)
        sizes = [int((group.labels == label).sum()) for label in range(group.groups)]
        if as_json:
            facts = {"instruction": text, "silhouette": round(group.silhouette, 4), "sizes": sizes, "words": described}
            typer.echo(json.dumps(facts, ensure_ascii=False), err=output == "-")
            continue
        typer.echo(f"{text!r}: {group.groups} groups, silhouette {group.silhouette:.3f}", err=True)
        for label, (size, words) in enumerate(zip(sizes, described, strict=True)):
            typer.echo(f"{label:4} {size:6} texts  {', '.join(words)}", err=True)
