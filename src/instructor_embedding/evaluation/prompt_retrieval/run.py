"""Run a task of Prompt Retrieval; see the package for the protocol."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from instructor_embedding.encoders import PairEncoder
from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.appended import append, mend
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.cost import Clock
from instructor_embedding.evaluation.instructions import Instructions
from instructor_embedding.evaluation.prompt_retrieval import tasks
from instructor_embedding.evaluation.prompt_retrieval.judge import agreement, judge
from instructor_embedding.evaluation.prompt_retrieval.language_models import LanguageModel
from instructor_embedding.evaluation.prompt_retrieval.selection import prompt_of, retrieve
from instructor_embedding.evaluation.prompt_retrieval.task import Example, PromptTask
from instructor_embedding.evaluation.score import Results, Score, key_of
from instructor_embedding.files.records import read_records
from instructor_embedding.instruction import Pair


def evaluate(
    model: CachedEncoder | PairEncoder | Any,
    task: str,
    data_dir: str | os.PathLike[str],
    language_model: LanguageModel | None = None,
    *,
    instructions: Instructions | None = None,
    seed: int = 0,
    items: int | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    results: Results | None = None,
) -> Score:
    """Score a model on a task of Prompt Retrieval.

    Parameters
    ----------
    model : CachedEncoder, INSTRUCTOR, SentenceTransformer or object with encode(pairs)
    task : str
        One of ``tasks.TASKS``.
    data_dir : path
        Folder with the files of the tasks.
    language_model : LanguageModel, optional
        Answers the prompts. Without one, the score is how often the most similar example shown has the item's answer
        (for generated answers: the Rouge-L between the two).
    instructions : Instructions, optional
        Default: the published ones.
    seed : int
        Of the draw of examples and items.
    items : int, optional
        Judge only this many, the first ones.
    output_dir : path, optional
        Where answers are stored, one file per run, so that an interrupted run resumes.
    results : Results, optional
        A score in it is not computed again; a new one is added.

    Returns
    -------
    Score
        ``rouge_l``, or ``nearest_agrees`` without a language model. ``config["metrics"]`` has both, the accuracy, the
        share of all shown examples with the item's answer, and the mean number of examples shown.
    """
    encoder = CachedEncoder.of(model)
    results = Results() if results is None else results
    table = instructions or Instructions(model=encoder.name)
    chosen = table.choose(task, "PromptRetrieval")
    setup = tasks.task_named(task)
    pool, tests, digest = tasks.draw(setup, Path(data_dir), seed)
    tests = tests[:items]
    head = _schema(Path(data_dir)) if task == "geoquery" else ""
    budget = _budget(setup, language_model)
    settings = {
        "seed": seed,
        "language_model": language_model.name if language_model else None,
        "budget": budget,
        "schema": bool(head),
        "prompts": "own wording, 1",
    }
    data = {"path": task, "revision": digest, "examples": len(pool), "items": len(tests)}
    config = encoder.config("PromptRetrieval", "PromptRetrieval", {"text": chosen}, data, settings, table.name)
    known = results.find(task, config)
    if known is not None:
        return known
    clock = Clock(encoder.cost)
    vectors = [encoder.encode([Pair(chosen.instruction, item.text) for item in items], task) for items in (pool, tests)]
    shown = retrieve(setup, pool, tests, vectors[0], vectors[1], language_model, budget, head)
    metrics = agreement(pool, tests, shown)
    if language_model is not None:
        file = _answers_file(output_dir, task, key_of(task, config))
        answers = _answers(setup, pool, tests, shown, language_model, head, file, encoder.progress)
        metrics |= judge(tests, answers)
    metric = "rouge_l" if language_model is not None else "nearest_agrees"
    score = Score(task, metric, round(100 * metrics[metric], 4), len(tests), config | clock.circumstances(metrics))
    results.add(score)
    return score


def _answers(
    task: PromptTask,
    pool: Sequence[Example],
    tests: Sequence[Example],
    shown: Sequence[Sequence[int]],
    language_model: LanguageModel,
    head: str,
    file: Path | None,
    progress: bool,
) -> list[str]:
    """Return the language model's answers; those in the file are not requested again."""
    known: dict[int, str] = {}
    if file is not None and file.exists():
        mend(file)
        known = {row["item"]: row["prediction"] for _, row in read_records(file)}
    answers = []
    for item, test in enumerate(tqdm(tests, desc=task.name, disable=None if progress else True, leave=False)):
        if item not in known:
            prompt = prompt_of(task, [pool[index] for index in shown[item]], test, head)
            known[item] = _answer(task, prompt, test, language_model)
            if file is not None:
                row = {"item": item, "examples": shown[item], "prediction": known[item], "answer": test.answer}
                append(file, row)
        answers.append(known[item])
    return answers


def _answer(task: PromptTask, prompt: str, test: Example, language_model: LanguageModel) -> str:
    if task.writes:
        return language_model.write(prompt, task.new_tokens, task.stop).strip()
    return test.options[language_model.choose(prompt, [task.before(option) for option in test.options])]


def _answers_file(output_dir: str | os.PathLike[str] | None, task: str, key: str) -> Path | None:
    if output_dir is None:
        return None
    home = Path(output_dir) / "prompt_retrieval"
    home.mkdir(parents=True, exist_ok=True)
    return home / f"{task}-{key}.jsonl"


def _budget(task: PromptTask, language_model: LanguageModel | None) -> int:
    """Return the tokens of a prompt: the published number, or what the language model can read."""
    if language_model is None or language_model.context is None:
        return task.budget
    budget = language_model.context - max(task.new_tokens, 24)
    if budget < 64:
        raise InputError(f"{language_model.name} reads {language_model.context} tokens, too few for a prompt")
    return min(task.budget, budget)


def _schema(folder: Path) -> str:
    """Return the tables of GeoQuery if its database lies beside the questions."""
    path = folder / "geoquery.sqlite"
    if not path.is_file():
        return ""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL").fetchall()
    finally:
        connection.close()
    return "\n\n".join(row[0] for row in rows) + "\n\n-- SQLite queries that answer questions on these tables\n\n"
