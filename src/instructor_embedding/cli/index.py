"""``instructor-embed index``: texts to an index, searched by meaning."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError

if TYPE_CHECKING:
    from instructor_embedding.index.index import Added, Index
    from instructor_embedding.index.rows import Row, Source
    from instructor_embedding.index.store import Match

app = typer.Typer(no_args_is_help=True, help="Search texts by meaning.", rich_markup_mode=None)

Location = Annotated[
    str, typer.Argument(metavar="INDEX", help="Folder, postgresql://HOST/DATABASE#NAME or qdrant://HOST#NAME.")
]
File = Annotated[
    str,
    typer.Argument(metavar="FILE", help="File of rows as encode reads it, Markdown, a folder of text, or - for stdin."),
]
Field = Annotated[str | None, typer.Option(help="Vectors under one instruction; default: the first, embedding.")]
DocumentInstruction = Annotated[str | None, typer.Option("-i", "--instruction", help="Of the stored texts.")]
QueryInstruction = Annotated[
    str | None, typer.Option("-q", "--query-instruction", help="Of the queries; default: that of the texts.")
]
TextColumn = Annotated[str, typer.Option(help="Column that holds the texts.")]
Id = Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="Column of the ids; default: file and line.")]
Keep = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN[:TYPE]", help="Column for filters and results: text, int, float or bool; repeat."),
]
Where = Annotated[str | None, typer.Option(help="Condition on columns: \"year >= 2019 and lang = 'en'\".")]
Passages = Annotated[
    bool, typer.Option("--passages", help="Split a text file into passages, as Markdown and folders are.")
]
Words = Annotated[int, typer.Option(help="Words of a passage.")]
Overlap = Annotated[int, typer.Option(help="Words that a passage repeats from the one before.")]
InputFormat = Annotated[str | None, typer.Option(help="Where the file's extension does not name it.")]
BatchSize = Annotated[int, typer.Option(help="One run holds at most this many times 32 tokens.")]


@app.command()
def build(
    source: File,
    *,
    output: Annotated[str, typer.Option("-o", "--output", metavar="INDEX", help="Folder or address of the new index.")],
    model: options.Model = options.DEFAULT,
    instruction: DocumentInstruction = None,
    query_instruction: QueryInstruction = None,
    store: Annotated[
        str | None, typer.Option(help="Of a folder: lancedb (default), parquet, usearch or qdrant.")
    ] = None,
    field: Field = None,
    text_column: TextColumn = "text",
    id_column: Id = None,
    keep: Keep = None,
    passages: Passages = False,
    words: Words = 120,
    overlap: Overlap = 20,
    approximate: Annotated[bool, typer.Option("--approximate", help="Make an approximate index too.")] = False,
    input_format: InputFormat = None,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    batch_size: BatchSize = 32,
    device: options.Device = None,
    precision: options.Precision = None,
    as_json: options.Json = False,
) -> None:
    """Make an index of texts; a run that was stopped resumes when the same command is given again.

    Without -i, texts and queries get the instructions for documents and questions.
    """
    options.check(precision=precision)
    from instructor_embedding.files.atomic import check_folder
    from instructor_embedding.index import models
    from instructor_embedding.index.index import FIELD, ROWS, Index
    from instructor_embedding.index.location import store_of
    from instructor_embedding.instruction import DOCUMENTS, instructions

    rows = _source(source, text_column, id_column, keep, input_format, encoding, delimiter, passages, words, overlap)
    # what is wrong with the first rows is reported before a model is loaded and an index made
    texts = rows.rows()
    first = list(islice(texts, ROWS))
    if not first:
        raise InputError(f"{'stdin' if source == '-' else source} has no texts")
    pair = instructions(DOCUMENTS if instruction is None else instruction, query_instruction)
    name = field or FIELD
    stored = store_of(output, store).read_manifest()
    if "://" not in output:
        check_folder(output)
    if stored is not None:
        _same(output, stored, name, pair, rows.columns)
    loaded = models.load(model, device=device, precision=precision, batch_size=batch_size)
    if stored is not None:
        loaded.check(stored, output)
        index = Index.open(output, loaded)
    else:
        index = Index.create(
            output,
            loaded,
            instruction=pair[0],
            query_instruction=pair[1],
            field=name,
            columns=rows.columns,
            store=store,
        )
    _fill(index, chain(first, texts), approximate, as_json)


@app.command()
def add(
    location: Location,
    source: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="More rows; leave it out to add a field.")
    ] = None,
    *,
    field: Annotated[str | None, typer.Option(help="Give all rows vectors under a further instruction.")] = None,
    instruction: DocumentInstruction = None,
    query_instruction: QueryInstruction = None,
    text_column: TextColumn = "text",
    id_column: Id = None,
    passages: Passages = False,
    words: Words = 120,
    overlap: Overlap = 20,
    input_format: InputFormat = None,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    batch_size: BatchSize = 32,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Add rows to an index, or, with --field and -i, vectors under a further instruction.

    Rows of ids that are there are replaced; unchanged ones are skipped.
    """
    index = _opened(location, None, device, batch_size=batch_size)
    if source is None:
        if field is None or instruction is None:
            raise InputError("name a FILE with rows to add, or a further field: --field NAME -i INSTRUCTION")
        start = time.perf_counter()
        with _progress() as advance:
            count = index.add_field(field, instruction, query_instruction, advance=advance)
        _report({"rows": len(index), "vectors": count}, time.perf_counter() - start, as_json)
        return
    if field is not None:
        raise InputError("--field adds vectors to all rows: give it without a FILE, after the rows are added")
    allowed = {stored.instruction for stored in index.manifest.fields.values()}
    if instruction is not None and instruction not in allowed:
        raise InputError(
            f"the vectors of {location} have the instruction {' or '.join(map(repr, sorted(allowed)))}, not "
            f"{instruction!r}; leave -i out, or add a field: instructor-embed index add {location} --field NAME "
            f"-i {instruction!r}"
        )
    keep = [f"{name}:{kind}" for name, kind in index.manifest.columns.items()]
    _check_passages(location, index.manifest.columns, source, passages)
    rows = _source(source, text_column, id_column, keep, input_format, encoding, delimiter, passages, words, overlap)
    _fill(index, rows.rows(), False, as_json)


