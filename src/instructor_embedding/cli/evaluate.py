"""``instructor-embed evaluate``: score models on benchmarks; one verb for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.cli.evaluation_options import (
    BatchSize,
    CacheDir,
    InstructionsFrom,
    Library,
    ModelName,
    Prompt,
    ResultFile,
    load_encoder,
    load_instructions,
    load_language_model,
    scores_file,
    show,
)
from instructor_embedding.errors import InputError

app = typer.Typer(
    no_args_is_help=True, help="Score models on MTEB, Billboard and Prompt Retrieval.", rich_markup_mode=None
)

Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "-t",
        "--task_name",
        "--task",
        help="Task or benchmark of mteb, repeatable. Default: all of --data_dir, or the 56 data sets of the paper.",
    ),
]
Categories = Annotated[list[str] | None, typer.Option(help="Only tasks of this type, such as STS; repeatable.")]
TaskFolder = Annotated[
    str | None, typer.Option("--data_dir", help="A folder with one folder of files a task; no network is used.")
]
Split = Annotated[str | None, typer.Option(help="Default: what mteb evaluates.")]


@app.command()
def mteb(
    *,
    model_name: ModelName = options.DEFAULT,
    task_name: Tasks = None,
    category: Categories = None,
    data_dir: TaskFolder = None,
    split: Split = None,
    output_dir: Annotated[
        str | None, typer.Option("--output_dir", help="Where mteb's result files go, in its own layout.")
    ] = None,
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

    results = Results(scores_file(result_file, output_dir))
    chosen = load_instructions(instructions, prompt, model_name, library)
    tasks = benchmark.tasks_named(task_name or [], category or [], data_dir, split)
    encoder = load_encoder(model_name, library, device, dtype, batch_size, cache_dir)
    for task in tasks:
        scores = benchmark.evaluate(
            encoder, [task], instructions=chosen, settings=settings, output_dir=output_dir, results=results
        )
        show(scores, as_json)


@app.command()
def billboard(
    *,
    model_name: ModelName = options.DEFAULT,
    task_name: Annotated[
        list[str] | None,
        typer.Option("-t", "--task_name", "--task", help="mscoco, cnndm or wmt20-zh-en; repeatable. Default: all."),
    ] = None,
    data_dir: Annotated[
        str, typer.Option("--data_dir", help="Folder with the files, or with a folder of them a task.")
    ] = "billboard",
    fetch: Annotated[bool, typer.Option("--fetch", help="Download missing files to --data_dir, and check them.")] = (
        False
    ),
    add_prompt: Annotated[
        bool | None,
        typer.Option("--add_prompt/--no_prompt", help="With the published instructions, or without any."),
    ] = None,
    instructions: InstructionsFrom = None,
    prompt: Prompt = None,
    library: Library = "instructor",
    cache_dir: CacheDir = None,
    result_file: ResultFile = None,
    batch_size: BatchSize = 32,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    as_json: options.Json = False,
) -> None:
    """Correlate a model's cosines between generated texts and references with human scores."""
    from instructor_embedding.evaluation import billboard as benchmark
    from instructor_embedding.evaluation.score import Results

    if add_prompt is not None:
        if instructions is not None:
            raise InputError("--instructions and --add_prompt/--no_prompt say the same; give one of them")
        instructions = "published" if add_prompt else "none"
    results = Results(scores_file(result_file, None))
    chosen = load_instructions(instructions, prompt, model_name, library)
    names = list(task_name or benchmark.TASKS)
    for name in names if fetch else ():
        benchmark.fetch(name, data_dir)
    tasks = [benchmark.load(name, data_dir) for name in names]
    words = [text for task in tasks for text in task.texts]
    encoder = load_encoder(model_name, library, device, dtype, batch_size, cache_dir, lambda: words)
    for task in tasks:
        show([benchmark.evaluate(encoder, task, instructions=chosen, results=results)], as_json)


