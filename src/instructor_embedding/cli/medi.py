"""``instructor-embed medi``: build training data from its sources, inspect and check it."""

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
    from collections.abc import Callable, Iterable, Iterator

    from instructor_embedding.files.records import Reject
    from instructor_embedding.medi.build import Progress
    from instructor_embedding.medi.config import Config, Selection
    from instructor_embedding.medi.summary import Summary
    from instructor_embedding.medi.wording import Facts

app = typer.Typer(no_args_is_help=True, help="Training data: build it from its sources, inspect it, check it.")

Against = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of evaluation data that must not be trained on; may be repeated."),
]
Rejects = Annotated[Path | None, typer.Option(help="Write invalid records into this jsonl file instead of stopping.")]
Miner = "bm25, hub id or folder, or sentence-transformers:NAME; default: bm25."


@app.command()
def build(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="toml file of a build, a folder with a SOURCES.json, or data as train reads it: "
            "files, folders, globs, saved datasets, ids of the hub."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="json, jsonl or parquet; .gz or .zst as well; - is stdout.")
    ] = None,
    *,
    encoder: Annotated[str | None, typer.Option(help=f"Mines hard negatives: {Miner}")] = None,
    against: Against = None,
    limit: Annotated[int | None, typer.Option(help="Relations taken of each source.")] = None,
    wordings: Annotated[int | None, typer.Option(help="Wordings of each instruction, 1 to 3; default: 3.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="A source or task to leave out; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the draw of --limit; default: 0.")] = None,
    text_type: Annotated[
        list[str] | None,
        typer.Option(help="Of files: what the texts are, such as question; given twice for query and positive."),
    ] = None,
    domain: Annotated[str, typer.Option(help="Of files: subject or origin of the texts.")] = "",
    objective: Annotated[str, typer.Option(help="Of files: what the texts are represented for.")] = "",
    kind: Annotated[str | None, typer.Option(help="Of files: how the two texts are related; default: by type.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(help="Of files: what a column holds, as query=title; may be repeated.")
    ] = None,
    rejects: Rejects = None,
) -> None:
    """Build triples of query, positive and hard negative, with instructions; options replace fields of the toml file.

    The same command resumes a build that was stopped.
    """
    from instructor_embedding.medi.build import build as built
    from instructor_embedding.medi.config import with_options

    config = _config(sources, output, _facts(text_type or [], domain, objective, kind), kind, tuple(columns or ()))
    replaced: dict[str, Any] = {"output": output, "encoder": encoder, "wordings": wordings, "seed": seed}
    replaced["against"] = tuple(against) if against else None
    config = with_options(config, limit, tuple(skip or ()), **replaced)
    with ExitStack() as stack:
        manifest = built(config, reject=_sink(rejects, stack), progress=_progress(stack))
    left_out = sum(manifest.evaluation.values())
    typer.echo(
        f"{manifest.triples} triples of {len(manifest.tasks)} tasks; {manifest.rejected} records rejected, "
        f"{left_out} relations left out as evaluation text",
        err=True,
    )


@app.command()
def mine(
    file: Annotated[Path, typer.Argument(help="File of triples.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="As in build.")],
    *,
    encoder: Annotated[str, typer.Option(help=f"The model of the first round: {Miner}")] = "bm25",
    same: Annotated[float, typer.Option(help="Reject negatives whose cosine to the positive is above this.")] = 0.9,
    guard: Annotated[
        float, typer.Option(help="Reject negatives whose score is above this share of the positive's.")
    ] = 0.95,
    pool: Annotated[int, typer.Option(help="Triples of a task among which negatives are searched.")] = 50_000,
) -> None:
    """Mine hard negatives again, with the model that is being trained; nothing else in the file changes."""
    from tqdm import tqdm

    from instructor_embedding.files.records import check_output
    from instructor_embedding.medi import encoders
    from instructor_embedding.medi.remine import remine

    check_output(output)
    with tqdm(unit="triple", unit_scale=True, disable=None, leave=False) as bar:
        counts = remine(file, output, encoders.load(encoder), same=same, guard=guard, pool=pool, progress=bar.update)
    typer.echo(
        f"{counts.triples} triples, {counts.changed} with another negative, {counts.without_candidate} without a "
        f"candidate, {counts.by_label} mined by label or output and left unchanged",
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
    """Summarize a file of triples: counts, lengths, instructions, duplicates, examples."""
    from instructor_embedding.files import picture
    from instructor_embedding.medi import summary

    if plot is not None:
        picture.check(plot)
    statistics = summary.summarize(file, _watched)
    if plot is not None:
        summary.plot(statistics, plot)
    if as_json:
        typer.echo(json.dumps(statistics.as_dict(), ensure_ascii=False))
    else:
        _show(statistics, examples)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="File of triples.")],
    against: Against = None,
    rejects: Rejects = None,
    as_json: options.Json = False,
) -> None:
    """Check a file of triples; the exit code is 1 if it has a problem."""
    from instructor_embedding.medi import check as checking
    from instructor_embedding.medi.contamination import Texts

    texts = Texts.of(against) if against else None
    with ExitStack() as stack:
        findings = checking.check(file, texts, _sink(rejects, stack), _watched)
    facts = {
        "triples": findings.triples,
        "tasks": len(findings.tasks),
        "invalid records": findings.invalid,
        "evaluation texts": sum(findings.evaluation.values()),
        "sides that are equal": findings.degenerate,
        "instructions outside the template": findings.outside_template,
    }
    if as_json:
        more = {"clean": findings.clean, "contaminated": findings.contaminated, "evaluation sets": findings.evaluation}
        typer.echo(json.dumps(facts | more))
    else:
        for name, value in facts.items():
            typer.echo(f"{name:34} {value:,}")
        for line in findings.contaminated[:10]:
            typer.echo(f"  {line}")
        typer.echo("clean" if findings.clean else "not clean")
    if not findings.clean:
        sys.exit(1)


def _config(
    names: list[str], output: Path | None, facts: Facts | None, kind: str | None, columns: tuple[str, ...]
) -> Config:
    from instructor_embedding.files.named_data import is_saved
    from instructor_embedding.medi.config import Config, Selection, read_config

    if len(names) == 1 and names[0].endswith(".toml"):
        return read_config(Path(names[0]))
    if output is None:
        raise InputError(f"-o is missing: {names[0]} is not a toml file, so name the file of triples to write")
    # with facts a folder is one of files that share them, else one of sources that a SOURCES.json describes
    homes = [name for name in names if facts is None and Path(name).is_dir() and not is_saved(Path(name))]
    others = [name for name in names if name not in homes]
    selections = [Selection(Path(home)) for home in homes]
    return Config((*selections, *(_selections(others, facts, kind, columns) if others else ())), output)


def _selections(
    names: list[str], facts: Facts | None, kind: str | None, columns: tuple[str, ...]
) -> Iterator[Selection]:
    """Yield a selection for each file and saved dataset that the names stand for."""
    from instructor_embedding.files.named_data import sources
    from instructor_embedding.medi.catalog import Entry
    from instructor_embedding.medi.config import Selection
    from instructor_embedding.medi.forms import columns_of
    from instructor_embedding.medi.source import keys_of

    meaning = columns_of(columns)
    for source in sources(names, setting="sources"):
        path, own = Path(source.path), facts
        if facts is not None and kind is None:
            keys = {meaning.get(key, key) for key in keys_of(path)}
            own = facts._replace(kind="label") if keys & {"label", "label_text"} else facts
        yield Selection(path, entry=Entry(facts=own, columns=columns, name=source.task))


def _facts(text_types: list[str], domain: str, objective: str, kind: str | None) -> Facts | None:
    """Return the facts that the options state; None where they state none."""
    from instructor_embedding.errors import choose
    from instructor_embedding.medi.wording import KINDS, Facts

    if not text_types:
        if domain or objective or kind:
            raise InputError("--text-type is missing; write, for example, --text-type question --text-type answer")
        return None
    if len(text_types) > 2:
        raise InputError(f"--text-type is given {len(text_types)} times; give it once, or twice for query and positive")
    query, pos = text_types[0], text_types[-1]
    usual = "paraphrase or entailment" if query == pos else "question answering"
    return Facts(domain, query, pos, choose("kind", kind or usual, KINDS), objective)


def _show(summary: Summary, examples: int) -> None:
    typer.echo(
        f"{summary.triples:,} triples of {len(summary.tasks):,} tasks, {len(summary.instructions):,} instructions"
    )
    duplicates, repeated = summary.duplicate_triples, summary.repeated_queries
    typer.echo(f"{duplicates:,} triples are duplicates, {repeated:,} queries repeat one of their task")
    typer.echo("\nwords  " + "".join(f"{f'<= {2**n}':>10}" for n in range(0, 14, 2)) + f"{'more':>10}")
    for side, counts in summary.lengths.items():
        paired = [sum(counts[max(0, edge - 1) : edge + 1]) for edge in range(0, 14, 2)]
        typer.echo(f"{side:7}" + "".join(f"{count:>10,}" for count in [*paired, sum(counts[13:])]))
    typer.echo("\ninstructions")
    for instruction, count in summary.instructions.most_common(10):
        typer.echo(f"{count:>10,}  {instruction or '(none)'}")
    largest = sorted(summary.tasks.items(), key=lambda item: -item[1].triples)
    typer.echo("\ntasks          mean words of query, pos, neg")
    for name, task in largest[:10]:
        means = "".join(f"{words / task.triples:>8.1f}" for words in task.words.values())
        typer.echo(f"{task.triples:>10,}  {means}  {name}")
    for name, task in largest[:examples]:
        typer.echo(f"\n{name}")
        for side in summary.lengths:
            instruction, text = task.example[side]
            shown = " ".join(text.split())
            typer.echo(f"  {side:6} [{instruction}] {shown if len(shown) < 160 else shown[:157] + '...'}")


def _progress(stack: ExitStack) -> Callable[[Progress], None]:
    """Return what shows the progress of a build on stderr: a bar, and a line for each source."""
    from tqdm import tqdm

    bar: Any = stack.enter_context(tqdm(unit="source", disable=None, leave=False))

    def show(step: Progress) -> None:
        bar.total = step.total
        done = "resumed" if step.resumed else f"{step.seconds:.1f} s"
        tasks = f" of {step.tasks} tasks" if step.tasks > 1 else ""
        assumed = f" (not in SOURCES.json: {step.assumed})" if step.assumed else ""
        line = f"{step.done}/{step.total} {step.name}: {step.triples} triples{tasks}, {done}{assumed}"
        bar.write(line, file=sys.stderr)
        bar.update()

    return show


def _watched(triples: Iterable[Any]) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(triples, unit="triple", unit_scale=True, disable=None, leave=False)
    return bar


def _sink(path: Path | None, stack: ExitStack) -> Callable[[Reject], None] | None:
    if path is None:
        return None
    file = stack.enter_context(path.open("w", encoding="utf-8"))
    return lambda reject: print(json.dumps(reject._asdict(), ensure_ascii=False), file=file)
