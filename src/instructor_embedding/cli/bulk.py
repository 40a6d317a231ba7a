"""``instructor-embed bulk``: corpora of any size to shards of vectors, resumed after any stop."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError, choose

if TYPE_CHECKING:
    from instructor_embedding.bulk.run import Progress, Request

STORAGE = ("float32", "float16", "int8", "binary")


def bulk(
    names: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Files, folders, patterns and URLs; with --verify a FOLDER.")
    ],
    *,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FOLDER", help="Folder or URL to fill.")
    ] = None,
    model: options.Model = options.DEFAULT,
    instruction: Annotated[
        str | None,
        typer.Option("-i", "--instruction", help="Of rows without their own; default: the one for documents."),
    ] = None,
    query_instruction: Annotated[
        str | None, typer.Option("-q", "--query-instruction", help="Of the queries; default: that of the rows.")
    ] = None,
    text_column: Annotated[str, typer.Option(help="Column of the texts.")] = "text",
    instruction_column: Annotated[
        str | None, typer.Option(help="Column of the instructions; default: instruction, if there is such a column.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Column of the ids; default: file and line.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN[:TYPE]", help="Column to store: text, int, float or bool; repeat."),
    ] = None,
    vectors: Annotated[str, typer.Option(help="How vectors are stored: float32, float16, int8 or binary.")] = "float32",
    shard_rows: Annotated[
        int, typer.Option(min=1, help="Rows per shard: what a stop loses, and what a worker has in memory.")
    ] = 16384,
    workers: Annotated[int, typer.Option(min=1, help="Processes; of a cluster, actors.")] = 1,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on a Ray cluster: auto, local or HOST:PORT.")
    ] = None,
    cpus: Annotated[float, typer.Option(min=0, help="CPUs per actor, with --ray; fractions too.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs per actor, with --ray; fractions too.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print rows, tokens, time and bytes; write nothing.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check a finished FOLDER; exit code 1 on any doubt.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier job left in the folder.")] = False,
    input_format: Annotated[str | None, typer.Option(help="Default: by the extension.")] = None,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    batch_size: Annotated[int, typer.Option(help="Memory: one run has at most this many times 32 tokens.")] = 32,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    backend: options.Backend = "torch",
    precision: options.Precision = None,
    as_json: options.Json = False,
) -> None:
    """Embed corpora of any size into a folder of parquet shards, which index search reads.

    A run that was stopped resumes when the same command is given again. Rows that cannot be embedded are listed in
    rejects.jsonl.
    """
    if verify:
        _verify(names, as_json)
        return
    options.check(dtype=dtype, backend=backend, precision=precision, batch_size=batch_size)
    choose("--vectors", vectors, STORAGE)
    if output is None and not dry_run:
        raise InputError("the folder to fill is missing: -o FOLDER")
    from instructor_embedding.bulk.pool import ModelSettings
    from instructor_embedding.bulk.run import Request
    from instructor_embedding.files.payload import payload_columns

    request = Request(
        names,
        output or "",
        ModelSettings(model, device, dtype, backend, precision, None, batch_size),
        instruction,
        query_instruction,
        text_column,
        instruction_column,
        id_column,
        payload_columns(keep or []),
        input_format,
        encoding,
        delimiter,
        vectors,
        shard_rows,
        workers,
        fresh,
    )
    if dry_run:
        _estimate(request, as_json)
    else:
        _run(request, ray, cpus, gpus, as_json)


def _run(request: Request, ray: str | None, cpus: float, gpus: float, as_json: bool) -> None:
    from instructor_embedding.bulk.run import run

    with _Bar() as bar:
        if ray is None:
            summary = run(request, bar.progress())
        else:
            from instructor_embedding.bulk import on_ray

            summary = on_ray.run(request, bar.progress(), ray, cpus, gpus)
    facts = asdict(summary)
    facts["seconds"] = round(summary.seconds, 3)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    resumed = f", {summary.resumed} of them resumed" if summary.resumed else ""
    rejected = f" (see {request.folder.rstrip('/')}/rejects.jsonl)" if summary.rejected else ""
    typer.echo(
        f"{summary.rows} rows, {summary.rejected} rejected{rejected}, {summary.tokens} tokens, {summary.truncated} "
        f"truncated, {summary.shards} shards{resumed}, {summary.seconds:.1f} s",
        err=True,
    )


def _verify(names: list[str], as_json: bool) -> None:
    from tqdm import tqdm

    from instructor_embedding.bulk.verify import verify

    if len(names) > 1:
        raise InputError(f"--verify checks one folder, and {len(names)} are named")
    with tqdm(unit=" rows", desc="verify", file=sys.stderr, disable=None, leave=False) as bar:
        rows, problems = verify(names[0], bar.update)
    if as_json:
        typer.echo(json.dumps({"rows": rows, "problems": problems}, ensure_ascii=False))
    else:
        for problem in problems:
            typer.echo(problem, err=True)
        typer.echo(f"{rows} rows, {len(problems) or 'no'} problems", err=True)
    if problems:
        raise typer.Exit(1)


def _estimate(request: Request, as_json: bool) -> None:
    from instructor_embedding.bulk.estimate import estimated

    estimate = estimated(request)
    if as_json:
        typer.echo(json.dumps(estimate._asdict()))
        return
    typer.echo(
        f"{estimate.files} files, {estimate.rows} rows, about {estimate.tokens} tokens, {estimate.truncated} texts "
        f"truncated\n{_duration(estimate.seconds)} in one process here, {estimate.bytes / 2**20:.1f} MiB in "
        f"{estimate.shards} shards; from {estimate.sample} rows"
    )


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


class _Bar:
    """A progress bar on a terminal: rows, tokens per second and the time left, which tqdm adds."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._bar = tqdm(unit=" texts", desc="bulk", file=sys.stderr, disable=None, leave=False, smoothing=0.05)
        self._tokens, self._start = 0, 0.0

    def progress(self) -> Progress:
        """Return the functions that a job reports to."""
        from instructor_embedding.bulk.run import Progress

        return Progress(self._hashed, self._began, self._advance, self._notice)

    def _hashed(self, done: int, total: int) -> None:
        self._bar.set_postfix_str(f"reading {100 * done // max(1, total)} %")

    def _began(self, rows: int, done: int) -> None:
        self._bar.reset(rows)
        self._bar.initial = self._bar.n = done
        self._start = time.perf_counter()

    def _advance(self, rows: int, tokens: int) -> None:
        self._tokens += tokens
        speed = self._tokens / max(1e-9, time.perf_counter() - self._start)
        self._bar.set_postfix_str(f"{speed:.0f} tokens/s", refresh=False)
        self._bar.update(rows)

    def _notice(self, line: str) -> None:
        typer.echo(f"instructor-embed: {line}", err=True)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
