"""The options that the verbs of ``instructor-embed evaluate`` share, in groups, and the objects they stand for."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError

if TYPE_CHECKING:
    from instructor_embedding.evaluation.cached_encoder import CachedEncoder
    from instructor_embedding.evaluation.instructions import Instructions
    from instructor_embedding.evaluation.prompt_retrieval.language_models import LanguageModel
    from instructor_embedding.evaluation.score import Results, Score

BASELINE = "baseline"
# the original's spellings, accepted but not shown
_ALIASES = {"model-name": "model", "task-name": "task"}


@dataclass(frozen=True)
class ModelOptions:
    """Which model is evaluated, and how it runs."""

    model: Annotated[
        str, typer.Option("-m", "--model", help="Hub id or folder; with --library baseline: random or tf-idf.")
    ] = options.DEFAULT
    library: Annotated[
        str, typer.Option(help="What loads the model: instructor, sentence-transformers or baseline.")
    ] = "instructor"
    backend: options.Backend = "torch"
    precision: options.Precision = None
    device: options.Device = None
    dtype: options.Dtype = "float32"
    batch_size: Annotated[int, typer.Option(min=1, help="Passed to the model.")] = 32
    cache_dir: Annotated[
        str | None, typer.Option(help="Store vectors in this folder, so that an interrupted run resumes.")
    ] = None

    def load(self, texts: Callable[[], Iterable[str]] | None = None) -> CachedEncoder:
        """Return the model; `texts` returns what a baseline may learn words from."""
        from instructor_embedding import encoders
        from instructor_embedding.evaluation import baselines
        from instructor_embedding.evaluation.cached_encoder import CachedEncoder
        from instructor_embedding.evaluation.exported import ExportedModel, library_of
        from instructor_embedding.evaluation.network import without_waiting

        if self.library == BASELINE:
            learned = texts() if texts is not None and self.model == "tf-idf" else ()
            model: Any = baselines.baseline(self.model, learned)
        elif library_of(self.model) is not None:
            model = ExportedModel(self.model, self.precision or "exact", self.batch_size)
        else:
            # a model on this machine never touches the network
            local = self.model == options.DEFAULT or Path(self.model).expanduser().exists()
            with nullcontext() if local else without_waiting():
                model = encoders.load(
                    self.model, self.library, device=self.device, dtype=self.dtype, backend=self.backend,
                    precision=self.precision, batch_size=self.batch_size,
                )  # fmt: skip
        changes = {"backend": self.backend, "precision": self.precision, "dtype": self.dtype}
        usual = {"backend": "torch", "precision": None, "dtype": "float32"}
        how = {name: str(value) for name, value in changes.items() if value != usual[name]}
        # a baseline's vectors depend on the words of the texts, which a cache does not tell apart
        cache_dir = None if self.library == BASELINE else self.cache_dir
        return CachedEncoder(model, self.model, cache_dir=cache_dir, progress=True, options=how)


@dataclass(frozen=True)
class InstructionOptions:
    """Which instructions the texts get."""

    instructions: Annotated[
        str | None,
        typer.Option(
            help="published, default (by task type), none, or a json file of a table. Default: published; with "
            "another library than instructor, none."
        ),
    ] = None
    prompt: Annotated[
        str | None,
        typer.Option(help="Whose published instructions: a hub id. Default: the model's, or instructor-large's."),
    ] = None

    def choose(self, model: ModelOptions) -> Instructions:
        """Return the instructions for a model."""
        from instructor_embedding.evaluation.instructions import Instructions

        usual = "published" if model.library == "instructor" or self.prompt else "none"
        return Instructions(self.instructions or usual, self.prompt or model.model)


@dataclass(frozen=True)
class ResultOptions:
    """Where scores go."""

    result_file: Annotated[
        str | None,
        typer.Option(help="Json lines that scores are appended to; what is in it already is not run again."),
    ] = None
    as_json: options.Json = False

    def open(self, output_dir: str | None = None) -> Results:
        """Return the results: the given file, else one in the folder of results, else in memory."""
        from instructor_embedding.evaluation.score import Results

        return Results(self.result_file or (Path(output_dir) / "scores.jsonl" if output_dir else None))

    def show(self, scores: Iterable[Score]) -> None:
        """Print scores, one per line."""
        from dataclasses import asdict

        for score in scores:
            typer.echo(json.dumps(asdict(score), ensure_ascii=False, default=str) if self.as_json else str(score))


@dataclass(frozen=True)
class TaskOptions:
    """Which tasks of mteb run, and on what data."""

    task: Annotated[
        list[str] | None,
        typer.Option(
            "-t", "--task",
            help="Task or benchmark of mteb, or instruction-following; repeatable. Default: all of --data-dir, or the "
            "56 data sets of the paper.",
        ),
    ] = None  # fmt: skip
    category: Annotated[list[str] | None, typer.Option(help="Only tasks of this type, such as STS; repeatable.")] = None
    data_dir: Annotated[
        str | None, typer.Option(help="A folder with one folder of files per task; no network is used.")
    ] = None
    split: Annotated[str | None, typer.Option(help="Default: what mteb evaluates.")] = None

    def load(self) -> list[Any]:
        """Return the mteb tasks."""
        from instructor_embedding.evaluation.mteb.tasks import tasks_named

        return tasks_named(self.task or [], self.category or [], self.data_dir, self.split)


@dataclass(frozen=True)
class LanguageModelOptions:
    """Which language model answers the prompts of Prompt Retrieval."""

    language_model: Annotated[
        str | None,
        typer.Option(
            help="Causal model of transformers that answers, or its name on a --server. Default: none; the score is "
            "how often the most similar example has the item's answer.",
        ),
    ] = None
    server: Annotated[
        str | None, typer.Option(help="Server with OpenAI's completions API, such as http://localhost:8000/v1.")
    ] = None
    tokenizer: Annotated[
        str | None, typer.Option(help="tokenizer.json that counts for the server. Default: four bytes are a token.")
    ] = None
    context: Annotated[int | None, typer.Option(help="Context length of the server's model.")] = None
    api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="Sent to the server.")] = None

    def load(self) -> LanguageModel | None:
        """Return the language model: on a server, in this process, or none."""
        from instructor_embedding.evaluation.prompt_retrieval.language_models import CausalModel, CompletionServer

        if self.server is not None:
            if self.language_model is None:
                raise InputError("--server needs --language-model, the model's name on the server")
            return CompletionServer(
                self.server, self.language_model, key=self.api_key, tokenizer=self.tokenizer, context=self.context
            )
        if self.tokenizer is not None or self.context is not None:
            raise InputError("--tokenizer and --context describe the model of a --server")
        return CausalModel(self.language_model) if self.language_model is not None else None


def spelling(name: str) -> str:
    """Return the declared spelling of a flag that was typed: kebab-case, and one name for the model."""
    kebab = name.replace("_", "-")
    return _ALIASES.get(kebab, kebab)


def grouped(verb: Callable[..., None]) -> Callable[..., None]:
    """Let a verb take dataclasses of options: typer sees their fields, the verb gets the objects.

    Typer has no option groups; without this every verb would repeat the declarations of all it shares.
    """
    hints = get_type_hints(verb, include_extras=True)
    signature = inspect.signature(verb)
    groups = {name: hints[name] for name in signature.parameters if is_dataclass(hints[name])}
    parameters, annotations = [], {}
    for name, parameter in signature.parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            annotations[name] = hints[name]
            continue
        inner = get_type_hints(groups[name], include_extras=True)
        for field in fields(groups[name]):
            parameters.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=inner[field.name]
                )
            )
            annotations[field.name] = inner[field.name]

    @functools.wraps(verb)
    def run(**values: Any) -> None:
        built = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        verb(**built, **values)

    del run.__wrapped__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = annotations
    return run
