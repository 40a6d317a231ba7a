"""``instructor-embed export``: a model for ONNX Runtime or OpenVINO, a verb for each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instructor_embedding.cli import options

app = typer.Typer(no_args_is_help=True, help="Export a model for a runtime without torch.", rich_markup_mode=None)


@app.command()
def onnx(
    paths: options.ModelAndFolder = None,
    *,
    model: options.RequiredModel = None,
    output: options.Folder = None,
    weights: Annotated[str, typer.Option(help="float32, float16, bfloat16 or int8.")] = "float32",
) -> None:
    """Write a model as an ONNX graph, from token ids to vectors, instruction mask included."""
    _write("onnx", *options.model_and_folder(model, output, paths), weights)


@app.command()
def openvino(
    paths: options.ModelAndFolder = None,
    *,
    model: options.RequiredModel = None,
    output: options.Folder = None,
    weights: Annotated[str, typer.Option(help="float32, float16 or int8.")] = "float32",
) -> None:
    """Write a model as OpenVINO's files, from token ids to vectors, instruction mask included."""
    _write("openvino", *options.model_and_folder(model, output, paths), weights)


def _write(library: str, model: str, output: str, weights: str) -> None:
    from instructor_embedding.graph.export import export

    path = export(options.load(model, "cpu", "float32"), output, library, weights)
    size = sum(file.stat().st_size for file in Path(output).glob(f"{path.stem}*"))
    typer.echo(f"{path}: {size / 1e6:,.1f} MB", err=True)
