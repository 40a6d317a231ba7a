"""``instructor-embed quantize``: a smaller copy of a model."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from instructor_embedding.cli import options


def quantize(
    model: Annotated[str, typer.Argument(help="Hub id or folder of the model.")],
    output: Annotated[str, typer.Argument(help="Folder to write.")],
    *,
    weights: Annotated[str, typer.Option(help="int8, int4, float16, bfloat16, or float32 to go back.")] = "int8",
    embedding: Annotated[
        str | None, typer.Option(help="int8 or int4: another kind for the table of embeddings.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write a copy of a model with smaller weights; every command loads it as any other model."""
    from instructor_embedding.quantization.weights import quantize as smaller

    start = time.perf_counter()
    before = options.load(model, "cpu", "float32")
    after = smaller(before, weights, embedding=embedding)
    after.save(output)
    sizes = [4 * sum(weight.numel() for weight in smaller(before, "float32").parameters()), size_of(Path(output))]
    seconds = time.perf_counter() - start
    facts = {"bytes_float32": sizes[0], "bytes": sizes[1], "seconds": round(seconds, 3)}
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        share = f"{sizes[1] / 1e6:,.1f} MB, {sizes[1] / sizes[0]:.1%} of float32"
        typer.echo(f"{output}: {share}, {seconds:.1f} s", err=True)


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's weights."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
