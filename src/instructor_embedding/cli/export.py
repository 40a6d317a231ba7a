"""``instructor-embed export``: a model for ONNX Runtime or OpenVINO, a verb for each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Export a model for a runtime without torch.", rich_markup_mode=None)

Model = Annotated[str, typer.Argument(help="Hub id or folder of the model.")]
Output = Annotated[str, typer.Argument(help="Folder to write.")]


@app.command()
def onnx(
    model: Model,
    output: Output,
    weights: Annotated[str, typer.Option(help="float32, float16, bfloat16 or int8.")] = "float32",
) -> None:
    """Write a model as an ONNX graph, from token ids to vectors, instruction mask included."""
    _write("onnx", model, output, weights)


@app.command()
def openvino(
    model: Model,
    output: Output,
    weights: Annotated[str, typer.Option(help="float32, float16 or int8.")] = "float32",
) -> None:
    """Write a model as OpenVINO's files, from token ids to vectors, instruction mask included."""
    _write("openvino", model, output, weights)


def _write(library: str, model: str, output: str, weights: str) -> None:
    from instructor_embedding.cli import options
    from instructor_embedding.engine.export import export

    path = export(options.load(model, "cpu", "float32"), output, library, weights)
    size = sum(file.stat().st_size for file in Path(output).glob(f"{path.stem}*"))
    typer.echo(f"{path}: {size / 1e6:,.1f} MB", err=True)
