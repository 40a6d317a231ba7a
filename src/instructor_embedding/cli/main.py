"""The command ``instructor-embed``; each verb loads what it needs when it runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from instructor_embedding.version import __version__
from instructor_embedding.cli import evaluate, export, instructions, medi
from instructor_embedding.cli.bench import bench
from instructor_embedding.cli.encode import encode
from instructor_embedding.cli.info import info
from instructor_embedding.cli.merge import merge
from instructor_embedding.cli.quantize import quantize
from instructor_embedding.cli.similarity import similarity
from instructor_embedding.cli.train import train
from instructor_embedding.errors import InputError, InstructorError

app = typer.Typer(
    name="instructor-embed",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for verb in (encode, similarity, info, bench, quantize, merge):
    app.command()(verb)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(export.app, name="export")
app.add_typer(instructions.app, name="instructions")
app.add_typer(medi.app, name="medi")
# the flags are those of a dataclass, which is loaded when it is needed
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"instructor-embed {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Text embeddings that follow an instruction."""


def main() -> None:
    """Run the command; exit code 2 for wrong usage, 1 for failure, 130 when interrupted."""
    try:
        app()
    except InstructorError as error:
        typer.echo(f"instructor-embed: {error}", err=True)
        sys.exit(2 if isinstance(error, InputError) else 1)
    except BrokenPipeError:
        # the reader of our output has gone, as `head` does; there is nobody to tell
        sys.stderr.close()
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("instructor-embed: interrupted", err=True)
        sys.exit(130)
