"""``instructor-embed medi``: build training data from its sources, and check it."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from instructor_embedding.medi.records import Reject

app = typer.Typer(no_args_is_help=True, help="Training data: build it from its sources, check it.")

Against = Annotated[Path | None, typer.Option(help="Folder of evaluation data, none of which may be trained on.")]
Rejects = Annotated[Path | None, typer.Option(help="Set broken records aside, into this jsonl file.")]


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(help="Folder of sources, with a SOURCES.json of facts.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="json, jsonl or parquet; .gz or .zst as well.")],
    *,
    encoder: Annotated[
        str | None, typer.Option(help="Model that mines: hub id or folder; default: TF-IDF of words.")
    ] = None,
    against: Against = None,
    limit: Annotated[int | None, typer.Option(help="Relations taken of each source.")] = None,
    wordings: Annotated[int, typer.Option(help="Wordings of each instruction, 1 to 3.")] = 3,
    skip: Annotated[list[str] | None, typer.Option(help="A source or task to leave out; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Draws of --limit.")] = 0,
    rejects: Rejects = None,
) -> None:
    """Build triples of query, positive and hard negative, with instructions, from a folder of sources."""
    from instructor_embedding.medi import build as building
    from instructor_embedding.medi.contamination import Texts

    if limit is not None and limit < 3:
        raise InputError(f"--limit must be at least 3, got {limit}")
    model: Any = options.load(encoder, None, "float32") if encoder else None
    texts = Texts.of(against) if against else None
    chosen = building.Options(seed=seed, limit=limit, wordings=wordings, skip=tuple(skip or ()))
    with ExitStack() as stack:
        found = building.build(
            folder, output, encoder=model, options=chosen, against=texts, reject=_sink(rejects, stack),
            told=lambda line: typer.echo(line, err=True),
        )  # fmt: skip
    typer.echo(
        f"{found.triples} triples of {found.tasks} tasks; {found.rejected} records rejected, "
        f"{found.removed_as_evaluation_text} triples left out as evaluation text",
        err=True,
    )


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="File of triples.")],
    against: Against = None,
    rejects: Rejects = None,
    as_json: options.Json = False,
) -> None:
    """Check a file of triples; exit code 1 if something is wrong with it."""
    from instructor_embedding.medi import check as checking
    from instructor_embedding.medi.contamination import Texts

    texts = Texts.of(against) if against else None
    with ExitStack() as stack:
        found = checking.check(file, texts, _sink(rejects, stack))
    facts = {
        "triples": found.triples,
        "tasks": len(found.tasks),
        "broken": found.broken,
        "evaluation texts": found.contaminations,
        "negatives that are no negatives": found.useless,
        "instructions outside the template": found.outside,
    }
    if as_json:
        typer.echo(json.dumps(facts | {"clean": found.clean, "contaminated": found.contaminated}))
    else:
        for name, value in facts.items():
            typer.echo(f"{name:34} {value:,}")
        for place in found.contaminated[:10]:
            typer.echo(f"  holds an evaluation text: {place}")
        typer.echo("clean" if found.clean else "not clean")
    if not found.clean:
        sys.exit(1)


def _sink(path: Path | None, stack: ExitStack) -> Callable[[Reject], None] | None:
    if path is None:
        return None
    file = stack.enter_context(path.open("w", encoding="utf-8"))
    return lambda reject: print(json.dumps(reject._asdict(), ensure_ascii=False), file=file)
