"""``instructor-embed evaluate``: score models on benchmarks; one verb for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from instructor_embedding.cli import options

if TYPE_CHECKING:
    from instructor_embedding.evaluation.encoder import Encoder
    from instructor_embedding.evaluation.instructions import Instructions
    from instructor_embedding.evaluation.score import Score

app = typer.Typer(
    no_args_is_help=True, help="Score models on MTEB, Billboard and Prompt Retrieval.", rich_markup_mode=None
)

ModelName = Annotated[str, typer.Option("-m", "--model_name", "--model", help="Hub id or folder of the model.")]
Library = Annotated[str, typer.Option(help="What loads the model: instructor or sentence-transformers.")]
InstructionsFrom = Annotated[
    str | None,
    typer.Option(
        help="published, default (by task type), none, or a json file of a table. Default: published; with "
        "--library sentence-transformers, none."
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(help="Whose published instructions: a hub id. Default: the model's, or instructor-large's."),
]
BatchSize = Annotated[int, typer.Option("--batch_size", help="Passed on to the model.")]
CacheDir = Annotated[
    str | None, typer.Option("--cache_dir", help="Keep vectors here, so that an interrupted run goes on where it was.")
]
OutputDir = Annotated[str | None, typer.Option("--output_dir", help="Where mteb's result files go, in its own layout.")]
ResultFile = Annotated[
    str | None,
    typer.Option("--result_file", help="Json lines the scores are added to; what is in it already is not run again."),
]


@app.command()
def mteb(
    *,
    model_name: ModelName,
    task_name: Annotated[
        list[str] | None,
        typer.Option(
            "-t",
            "--task_name",
            "--task",
            help="Task or benchmark of mteb, repeatable. Default: all of --data_dir, or the 56 data sets of the paper.",
        ),
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only tasks of this type, such as STS; repeatable.")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data_dir", help="A folder with one folder of files a task; no network is used.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Default: what mteb evaluates.")] = None,
    output_dir: OutputDir = None,
    result_file: ResultFile = None,
    instructions: InstructionsFrom = None,
    prompt: Prompt = None,
    settings: Annotated[
        str,
        typer.Option(
            help="instructed: every text with its instruction; original, original-2023: as the original's code."
        ),
    ] = "instructed",
    library: Library = "instructor",
    cache_dir: CacheDir = None,
    batch_size: BatchSize = 32,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    as_json: options.Json = False,
) -> None:
    """Score a model on tasks of MTEB, from the hub or from a folder."""
    from instructor_embedding.evaluation import mteb as benchmark
    from instructor_embedding.evaluation.score import Results

    tasks = benchmark.tasks_named(task_name or [], category or [], data_dir, split)
    encoder = load_encoder(model_name, library, device, dtype, batch_size, cache_dir)
    chosen = load_instructions(instructions, prompt or model_name, library)
    results = Results(scores_file(result_file, output_dir))
    for task in tasks:
        scores = benchmark.evaluate(
            encoder, [task], instructions=chosen, settings=settings, output_dir=output_dir, results=results
        )
        show(scores, as_json)


def load_encoder(
    model_name: str, library: str, device: str | None, dtype: str, batch_size: int, cache_dir: str | None
) -> Encoder:
    """Load the model that the options name."""
    from instructor_embedding.evaluation.encoder import Encoder, load
    from instructor_embedding.evaluation.vectors import VectorCache

    cache = VectorCache(cache_dir) if cache_dir else None
    model = load(model_name, library, device, dtype)
    return Encoder(model, model_name, batch_size=batch_size, cache=cache, progress=True)


def load_instructions(source: str | None, model: str, library: str) -> Instructions:
    """Return the instructions that the options name."""
    from instructor_embedding.evaluation.instructions import Instructions

    return Instructions(source or ("published" if library == "instructor" else "none"), model)


def scores_file(result_file: str | None, output_dir: str | None) -> str | None:
    """Return where scores are kept: the file named, which may lack its ending, or one in the folder of results."""
    if result_file:
        return result_file if Path(result_file).suffix else f"{result_file}.jsonl"
    return str(Path(output_dir) / "scores.jsonl") if output_dir else None


def show(scores: list[Score], as_json: bool) -> None:
    """Print scores, one a line."""
    from dataclasses import asdict

    for score in scores:
        typer.echo(json.dumps(asdict(score), ensure_ascii=False, default=str) if as_json else str(score))
