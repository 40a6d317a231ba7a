"""MTEB through the mteb library: each task and side with its instruction, each score with what made it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.evaluation import local_tasks, mteb_models
from instructor_embedding.evaluation.encoder import Encoder, PairEncoder
from instructor_embedding.evaluation.instructions import Chosen, Instructions
from instructor_embedding.evaluation.score import Clock, Results, Score
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32

ENGLISH = "MTEB(eng, v1)"  # the 56 data sets of the paper
_PURPOSE = "evaluation on MTEB"


@dataclass(frozen=True)
class Settings:
    """How instructions are applied.

    Parameters
    ----------
    name : str
    documents : bool
        Whether the documents of retrieval get their instruction.
    longest_clustered : int or None
        Texts to cluster that are longer than this with their instruction (tokens) go without it.
    """

    name: str
    documents: bool = True
    longest_clustered: int | None = None


SETTINGS = {
    each.name: each
    for each in (
        Settings("instructed"),
        Settings("original", longest_clustered=256),
        Settings("original-2023", documents=False, longest_clustered=256),
    )
}


class InstructedEncoder:
    """A model as mteb's EncoderProtocol wants it, which gives each text the instruction of its task and side.

    Use it where mteb's own functions are called: ``mteb.evaluate(InstructedEncoder(model), tasks)``.

    Parameters
    ----------
    model : Encoder or object with encode(pairs)
    instructions : Instructions, optional
        Default: the published ones, those of instructor-large where the model's name is no other.
    settings : str
        ``"instructed"``: every text gets its instruction. ``"original"``: as the original's code since April 2024,
        where texts to cluster of over 256 tokens go without it. ``"original-2023"``: as its code before, which also
        encoded the documents of retrieval without their instruction.
    meta : mteb.ModelMeta, optional
        Default: the published facts for the three hub models, else what can be read from the model.

    Attributes
    ----------
    used : dict
        (task, side) to what was chosen, for the texts encoded so far.
    """

    def __init__(
        self,
        model: Encoder | PairEncoder | Any,
        instructions: Instructions | None = None,
        settings: str = "instructed",
        meta: Any = None,
    ) -> None:
        need("mteb", _PURPOSE)
        if settings not in SETTINGS:
            raise InputError(
                f"settings={settings!r} is unknown{nearest(settings, SETTINGS)}; known: {', '.join(SETTINGS)}"
            )
        self.encoder = model if isinstance(model, Encoder) else Encoder(model)
        self.instructions = instructions or Instructions(model=self.encoder.name)
        self.settings = SETTINGS[settings]
        self.used: dict[tuple[str, str], Chosen] = {}
        experiment = {"instructions": self.instructions.name, "settings": settings}
        self.mteb_model_meta = meta or mteb_models.describe(self.encoder, experiment)

    def choose(self, metadata: Any, side: str) -> Chosen:
        """Return the instruction of one side of a task: what `encode` will use."""
        if side == "document" and metadata.type == "Retrieval" and not self.settings.documents:
            return Chosen("", f"none ({self.settings.name})")
        return self.instructions.choose(metadata.name, metadata.type, side)

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any,
        hf_split: str = "",
        hf_subset: str = "",
        prompt_type: Any = None,
        **_: Any,
    ) -> Float32:
        """Return the vectors of mteb's batches of texts, float32 of shape (n, dim)."""
        side = "text" if prompt_type is None else str(prompt_type.value)
        chosen = self.choose(task_metadata, side)
        self.used[task_metadata.name, side] = chosen
        pairs = [Pair(chosen.instruction, text) for batch in inputs for text in batch["text"]]
        limit = self.settings.longest_clustered
        if limit is not None and task_metadata.type == "Clustering":
            lengths = self.encoder.count_tokens(pairs)
            pairs = [
                Pair("" if tokens > limit else pair.instruction, pair.text)
                for pair, tokens in zip(pairs, lengths, strict=True)
            ]
        return self.encoder.encode(pairs, f"{task_metadata.name} {side}")

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines between two sets of vectors, a tensor (n, m)."""
        return _functions().cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines between the rows of two sets of vectors, a tensor (n,)."""
        return _functions().pairwise_cos_sim(embeddings1, embeddings2)


def _functions() -> Any:
    return need("mteb.similarity_functions", _PURPOSE)


def tasks_named(
    names: Sequence[str] = (),
    categories: Sequence[str] = (),
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
) -> list[Any]:
    """Return mteb tasks, in English, with their data from a folder or, when they run, from the hub.

    Parameters
    ----------
    names : list of str
        Task names, ``"MTEB(eng, v1)"`` or another benchmark of mteb. Empty: all there is in the folder, or, without
        one, the 56 data sets of the paper.
    categories : list of str
        Keep only these task types: ``"STS"``, ``"Retrieval"``.
    data_dir : path, optional
        A folder of tasks; see `local_tasks`.
    split : str, optional
        Default: what mteb evaluates.

    Raises
    ------
    InputError
        A name or category is unknown.
    """
    mteb = need("mteb", _PURPOSE)
    if data_dir is not None:
        found = [local_tasks.load(data_dir, name, split) for name in names or local_tasks.names_in(data_dir)]
    else:
        found = [task for name in names or [ENGLISH] for task in _from_hub(mteb, name, split)]
    known = sorted({task.metadata.type for task in found})
    for category in categories:
        if category not in known:
            raise InputError(
                f"no task of category {category!r}{nearest(category, known)}; there are {', '.join(known)}"
            )
    return [task for task in found if not categories or task.metadata.type in categories]


