"""``instructor-embed evaluate``: score models on benchmarks; one verb for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from instructor_embedding.cli import options
from instructor_embedding.cli.evaluation_options import (
    BASELINE,
    InstructionOptions,
    LanguageModelOptions,
    ModelOptions,
    ResultOptions,
    TaskOptions,
    grouped,
    spelling,
)
from instructor_embedding.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    help="Score models on MTEB, Billboard, Prompt Retrieval and instruction following, and report the scores.",
    rich_markup_mode=None,
    context_settings={"token_normalize_func": spelling},
)


@app.command()
@grouped
def mteb(
    model: ModelOptions,
    tasks: TaskOptions,
    instructions: InstructionOptions,
    results: ResultOptions,
    *,
    output_dir: Annotated[str | None, typer.Option(help="Where mteb's result files go, in its own layout.")] = None,
    settings: Annotated[
        str,
        typer.Option(
            help="instructed: every text with its instruction; original, original-2023: as the original's code."
        ),
    ] = "instructed",
    query_instructions: Annotated[
        str,
        typer.Option(
            help="Where the instruction that a query brings along goes: instruction (after the task's), "
            "text (after the query, as mteb does), none."
        ),
    ] = "instruction",
) -> None:
    """Score a model on tasks of MTEB, from the hub or from a folder."""
    from dataclasses import replace

    from instructor_embedding.errors import choose
    from instructor_embedding.evaluation.mteb import evaluate
    from instructor_embedding.evaluation.mteb.instructed import QUERY_INSTRUCTIONS, SETTINGS
    from instructor_embedding.evaluation.mteb.run import verify
    from instructor_embedding.evaluation.mteb.texts import texts_of

    choose("query_instructions", query_instructions, QUERY_INSTRUCTIONS)
    how = replace(SETTINGS[choose("settings", settings, SETTINGS)], query_instructions=query_instructions)
    scores, chosen = results.open(output_dir), instructions.choose(model)
    loaded = tasks.load()
    verify(chosen, loaded)
    learns = model.library == BASELINE and model.model == "tf-idf"
    encoder = None if learns else model.load()
    for task in loaded:
        # TF-IDF learns the words of each task
        used = encoder or model.load(lambda task=task: texts_of(task))  # type: ignore[misc]
        results.show(evaluate(used, [task], instructions=chosen, settings=how, output_dir=output_dir, results=scores))


@app.command()
@grouped
def billboard(
    model: ModelOptions,
    instructions: InstructionOptions,
    results: ResultOptions,
    *,
    task: Annotated[
        list[str] | None,
        typer.Option("-t", "--task", help="mscoco, cnndm or wmt20-zh-en; repeatable. Default: all."),
    ] = None,
    data_dir: Annotated[str, typer.Option(help="Folder with the files, or with one folder of them per task.")] = (
        "billboard"
    ),
    fetch: Annotated[bool, typer.Option("--fetch", help="Download missing files to --data-dir, and check them.")] = (
        False
    ),
    add_prompt: Annotated[
        bool | None,
        typer.Option("--add-prompt/--no-prompt", help="With the published instructions, or without any."),
    ] = None,
) -> None:
    """Correlate a model's cosines between generated texts and references with human scores."""
    from instructor_embedding.evaluation import billboard as benchmark

    if add_prompt is not None:
        if instructions.instructions is not None:
            raise InputError("--instructions and --add-prompt/--no-prompt set the same thing; give one of them")
        instructions = InstructionOptions("published" if add_prompt else "none", instructions.prompt)
    scores, chosen = results.open(), instructions.choose(model)
    names = list(task or benchmark.TASKS)
    chosen.verify(names)
    for name in names if fetch else ():
        benchmark.fetch(name, data_dir)
    loaded = [benchmark.load(name, data_dir) for name in names]
    encoder = model.load(lambda: [text for data in loaded for text in data.texts])
    for data in loaded:
        results.show([benchmark.evaluate(encoder, data, instructions=chosen, results=scores)])


