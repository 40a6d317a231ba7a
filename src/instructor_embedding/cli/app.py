"""The verbs of ``instructor-embed``; each one imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from instructor_embedding.cli import evaluate, export, index, instructions, medi
from instructor_embedding.cli.bench import bench
from instructor_embedding.cli.bulk import bulk
from instructor_embedding.cli.cluster import cluster
from instructor_embedding.cli.doctor import doctor
from instructor_embedding.cli.encode import encode
from instructor_embedding.cli.info import info
from instructor_embedding.cli.map import map_
from instructor_embedding.cli.merge import merge
from instructor_embedding.cli.options import flag_name
from instructor_embedding.cli.quantize import quantize
from instructor_embedding.cli.serve import serve
from instructor_embedding.cli.similarity import similarity
from instructor_embedding.cli.train import train
from instructor_embedding.version import __version__

app = typer.Typer(
    name="instructor-embed",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "token_normalize_func": flag_name,
    },
)
for verb in (encode, bulk, similarity, info, bench, quantize, merge, serve, doctor, cluster):
    app.command()(verb)
app.command("map")(map_)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(export.app, name="export")
app.add_typer(index.app, name="index")
app.add_typer(instructions.app, name="instructions")
app.add_typer(medi.app, name="medi")
# the flags of `train` are those of transformers' TrainingArguments, which argparse reads
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"instructor-embed {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Text embeddings that follow an instruction."""
