"""``instructor-embed map``: a picture of texts, under one instruction or several."""

from __future__ import annotations

from typing import Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.cli.cluster import CLUSTERING
from instructor_embedding.cli.text_vectors import File, Instructions, TextColumn, text_vectors
from instructor_embedding.errors import InputError, choose


def map_(
    source: File,
    *,
    output: Annotated[str, typer.Option("-o", "--output", help="png, or html without further files.")],
    model: options.Model = options.DEFAULT,
    instruction: Instructions = None,
    color: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that gives the points their colors.")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", min=2, help="Color by this many clusters instead.")] = None,
    method: Annotated[str, typer.Option(help="pca, or umap or pacmap where these are installed.")] = "pca",
    text_column: TextColumn = "text",
    seed: Annotated[int, typer.Option(help="Of the method and of the clusters.")] = 0,
    device: options.Device = None,
) -> None:
    """Draw texts as points in two dimensions, near where their vectors are near; one map per instruction."""
    from instructor_embedding.analysis import maps
    from instructor_embedding.files.atomic import check_target

    maps.check_path(output)
    check_target(output)
    choose("--method", method, maps.METHODS)
    if color is not None and k is not None:
        raise InputError("--color and -k both give the points their colors; pass one of them")
    chosen = instruction or [CLUSTERING]
    least = max(3, (k or 0) + 1)
    texts, values, vectors = text_vectors(source, text_column, [color] if color else [], model, chosen, device, least)
    groups = [str(row[0]) for row in values] if color else [""] * len(texts)
    if k is not None:
        from instructor_embedding.analysis.clusters import clustered

        groups = [f"cluster {label}" for label in clustered(vectors[0], k, seed=seed).labels.tolist()]
    panels = [maps.Panel(text, maps.projected(rows, method, seed)) for text, rows in zip(chosen, vectors, strict=True)]
    maps.draw(output, panels, groups, texts)
    typer.echo(f"{len(texts)} texts, {len(panels)} maps: {output}", err=True)
