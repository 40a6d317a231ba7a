"""``instructor-embed quantize``: a quantized copy of a model, and its loss."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError, QualityError

if TYPE_CHECKING:
    from instructor_embedding.instructor import INSTRUCTOR
    from instructor_embedding.quantization.check import Agreement

_TEXTS = 2000  # texts of a file that are compared


def quantize(
    paths: options.ModelAndFolder = None,
    *,
    model: options.RequiredModel = None,
    output: options.Folder = None,
    weights: Annotated[str, typer.Option(help="int8, int4, float16, bfloat16, or float32 for plain weights.")] = "int8",
    embedding: Annotated[str | None, typer.Option(help="int8 or int4: another format for the embedding table.")] = None,
    check: Annotated[
        str | None,
        typer.Option(
            help="Compare before and after: a file of texts as for encode, or a folder of tasks as for evaluate mteb."
        ),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("-t", "--task", help="Only this task of the folder to check; may be repeated.")
    ] = None,
    min_cosine: Annotated[
        float | None, typer.Option(help="Least mean cosine. Default: int8 0.999, int4 0.97, others 0.9999.")
    ] = None,
    min_overlap: Annotated[
        float | None, typer.Option(help="Least share of neighbors. Default: int8 0.93, int4 0.75, others 0.97.")
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(help="Points the mean score may fall by. Default: int8 0.3, int4 1, others 0.1."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write the model even if it violates the bounds or replaces MODEL itself.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write a quantized copy of a model; every command loads it like any other model.

    With --check, a model that loses more than the bounds is not written, and the exit code is 1.
    """
    from instructor_embedding.quantization.check import BOUNDS
    from instructor_embedding.quantization.weights import quantize as quantized
    from instructor_embedding.quantization.weights import rounded_twice

    model, output = options.model_and_folder(model, output, paths)
    if not force:
        _refuse_in_place(model, output)
    start = time.perf_counter()
    before = options.load(model, "cpu", "float32", precision="exact")
    if note := rounded_twice(before, weights, embedding):
        typer.echo(f"note: {note}", err=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is the note above
        after = quantized(before, weights, embedding=embedding)
    requested = {"cosine": min_cosine, "overlap": min_overlap, "loss": max_loss}
    default = BOUNDS["int4" if "int4" in (weights, embedding) else weights]
    bounds = replace(default, **{name: value for name, value in requested.items() if value is not None})
    facts: dict[str, Any] = {}
    if check is not None:
        agreement, scores = _compared(before, after, model, check, task or [])
        facts = {"agreement": asdict(agreement), "scores": scores}
        _show(agreement, scores, as_json)
        violations = bounds.violations(agreement, {name: old - new for name, (old, new) in scores.items()})
        if violations and not force:
            raise QualityError(f"{'; '.join(violations)}; nothing was written; --force writes it nevertheless")
    after.save(output)
    _close(Path(output), _full_size(before), facts, time.perf_counter() - start, as_json)


def _compared(
    before: INSTRUCTOR, after: INSTRUCTOR, name: str, data: str, tasks: list[str]
) -> tuple[Agreement, dict[str, tuple[float, float]]]:
    """Return how close the vectors are and, for a folder of tasks, the scores of each task before and after."""
    from instructor_embedding.quantization import check

    if not Path(data).is_dir():
        from instructor_embedding.files.pairs import read_pairs

        pairs = list(islice(read_pairs(data), _TEXTS))
        return check.compare(before, after, pairs), {}
    from instructor_embedding.evaluation import mteb
    from instructor_embedding.evaluation.cached_encoder import CachedEncoder
    from instructor_embedding.evaluation.instructions import Instructions

    models = [check.Recorded(before), check.Recorded(after)]
    scores: dict[str, tuple[float, float]] = {}
    for task in mteb.tasks_named(tasks, [], data):
        results = [
            mteb.evaluate(CachedEncoder(model, name, progress=True), [task], instructions=Instructions(model=name))
            for model in models
        ]
        for old, new in zip(*results, strict=True):
            scores[old.task] = (old.value, new.value)
    return models[0].agreement(models[1]), scores


def _refuse_in_place(model: str, output: str) -> None:
    folder = Path(output)
    if folder.exists() and Path(model).exists() and folder.samefile(model):
        raise InputError(
            f"{output} is the model itself; quantizing in place would replace its weights for good. "
            "Name another folder, or add --force"
        )


def _show(agreement: Agreement, scores: dict[str, tuple[float, float]], as_json: bool) -> None:
    if as_json:
        return
    typer.echo(agreement)
    for name, (old, new) in scores.items():
        typer.echo(f"{name:32} {old:6.2f} -> {new:6.2f}  {new - old:+.2f}")
    if len(scores) > 1:
        means = [sum(values) / len(scores) for values in zip(*scores.values(), strict=True)]
        typer.echo(f"{'mean':32} {means[0]:6.2f} -> {means[1]:6.2f}  {means[1] - means[0]:+.2f}")


def _full_size(model: INSTRUCTOR) -> int:
    from instructor_embedding.model.lowbit_layers import count_parameters

    return 4 * count_parameters(model)


def _close(folder: Path, full: int, facts: dict[str, Any], seconds: float, as_json: bool) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    if as_json:
        typer.echo(json.dumps({"bytes_float32": full, "bytes": size} | facts | {"seconds": round(seconds, 3)}))
    else:
        typer.echo(f"{folder}: {size / 1e6:,.1f} MB, {size / full:.1%} of float32, {seconds:.1f} s", err=True)