@app.command("prompt-retrieval")
def prompt_retrieval(
    *,
    model_name: ModelName = options.DEFAULT,
    data_dir: Annotated[str, typer.Option("--data_dir", help="Folder with the files of the tasks.")],
    task_name: Annotated[
        list[str] | None,
        typer.Option("-t", "--task_name", "--task", help="Repeatable. Default: every task whose files are there."),
    ] = None,
    language_model: Annotated[
        str | None,
        typer.Option(
            "--language_model",
            help="Causal model of transformers that answers, or its name on a --server. Default: none; judged is how "
            "often the most similar example has the item's answer.",
        ),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Server of OpenAI's completions, such as http://localhost:8000/v1.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="tokenizer.json that counts for the server. Default: four bytes are a token.")
    ] = None,
    context: Annotated[int | None, typer.Option(help="Tokens that the server's model reads and writes.")] = None,
    key: Annotated[str | None, typer.Option("--api_key", envvar="OPENAI_API_KEY", help="Sent to the server.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of examples and items.")] = 0,
    items: Annotated[int | None, typer.Option(min=1, help="Judge the first so many. Default: all, 256.")] = None,
    output_dir: Annotated[
        str | None, typer.Option("--output_dir", help="Keep answers here, so that an interrupted run goes on.")
    ] = None,
    instructions: InstructionsFrom = None,
    prompt: Prompt = None,
    library: Library = "instructor",
    cache_dir: CacheDir = None,
    result_file: ResultFile = None,
    batch_size: BatchSize = 32,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    as_json: options.Json = False,
) -> None:
    """Judge the examples that a model retrieves for the prompts of a language model."""
    from instructor_embedding.evaluation import prompt_retrieval as benchmark
    from instructor_embedding.evaluation import prompt_tasks
    from instructor_embedding.evaluation.score import Results

    results = Results(scores_file(result_file, output_dir))
    chosen = load_instructions(instructions, prompt, model_name, library)
    answering = load_language_model(language_model, server, tokenizer, context, key)
    names = list(task_name or prompt_tasks.names_in(Path(data_dir)))
    encoder = load_encoder(
        model_name, library, device, dtype, batch_size, cache_dir,
        lambda: prompt_tasks.texts(names, Path(data_dir), seed),
    )  # fmt: skip
    for name in names:
        score = benchmark.evaluate(
            encoder, name, data_dir, answering,
            instructions=chosen, seed=seed, items=items, output_dir=output_dir, results=results,
        )  # fmt: skip
        show([score], as_json)


@app.command()
def robustness(
    *,
    model_name: ModelName = options.DEFAULT,
    task_name: Tasks = None,
    category: Categories = None,
    data_dir: TaskFolder = None,
    split: Split = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="none, 'dataset tag', simple, detailed, 'paraphrase 1' to 5; repeatable. Default: all."),
    ] = None,
    prompt: Prompt = None,
    result_file: ResultFile = None,
    cache_dir: CacheDir = None,
    batch_size: BatchSize = 32,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    as_json: options.Json = False,
) -> None:
    """Score a model on tasks of MTEB with instructions in other words, and with less and less said."""
    from instructor_embedding.evaluation import mteb as benchmark
    from instructor_embedding.evaluation import robustness as study
    from instructor_embedding.evaluation.score import Results

    results = Results(scores_file(result_file, None))
    study.check(variant or [])
    tasks = benchmark.tasks_named(task_name or [], category or [], data_dir, split)
    encoder = load_encoder(model_name, "instructor", device, dtype, batch_size, cache_dir)
    for task in tasks:
        scores = study.evaluate(
            encoder, [task], variants=variant or study.VARIANTS, prompt=prompt or model_name, results=results
        )
        for row in study.summary(scores):
            figures = [f"{name} {value:.2f}" for name, value in row.items() if name != "task"]
            typer.echo(json.dumps(row) if as_json else f"{row['task']}: {', '.join(figures)}")
