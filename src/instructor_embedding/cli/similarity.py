"""``instructor-embed similarity``: cosines between texts."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError


def similarity(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="At least two; none: the lines of stdin.")
    ] = None,
    *,
    model: options.Model = options.DEFAULT,
    instruction: Annotated[
        list[str] | None, typer.Option("-i", "--instruction", help="One for all texts, or once for each text.")
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    encoding: options.Encoding = None,
    as_json: options.Json = False,
) -> None:
    """Print the cosine between two texts, or the table of cosines of several."""
    options.check(dtype=dtype)
    if texts:
        texts = [options.text(value, f"text {number}") for number, value in enumerate(texts, 1)]
    else:
        from instructor_embedding.files.records import read_records

        texts = [line for _, line in read_records("-", format="txt", encoding=encoding)]
    if len(texts) < 2:
        raise InputError(f"similarity takes at least two texts, got {len(texts)}")
    instructions = [options.text(value, "-i") for value in instruction or [""]]
    if len(instructions) == 1:
        instructions = instructions * len(texts)
    if len(instructions) != len(texts):
        raise InputError(f"-i was given {len(instructions)} times for {len(texts)} texts; give it once or for each")
    embedder = options.load_encoder(model, device, dtype)
    vectors = embedder.encode([list(pair) for pair in zip(instructions, texts, strict=True)])
    cosines = embedder.similarity(vectors, vectors).tolist()
    if as_json:
        rows = [[round(value, 6) for value in row] for row in cosines]
        typer.echo(json.dumps({"texts": texts, "instructions": instructions, "similarity": rows}, ensure_ascii=False))
    elif len(texts) == 2:
        typer.echo(f"{cosines[0][1]:.4f}")
    else:
        for number, row in enumerate(cosines):
            typer.echo("  ".join(f"{value:7.4f}" for value in row) + f"  {texts[number]}")
