"""``instructor-embed medi``: build training data from its sources, look at it and check it."""

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
    from collections.abc import Callable, Iterable

    from instructor_embedding.files.records import Reject
    from instructor_embedding.medi.build import Step
    from instructor_embedding.medi.config import Config
    from instructor_embedding.medi.summary import Summary

app = typer.Typer(no_args_is_help=True, help="Training data: build it from its sources, look at it, check it.")

Against = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of evaluation data, none of which may be trained on; may be repeated."),
]
Rejects = Annotated[Path | None, typer.Option(help="Set broken records aside, into this jsonl file.")]


@app.command()
def build(
    config: Annotated[Path, typer.Argument(help="toml file of a build, or a folder of sources.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="json, jsonl or parquet; .gz or .zst as well; - is stdout.")
    ] = None,
    *,
    encoder: Annotated[
        str | None, typer.Option(help="Mines: bm25, hub id or folder, or sentence-transformers:NAME; default: bm25.")
    ] = None,
    against: Against = None,
    limit: Annotated[int | None, typer.Option(help="Relations taken of each source.")] = None,
    wordings: Annotated[int | None, typer.Option(help="Wordings of each instruction, 1 to 3; default: 3.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="A source or task to leave out; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Draws of --limit; default: 0.")] = None,
    rejects: Rejects = None,
) -> None:
    """Build triples of query, positive and hard negative, with instructions; options go before those of the file.

    A build that was stopped goes on where it was when the same command is given again.
    """
    from instructor_embedding.medi.build import build as built
    from instructor_embedding.medi.config import with_options

    given: dict[str, Any] = {"output": output, "encoder": encoder, "wordings": wordings, "seed": seed}
    given["against"] = tuple(against) if against else None
    chosen = with_options(_config(config, output), limit, tuple(skip or ()), **given)
    with ExitStack() as stack:
        found = built(chosen, reject=_sink(rejects, stack), told=_told(stack))
    left_out = sum(found.evaluation.values())
    typer.echo(
        f"{found.triples} triples of {len(found.tasks)} tasks; {found.rejected} records rejected, "
        f"{left_out} relations left out as evaluation text",
        err=True,
    )


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="File of triples.")],
    *,
    examples: Annotated[int, typer.Option(help="Tasks of which an example is shown, the largest first.")] = 3,
    plot: Annotated[Path | None, typer.Option(help="Draw tasks and lengths into this picture.")] = None,
    as_json: options.Json = False,
) -> None:
    """Show what a file of triples holds: counts, lengths, instructions, duplicates, examples."""
    from instructor_embedding.medi import summary

    found = summary.summarize(file, _watched)
    if plot is not None:
        summary.plot(found, plot)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False))
    else:
        _show(found, examples)


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
        found = checking.check(file, texts, _sink(rejects, stack), _watched)
    facts = {
        "triples": found.triples,
        "tasks": len(found.tasks),
        "broken": found.broken,
        "evaluation texts": sum(found.evaluation.values()),
        "sides that are equal": found.useless,
        "instructions outside the template": found.outside,
    }
    if as_json:
        more = {"clean": found.clean, "contaminated": found.contaminated, "evaluation sets": found.evaluation}
        typer.echo(json.dumps(facts | more))
    else:
        for name, value in facts.items():
            typer.echo(f"{name:34} {value:,}")
        for place in found.contaminated[:10]:
            typer.echo(f"  {place}")
        typer.echo("clean" if found.clean else "not clean")
    if not found.clean:
        sys.exit(1)


def _config(path: Path, output: Path | None) -> Config:
    from instructor_embedding.medi.config import Config, Selection, read_config

    if not path.is_dir():
        return read_config(path)
    if output is None:
        raise InputError(f"-o is missing: {path} is a folder of sources, so say where the triples go")
    return Config((Selection(path),), output)


def _show(found: Summary, examples: int) -> None:
    typer.echo(f"{found.triples:,} triples of {len(found.tasks):,} tasks, {len(found.instructions):,} instructions")
    typer.echo(f"{found.duplicate_triples:,} triples came before, {found.repeated_queries:,} queries in their task")
    typer.echo("\nwords  " + "".join(f"{f'<= {2**n}':>10}" for n in range(0, 14, 2)) + f"{'more':>10}")
    for side, counts in found.lengths.items():
        paired = [sum(counts[max(0, place - 1) : place + 1]) for place in range(0, 14, 2)]
        typer.echo(f"{side:7}" + "".join(f"{count:>10,}" for count in [*paired, sum(counts[13:])]))
    typer.echo("\ninstructions")
    for instruction, count in found.instructions.most_common(10):
        typer.echo(f"{count:>10,}  {instruction or '(none)'}")
    largest = sorted(found.tasks.items(), key=lambda item: -item[1].triples)
    typer.echo("\ntasks          mean words of query, pos, neg")
    for name, task in largest[:10]:
        means = "".join(f"{words / task.triples:>8.1f}" for words in task.words.values())
        typer.echo(f"{task.triples:>10,}  {means}  {name}")
    for name, task in largest[:examples]:
        typer.echo(f"\n{name}")
        for side in found.lengths:
            instruction, text = task.example[side]
            shown = " ".join(text.split())
            typer.echo(f"  {side:6} [{instruction}] {shown if len(shown) < 160 else shown[:157] + '...'}")


def _told(stack: ExitStack) -> Callable[[Step], None]:
    """Return what shows the steps of a build on stderr: a bar, and a line for each source."""
    from tqdm import tqdm

    bar: Any = stack.enter_context(tqdm(unit="source", disable=None, leave=False))

    def told(step: Step) -> None:
        bar.total = step.total
        done = "kept from before" if step.kept else f"{step.seconds:.1f} s"
        tasks = f" of {step.tasks} tasks" if step.tasks > 1 else ""
        bar.write(f"{step.done}/{step.total} {step.name}: {step.triples} triples{tasks}, {done}", file=sys.stderr)
        bar.update()

    return told


def _watched(triples: Iterable[Any]) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(triples, unit="triple", unit_scale=True, disable=None, leave=False)
    return bar


def _sink(path: Path | None, stack: ExitStack) -> Callable[[Reject], None] | None:
    if path is None:
        return None
    file = stack.enter_context(path.open("w", encoding="utf-8"))
    return lambda reject: print(json.dumps(reject._asdict(), ensure_ascii=False), file=file)
