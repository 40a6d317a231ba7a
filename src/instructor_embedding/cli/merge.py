"""``instructor-embed merge``: the weighted mean of models that began from the same one."""

from __future__ import annotations

from typing import Annotated

import typer


def merge(
    models: Annotated[
        list[str], typer.Argument(help="Two or more folders or hub ids, of the same shape and tokenizer.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder for the merged model.")],
    weights: Annotated[
        list[float] | None, typer.Option("--weight", help="Weight of a model; once per model, in their order.")
    ] = None,
) -> None:
    """Merge models: average their weights (a model soup), to join what each of them was trained for.

    The models must have begun from the same one, as two trainings from instructor-mini did.
    """
    from instructor_embedding.training.average import merge as run

    folder = run(models, output, weights)
    typer.echo(f"{len(models)} models merged into {folder}", err=True)
