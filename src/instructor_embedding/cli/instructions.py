"""``instructor-embed instructions``: which instruction is better on texts of your own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError

app = typer.Typer(no_args_is_help=True, help="Instructions: the published ones, and trials of your own.")


@app.command("try")
def try_(
    file: Annotated[
        Path,
        typer.Argument(
            help="jsonl, csv, tsv or parquet: text, label; or sentence1, sentence2, score; or query, document."
        ),
    ],
    *,
    model: options.Model = options.DEFAULT,
    instruction: Annotated[
        list[str], typer.Option("-i", "--instruction", help="A candidate, of texts or queries; give two or more.")
    ],
    document_instruction: Annotated[
        list[str] | None,
        typer.Option(help="Of documents: one for all candidates, or one for each. Default: the candidate."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    backend: options.Backend = "torch",
    precision: options.Precision = None,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    as_json: options.Json = False,
) -> None:
    """Score candidate instructions on labeled texts, and report whether their difference is noise."""
    from instructor_embedding import encoders
    from instructor_embedding.evaluation import candidates
    from instructor_embedding.evaluation.cached_encoder import CachedEncoder

    data = candidates.labeled(candidates.read(file))
    candidates.check(data, instruction, document_instruction or [])
    loaded = encoders.load(model, "instructor", device=device, dtype=dtype, backend=backend, precision=precision)
    encoder = CachedEncoder(loaded, model, progress=True)
    trials = candidates.compare(encoder, data, instruction, document_instruction or [], seed=seed)
    if as_json:
        typer.echo(json.dumps({"metric": data.metric, "n": len(data.first), "trials": [asdict(t) for t in trials]}))
        return
    typer.echo(f"{data.metric} in percent, {len(data.first)} rows, with 95 % intervals")
    for trial in trials:
        typer.echo(
            f"{trial.value:6.2f} [{trial.low:.2f}, {trial.high:.2f}]  {trial.instruction!r}  {_word(trial, trials)}"
        )


def _word(trial: Any, trials: list[Any]) -> str:
    if trial is trials[0]:
        return "best"
    gap = f"{trial.gap:.2f} below [{trial.gap_low:.2f}, {trial.gap_high:.2f}]"
    return f"{gap}: may be noise" if trial.noise else f"{gap}: worse"


@app.command("list")
def list_(
    dataset: Annotated[str | None, typer.Argument(help="A data set, such as ArguAna. Default: all.")] = None,
    *,
    prompt: Annotated[str, typer.Option(help="Whose: a hub id, or base, large or xl.")] = "large",
    as_json: options.Json = False,
) -> None:
    """Print the instructions of the published evaluation."""
    from instructor_embedding.errors import nearest
    from instructor_embedding.evaluation.instructions import Instructions, facts

    kind = Instructions(model=prompt).model
    rows = [
        (fact.dataset, fact.side, str(fact))
        for fact in facts()
        if {kind, "all"} & set(fact.models) and dataset in (None, fact.dataset)
    ]
    if not rows:
        names = sorted({fact.dataset for fact in facts()})
        raise InputError(f"there is no published instruction of {dataset!r}{nearest(str(dataset), names)}")
    for name, side, text in rows:
        record = {"dataset": name, "side": side, "instruction": text}
        typer.echo(json.dumps(record, ensure_ascii=False) if as_json else f"{name}\t{side}\t{text!r}")