@app.command("prompt-retrieval")
@grouped
def prompt_retrieval(
    model: ModelOptions,
    instructions: InstructionOptions,
    language_model: LanguageModelOptions,
    results: ResultOptions,
    *,
    data_dir: Annotated[str, typer.Option(help="Folder with the files of the tasks.")],
    task: Annotated[
        list[str] | None,
        typer.Option("-t", "--task", help="Repeatable. Default: every task whose files are there."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of examples and items.")] = 0,
    items: Annotated[int | None, typer.Option(min=1, help="Judge this many, the first ones. Default: all, 256.")] = (
        None
    ),
    output_dir: Annotated[
        str | None, typer.Option(help="Store answers in this folder, so that an interrupted run resumes.")
    ] = None,
) -> None:
    """Judge the examples that a model retrieves for the prompts of a language model."""
    from instructor_embedding.evaluation.prompt_retrieval import evaluate
    from instructor_embedding.evaluation.prompt_retrieval import tasks as known

    scores, chosen = results.open(output_dir), instructions.choose(model)
    answering = language_model.load()
    names = list(task or known.names_in(Path(data_dir)))
    chosen.verify([*names, *known.TASKS])
    encoder = model.load(lambda: known.texts(names, Path(data_dir), seed))
    for name in names:
        score = evaluate(
            encoder, name, data_dir, answering,
            instructions=chosen, seed=seed, items=items, output_dir=output_dir, results=scores,
        )  # fmt: skip
        results.show([score])


@app.command()
@grouped
def robustness(
    model: ModelOptions,
    tasks: TaskOptions,
    results: ResultOptions,
    *,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="none, 'dataset tag', simple, detailed, 'paraphrase 1' to 5; repeatable. Default: all."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="Whose published instructions: a hub id. Default: the model's, or instructor-large's."),
    ] = None,
) -> None:
    """Score a model on tasks of MTEB with paraphrased and progressively shorter instructions."""
    from instructor_embedding.evaluation import robustness as study

    scores = results.open()
    study.check(variant or [])
    loaded = tasks.load()
    encoder = model.load()
    for task in loaded:
        measured = study.evaluate(
            encoder, [task], variants=variant or study.VARIANTS, prompt=prompt or model.model, results=scores
        )
        for row in study.summary(measured):
            figures = [f"{name} {value:.2f}" for name, value in row.items() if name != "task"]
            typer.echo(json.dumps(row) if results.as_json else f"{row['task']}: {', '.join(figures)}")


@app.command()
@grouped
def following(
    model: ModelOptions,
    results: ResultOptions,
    *,
    data: Annotated[
        str | None, typer.Option(help="File with a column for each labeling. Default: the built-in set of 144 texts.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Columns of --data, such as topic,sentiment.")] = None,
    text_column: Annotated[str, typer.Option(help="Column of the texts.")] = "text",
    kind: Annotated[str, typer.Option(help="What a text is, for the instructions: review, ticket, ...")] = "text",
    instruction: Annotated[
        list[str] | None, typer.Option("-i", "--instruction", help="LABELING=INSTRUCTION; repeatable.")
    ] = None,
    paraphrases: Annotated[
        bool, typer.Option("--paraphrases/--no-paraphrases", help="Also measure other wordings of each instruction.")
    ] = True,
    splits: Annotated[int, typer.Option(min=2, help="Halves that the classifier is repeated on.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the splits.")] = 0,
    picture: Annotated[str | None, typer.Option(help="Draw the matrices to this file, such as following.png.")] = None,
) -> None:
    """Measure whether vectors follow the instruction: the same texts, several labels, each under each instruction."""
    from instructor_embedding.evaluation.following import data as sets
    from instructor_embedding.evaluation.following.matrix import of_scores
    from instructor_embedding.evaluation.following.picture import draw
    from instructor_embedding.evaluation.following.run import evaluate
    from instructor_embedding.evaluation.report.render import render
    from instructor_embedding.evaluation.report.runs import merged
    from instructor_embedding.evaluation.report.runs import of_scores as runs_of
    from instructor_embedding.evaluation.report.sections import sections
    from instructor_embedding.files.picture import check

    if picture is not None:
        check(picture)
    if (data is None) != (labels is None):
        raise InputError("--data and --labels belong together: --data FILE --labels topic,sentiment")
    names = [name.strip() for name in (labels or "").split(",") if name.strip()]
    texts = sets.read(data, names, text_column=text_column, kind=kind) if data is not None else sets.built_in()
    own = dict(_assignment(item) for item in instruction or [])
    sets.instructions_for(texts, own)
    stored = results.open()
    scores = evaluate(
        model.load(lambda: texts.texts), texts,
        instructions=own, paraphrases=paraphrases, splits=splits, seed=seed, results=stored,
    )  # fmt: skip
    if results.as_json:
        results.show(scores)
    else:
        runs = merged(runs_of(scores))
        typer.echo(render(runs, sections(runs), "terminal"))
    if picture is not None:
        draw(of_scores(scores), picture)
        typer.echo(f"picture: {picture}", err=True)