def _from_hub(mteb: Any, name: str, split: str | None) -> list[Any]:
    splits = [split] if split else None
    try:
        if "(" in name:
            return list(mteb.get_benchmark(name).tasks)
        english = next((task for task in mteb.get_benchmark(ENGLISH).tasks if task.metadata.name == name), None)
        if english is not None and split is None:
            return [english]
        return [mteb.get_task(name, eval_splits=splits, languages=["eng"])]
    except KeyError:
        known = [task.metadata.name for task in mteb.get_benchmark(ENGLISH).tasks]
        raise InputError(f"mteb knows no task or benchmark {name!r}{nearest(name, known)}") from None


def evaluate(
    model: Encoder | PairEncoder | Any,
    tasks: Iterable[Any],
    *,
    instructions: Instructions | None = None,
    settings: str = "instructed",
    output_dir: str | os.PathLike[str] | None = None,
    results: Results | None = None,
) -> list[Score]:
    """Score a model on mteb tasks.

    Parameters
    ----------
    model : Encoder, INSTRUCTOR, SentenceTransformer or object with encode(pairs)
    tasks : list of mteb tasks
        As `tasks_named` returns them.
    instructions, settings
        As for `InstructedEncoder`.
    output_dir : path, optional
        Where mteb's result files go, in its own layout.
    results : Results, optional
        A task whose `Score` it holds already, by the same model, data, instructions, settings and versions, is not run
        again; new scores are added.

    Returns
    -------
    list of Score
        One for each task and split, in order.
    """
    wrapped = InstructedEncoder(model, instructions, settings)
    results = Results() if results is None else results
    scores = []
    for task in tasks:
        for split in task.eval_splits:
            config = _config(wrapped, task, split)
            score = results.find(task.metadata.name, config)
            if score is None:
                score = _run(wrapped, task, split, config, output_dir)
                results.add(score)
            scores.append(score)
    return scores


def _config(wrapped: InstructedEncoder, task: Any, split: str) -> dict[str, Any]:
    metadata = task.metadata
    chosen = {side: wrapped.choose(metadata, side) for side in _sides(task)}
    data = {**metadata.dataset, "split": split, "subsets": list(task.hf_subsets)}
    return wrapped.encoder.config("MTEB", metadata.type, chosen, data, asdict(wrapped.settings))


def _sides(task: Any) -> list[str]:
    if task.metadata.type in ("Retrieval", "Reranking", "InstructionRetrieval", "InstructionReranking"):
        return ["query", "document"]
    sides = {
        getattr(getattr(task, name, None), "value", "text") for name in ("input1_prompt_type", "input2_prompt_type")
    }
    return sorted(sides)


def _run(wrapped: InstructedEncoder, task: Any, split: str, config: dict[str, Any], output_dir: Any) -> Score:
    mteb = need("mteb", _PURPOSE)
    clock = Clock()
    whole, task._eval_splits = task._eval_splits, [split]
    loaded = task.data_loaded
    try:
        with _quiet():
            if not loaded:
                task.load_data()
            result = mteb.evaluate(
                wrapped,
                task,
                cache=mteb.ResultCache(output_dir) if output_dir else None,
                co2_tracker=False,
                overwrite_strategy="always",
                show_progress_bar=False,
            ).task_results[0]
        judged = _judged(task, split)
    finally:
        task._eval_splits = whole
        if not loaded and task.data_loaded:
            task.unload_data()
    parts = result.scores[split]
    value = float(np.mean([part["main_score"] for part in parts]))
    config = config | clock.circumstances(_figures(parts))
    return Score(task.metadata.name, task.metadata.main_score, round(100 * value, 4), judged, config)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the bars and notes that mteb and datasets write beside ours."""
    logger, bars = logging.getLogger("mteb"), need("datasets.utils", _PURPOSE)
    level, shown = logger.level, bars.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    bars.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is superseded by.*")
            yield
    finally:
        logger.setLevel(level)
        if not shown:
            bars.enable_progress_bars()


def _figures(parts: list[dict[str, Any]]) -> dict[str, float]:
    """Return the plain numbers of a result, the mean over its subsets."""
    names = [name for name, value in parts[0].items() if isinstance(value, float) and name != "main_score"]
    means = {name: float(np.mean([part[name] for part in parts if name in part])) for name in names}
    return {name: value for name, value in means.items() if value == value}


def _judged(task: Any, split: str) -> int:
    """Count what was judged: queries, pairs, texts."""
    total = 0
    for subset in task.hf_subsets:
        data = task.dataset.get(subset, task.dataset)
        rows = data[split]
        if isinstance(rows, dict):
            total += len(rows["queries"])
        elif "sentences" in rows.column_names and isinstance(rows[0]["sentences"], list):
            total += sum(len(each) for each in rows["sentences"])
        elif "machine_summaries" in rows.column_names:
            total += sum(len(each) for each in rows["machine_summaries"])
        elif len(rows) == 1 and isinstance(next(iter(rows[0].values())), list):
            total += len(next(iter(rows[0].values())))
        else:
            total += len(rows)
    return total
