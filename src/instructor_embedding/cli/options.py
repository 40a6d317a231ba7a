"""Options that several verbs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from instructor_embedding.instructor import INSTRUCTOR

DEFAULT = "instructor-mini"  # comes with the package
Model = Annotated[str, typer.Option("-m", "--model", help="Hub id or folder of the model.")]
Name = Annotated[str, typer.Argument(help="Hub id or folder of the model.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or mps; default: the best there is.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
Backend = Annotated[str, typer.Option(help="torch, openvino, onnx or auto.")]
Precision = Annotated[
    str | None,
    typer.Option(help="exact, or on a CPU fast (bfloat16) or int8. Default: exact, for quantized folders int8."),
]
Json = Annotated[bool, typer.Option("--json", help="Print results for machines.")]
Encoding = Annotated[str | None, typer.Option(help="Of the input, such as latin-1 or utf-16; default: utf-8.")]
Delimiter = Annotated[
    str | None, typer.Option(help="Between the cells of csv and tsv, such as ';' or '\\t'; default: ',' and tab.")
]
Truncate = Annotated[str, typer.Option(help="When texts are too long: warn, error or quiet.")]


def load(
    model: str, device: str | None, dtype: str, backend: str = "torch", precision: str | None = None
) -> INSTRUCTOR:
    """Load a model; torch is imported here and not before."""
    from instructor_embedding.instructor import INSTRUCTOR

    return INSTRUCTOR(model, device=device, dtype=dtype, backend=backend, precision=precision)