def _assignment(item: str) -> tuple[str, str]:
    name, sign, text = item.partition("=")
    if not sign:
        raise InputError(f"--instruction {item!r} must be LABELING=INSTRUCTION, such as topic='Represent the topic: '")
    return name.strip(), text


@app.command()
def report(
    results: Annotated[
        list[str],
        typer.Argument(help="Files of scores, folders that mteb wrote, json files of published figures."),
    ],
    *,
    only: Annotated[list[str] | None, typer.Option(help="Only runs whose label contains this; repeatable.")] = None,
    reference: Annotated[str | None, typer.Option(help="Run that differences are taken to. Default: the first.")] = (
        None
    ),
    format: Annotated[
        str | None,
        typer.Option(help="terminal, markdown, csv or json. Default: that of -o's ending, else terminal."),
    ] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="File; - is stdout.")] = "-",
    pictures: Annotated[str | None, typer.Option(help="Folder for scores.png, speed.png and following.png.")] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="List all published data sets, not only those of your own runs.")
    ] = False,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out tasks with different data or metrics instead of refusing.")
    ] = False,
) -> None:
    """Report runs beside each other and beside published figures: averages, scores, differences, settings, cost."""
    from instructor_embedding.evaluation.report import make
    from instructor_embedding.evaluation.report.render import format_of, render
    from instructor_embedding.evaluation.report.sections import sections
    from instructor_embedding.files.atomic import check_folder, check_target, replacing

    form = format_of(output, format)
    check_target(output)
    if pictures is not None:
        check_folder(pictures)
    runs = make.read(results, only or [], leave_out=leave_out)
    tables = sections(runs, make.reference_of(runs, reference), complete=complete)
    text = render(runs, tables, form)
    with replacing(output) as file:
        file.write(text.encode("utf-8"))
    if pictures is not None:
        from instructor_embedding.evaluation.report.pictures import draw

        for path in draw(runs, pictures):
            typer.echo(f"picture: {path}", err=True)


@app.command()
@grouped
def selftest(model: ModelOptions, *, as_json: options.Json = False) -> None:
    """Run every kind of task on tiny built-in data, without a network, in seconds; exit code 1 if one fails."""
    from instructor_embedding.evaluation.selftest import run

    failed = 0
    for check in run(model.load()):
        failed += bool(check.error)
        value = None if check.score is None else check.score.value
        metric = "" if check.score is None else check.score.metric
        if as_json:
            record = {"kind": check.kind, "metric": metric, "value": value, "seconds": round(check.seconds, 2)}
            typer.echo(json.dumps(record | {"error": check.error}))
        else:
            figure = f"{metric} {value:.2f}" if value is not None else ""
            verdict = "FAILED: " + check.error if check.error else "ok"
            typer.echo(f"{check.kind:30} {figure:28} {check.seconds:6.1f} s  {verdict}")
    if failed:
        typer.echo(f"instructor-embed: {failed} kinds of task failed", err=True)
        raise typer.Exit(1)