@app.command()
def search(
    location: Location,
    query: Annotated[str, typer.Argument(help="What to search for.")],
    *,
    k: Annotated[int, typer.Option("-k", min=1, help="Results.")] = 10,
    field: Field = None,
    where: Where = None,
    approximate: Annotated[bool, typer.Option("--approximate", help="Use the approximate index.")] = False,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="Fuse with full text search by reciprocal rank.")] = False,
    instruction: Annotated[
        str | None, typer.Option("-i", "--instruction", help="Refused unless it is the index's for queries.")
    ] = None,
    model: options.ModelOption = None,
    device: options.Device = None,
    precision: options.Precision = None,
    as_json: options.Json = False,
) -> None:
    """Print the texts nearest to a query, with their scores; with --json one object per line."""
    if approximate and hybrid:
        raise InputError("--approximate and --hybrid are two modes; pass one of them")
    mode = "hybrid" if hybrid else "approximate" if approximate else "auto"
    query = options.text(query, "the query")
    with _opened(location, model, device, precision=precision) as index:
        matches = index.search(query, k, field=field, where=where, mode=mode, instruction=instruction)
    for rank, match in enumerate(matches, 1):
        typer.echo(_as_json(match) if as_json else _as_text(rank, match, hybrid))


@app.command()
def delete(
    location: Location,
    *,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Row to delete; repeat for several.")] = None,
    where: Where = None,
    as_json: options.Json = False,
) -> None:
    """Delete rows by id or by condition."""
    from instructor_embedding.index.index import Index

    with Index.open(location) as index:
        count = index.delete(ids, where)
        left = len(index)
    typer.echo(json.dumps({"deleted": count, "rows": left}) if as_json else f"{count} rows deleted, {left} left")


@app.command()
def optimize(
    location: Location,
    *,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Make an approximate index of each field.")
    ] = False,
) -> None:
    """Compact an index and bring its indexes up to date."""
    from instructor_embedding.index.index import Index

    with Index.open(location) as index:
        index.optimize(approximate)


@app.command()
def info(location: Location, *, as_json: options.Json = False) -> None:
    """Print what an index is: rows, model, instructions, columns."""
    from instructor_embedding.index.index import Index

    with Index.open(location) as index:
        facts = index.info()
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    for label, value in facts.items():
        if label == "fields":
            for name, field in value.items():
                typer.echo(f"{'field':13} {name}: {field['instruction']!r}, queries {field['query_instruction']!r}")
        else:
            shown = ", ".join(f"{name} ({kind})" for name, kind in value.items()) if label == "columns" else value
            typer.echo(f"{label:13} {shown}")


