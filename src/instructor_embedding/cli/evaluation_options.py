"""What the verbs of ``instructor-embed evaluate`` share: their options, and how these become objects."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from instructor_embedding.errors import InputError

if TYPE_CHECKING:
    from instructor_embedding.evaluation.encoder import Encoder
    from instructor_embedding.evaluation.instructions import Instructions
    from instructor_embedding.evaluation.language_models import LanguageModel
    from instructor_embedding.evaluation.score import Score

BASELINE = "baseline"

ModelName = Annotated[
    str,
    typer.Option("-m", "--model_name", "--model", help="Hub id or folder; with --library baseline: random or tf-idf."),
]
Library = Annotated[str, typer.Option(help="What loads the model: instructor, sentence-transformers or baseline.")]
InstructionsFrom = Annotated[
    str | None,
    typer.Option(
        help="published, default (by task type), none, or a json file of a table. Default: published; with "
        "another library than instructor, none."
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
ResultFile = Annotated[
    str | None,
    typer.Option("--result_file", help="Json lines the scores are added to; what is in it already is not run again."),
]


def load_encoder(
    model_name: str,
    library: str,
    device: str | None,
    dtype: str,
    batch_size: int,
    cache_dir: str | None,
    texts: Callable[[], Iterable[str]] | None = None,
) -> Encoder:
    """Load the model that the options name; `texts` are what a baseline may learn words from."""
    from instructor_embedding.evaluation import baselines
    from instructor_embedding.evaluation.encoder import Encoder, load
    from instructor_embedding.evaluation.vectors import VectorCache

    if library == BASELINE:
        if model_name == "tf-idf" and texts is None:
            raise InputError("the baseline tf-idf is for billboard and prompt-retrieval; here only random is")
        model = baselines.baseline(model_name, texts() if texts is not None and model_name == "tf-idf" else [])
    else:
        model = load(model_name, library, device, dtype)
    cache = VectorCache(cache_dir) if cache_dir else None
    return Encoder(model, model_name, batch_size=batch_size, cache=cache, progress=True)


def load_instructions(source: str | None, prompt: str | None, model_name: str, library: str) -> Instructions:
    """Return the instructions that the options name."""
    from instructor_embedding.evaluation.instructions import Instructions

    usual = "published" if library == "instructor" or prompt else "none"
    return Instructions(source or usual, prompt or model_name)


def load_language_model(
    name: str | None, server: str | None, tokenizer: str | None, context: int | None, key: str | None
) -> LanguageModel | None:
    """Return the language model that the options name: on a server, here, or none."""
    from instructor_embedding.evaluation.language_models import CausalModel, CompletionServer

    if server is not None:
        if name is None:
            raise InputError("--server needs --language_model, the model's name on the server")
        return CompletionServer(server, name, key=key, tokenizer=tokenizer, context=context)
    if tokenizer is not None or context is not None:
        raise InputError("--tokenizer and --context describe the model of a --server")
    return CausalModel(name) if name is not None else None


def scores_file(result_file: str | None, output_dir: str | None) -> str | None:
    """Return where scores are kept: the file named, in the folder of results where there is one."""
    if result_file is None:
        return str(Path(output_dir) / "scores.jsonl") if output_dir else None
    name = result_file if Path(result_file).suffix else f"{result_file}.jsonl"
    beside = output_dir is not None and os.path.basename(name) == name
    return str(Path(output_dir or "") / name) if beside else name


def show(scores: list[Score], as_json: bool) -> None:
    """Print scores, one a line."""
    from dataclasses import asdict

    for score in scores:
        typer.echo(json.dumps(asdict(score), ensure_ascii=False, default=str) if as_json else str(score))