def _source(
    path: str,
    text_column: str,
    id_column: str | None,
    keep: list[str] | None,
    format: str | None,
    encoding: str | None,
    delimiter: str | None,
    passages: bool,
    words: int,
    overlap: int,
) -> Source:
    from instructor_embedding.index.rows import PASSAGE_COLUMNS, Source, payload_columns

    columns = payload_columns(keep or [])
    source = Source(
        path,
        text_column,
        id_column=id_column,
        keep={} if columns == PASSAGE_COLUMNS else columns,
        format=format,
        encoding=encoding,
        delimiter=delimiter,
        passages=passages,
        words=words,
        overlap=overlap,
    )
    source.check()
    return source


def _check_passages(location: str, columns: Mapping[str, str], source: str, passages: bool) -> None:
    """Raise InputError if passages are added to an index of rows."""
    from instructor_embedding.index.rows import PASSAGE_COLUMNS, Source

    if Source(source, passages=passages).is_documents and dict(columns) != PASSAGE_COLUMNS:
        raise InputError(
            f"{source} is split into passages with the columns {', '.join(PASSAGE_COLUMNS)}, and {location} has "
            f"{', '.join(columns) or 'none'}; build another index: instructor-embed index build {source} -o NEW"
        )


def _same(location: str, manifest: Any, field: str, pair: tuple[str, str], columns: dict[str, str]) -> None:
    """Raise InputError if an index was not built by the same command."""
    stored = manifest.fields.get(field)
    if stored is None or (stored.instruction, stored.query_instruction) != pair:
        shown = ", ".join(f"{name}: {stored_field.instruction!r}" for name, stored_field in manifest.fields.items())
        raise InputError(
            f"{location} is an index already, with the fields {shown}; to add {pair[0]!r}: instructor-embed index add "
            f"{location} --field NAME -i {pair[0]!r}; or name another location"
        )
    if dict(manifest.columns) != columns:
        raise InputError(
            f"{location} is an index already, with the columns {', '.join(manifest.columns) or 'none'}, not "
            f"{', '.join(columns) or 'none'}; give the same --keep, or name another location"
        )


def _opened(
    location: str, model: str | None, device: str | None, precision: str | None = None, batch_size: int = 32
) -> Index:
    """Open an index with its own model, or with another copy of it."""
    options.check(precision=precision)
    from instructor_embedding.index import models
    from instructor_embedding.index.index import Index

    index = Index.open(location)
    settings: dict[str, Any] = {
        "device": device,
        "precision": precision or index.manifest.precision,
        "batch_size": batch_size,
    }
    if model is not None:
        loaded = models.load(model, **settings)
        loaded.check(index.manifest, location)
    else:
        loaded = models.load_for(index.manifest, location, **settings)
    return Index(index.store, index.manifest, loaded)


def _fill(index: Index, rows: Iterable[Row], approximate: bool, as_json: bool) -> None:
    start = time.perf_counter()
    with index:
        with _progress() as advance:
            added = index.add(rows, advance=advance)
        index.optimize(approximate)
        _report(_counts(index, added), time.perf_counter() - start, as_json)


def _counts(index: Index, added: Added) -> dict[str, int]:
    return {"rows": len(index), **added._asdict()}


@contextmanager
def _progress() -> Iterator[Callable[[int], object]]:
    from tqdm import tqdm

    with tqdm(unit=" texts", file=sys.stderr, disable=None, leave=False) as bar:
        yield bar.update


def _report(counts: dict[str, int], seconds: float, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**counts, "seconds": round(seconds, 3)}))
        return
    typer.echo(", ".join(f"{value} {name}" for name, value in counts.items()) + f", {seconds:.1f} s", err=True)


def _as_json(match: Match) -> str:
    facts = {"id": match.id, "score": round(match.score, 6), "text": match.text, **match.payload}
    return json.dumps(facts, ensure_ascii=False)


def _as_text(rank: int, match: Match, hybrid: bool) -> str:
    text = " ".join(match.text.split())
    shown = text if len(text) <= 160 else text[:159] + "…"
    extra = "  ".join(f"{name}={value}" for name, value in match.payload.items() if value is not None)
    score = f"{match.score:.4f}" if hybrid else f"{match.score:.3f}"
    return f"{rank:3}  {score}  {shown}\n     {match.id}{'  ' + extra if extra else ''}"
