"""Prompt Retrieval: are the examples that a model retrieves good ones to show a language model?

Examples and items are encoded and centered, each on its own mean; the most similar examples that fit into the prompt
are shown, the most similar last; the language model's answers are scored with Rouge-L (paper, section on prompt
retrieval). Without a language model it is judged how often the retrieved examples have the item's answer.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from instructor_embedding.errors import InputError
from instructor_embedding.evaluation import prompt_tasks
from instructor_embedding.evaluation.encoder import Encoder, PairEncoder
from instructor_embedding.evaluation.instructions import Instructions
from instructor_embedding.evaluation.language_models import LanguageModel
from instructor_embedding.evaluation.prompt_tasks import Example, PromptTask
from instructor_embedding.evaluation.score import Clock, Results, Score, key_of
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32

_SAME = 1 - 1e-6  # a cosine above it is 1, as float32 tells


def evaluate(
    model: Encoder | PairEncoder | Any,
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
    model : Encoder, INSTRUCTOR, SentenceTransformer or object with encode(pairs)
    task : str
        One of ``prompt_tasks.TASKS``.
    data_dir : path
        Folder with the files of the tasks.
    language_model : LanguageModel, optional
        What answers the prompts. Without one, the score is how often the most similar example shown has the item's
        answer (for written answers: the Rouge-L between the two).
    instructions : Instructions, optional
        Default: the published ones.
    seed : int
        Of the draw of examples and items.
    items : int, optional
        Judge only the first so many.
    output_dir : path, optional
        Where answers are kept, one file a run, so that an interrupted run goes on where it was.
    results : Results, optional
        What it holds is not run again; a new score is added.

    Returns
    -------
    Score
        ``rouge_l``, or ``nearest_agrees`` without a language model. ``config["metrics"]`` has both, the accuracy, the
        share of all shown examples with the item's answer, and the mean number of examples shown.
    """
    encoder = model if isinstance(model, Encoder) else Encoder(model)
    results = Results() if results is None else results
    chosen = (instructions or Instructions(model=encoder.name)).choose(task, "PromptRetrieval")
    setup = prompt_tasks.task_named(task)
    pool, tests, digest = prompt_tasks.draw(setup, Path(data_dir), seed)
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
    config = encoder.config("PromptRetrieval", "PromptRetrieval", {"text": chosen}, data, settings)
    known = results.find(task, config)
    if known is not None:
        return known
    clock = Clock()
    texts = [encoder.encode([Pair(chosen.instruction, each.text) for each in part], task) for part in (pool, tests)]
    shown = retrieve(setup, pool, tests, texts[0], texts[1], language_model, budget, head)
    metrics = agreement(pool, tests, shown)
    if language_model is not None:
        file = _answers_file(output_dir, task, key_of(task, config))
        answers = _answers(setup, pool, tests, shown, language_model, head, file, encoder.progress)
        metrics |= judge(tests, answers)
    metric = "rouge_l" if language_model is not None else "nearest_agrees"
    score = Score(task, metric, round(100 * metrics[metric], 4), len(tests), config | clock.circumstances(metrics))
    results.add(score)
    return score


def retrieve(
    task: PromptTask,
    pool: Sequence[Example],
    tests: Sequence[Example],
    pool_vectors: Float32,
    test_vectors: Float32,
    language_model: LanguageModel | None,
    budget: int,
    head: str = "",
) -> list[list[int]]:
    """Return for each item the places of the examples to show, the most similar last.

    Parameters
    ----------
    pool, tests : list of Example
    pool_vectors, test_vectors : float32 of shape (pool, dim) and (tests, dim)
    language_model : LanguageModel, optional
        Whose tokens are counted; without one, a token is four bytes.
    budget : int
        Tokens of a prompt.
    head : str
        What every prompt starts with.
    """
    count = language_model.count if language_model is not None else _quarter_bytes
    # the published budget leaves room for what stands between examples; that of a small model does not
    between = task.between if budget < task.budget else ""
    lengths = [count(task.render(example, True) + between) for example in pool]
    cosines = centered(test_vectors) @ centered(pool_vectors).T
    start = count(head) if head else 0
    return [
        select(row, lengths, budget - start - count(test.prompt), task.longest, task.at_most, task.skip_same)
        for row, test in zip(cosines, tests, strict=True)
    ]


def centered(vectors: Float32) -> Float32:
    """Return vectors, float32 of shape (n, dim), minus their mean and scaled to length 1; a zero stays zero."""
    moved = vectors - vectors.mean(0, keepdims=True)
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    scaled: Float32 = moved / np.where(lengths > 0, lengths, 1)
    return scaled


def select(
    cosines: Any,
    lengths: Sequence[int],
    budget: int,
    longest: int | None = None,
    at_most: int | None = None,
    skip_same: bool = False,
) -> list[int]:
    """Return the places of the examples to show, the most similar last.

    From the most similar on: what is too long alone is passed over, and the first that does not fit ends the choice.

    Parameters
    ----------
    cosines : float32 of shape (pool,)
    lengths : list of int
        Tokens of each example.
    budget : int
        Tokens there is room for.
    longest, at_most, skip_same
        As in `PromptTask`.

    Examples
    --------
    >>> select(np.array([0.1, 0.9, 0.5]), [4, 4, 4], budget=8)
    [2, 1]
    """
    chosen: list[int] = []
    for place in np.argsort(-np.asarray(cosines), kind="stable")[:at_most].tolist():
        if (skip_same and cosines[place] >= _SAME) or (longest is not None and lengths[place] > longest):
            continue
        budget -= lengths[place]
        if budget < 0:
            break
        chosen.append(place)
    return chosen[::-1]


def prompt_of(task: PromptTask, examples: Iterable[Example], test: Example, head: str = "") -> str:
    """Return the prompt of an item: examples with their answers, then the item without."""
    parts = [task.render(example, True) for example in examples]
    return head + task.between.join([*parts, task.render(test, False)])


def agreement(pool: Sequence[Example], tests: Sequence[Example], shown: Sequence[Sequence[int]]) -> dict[str, float]:
    """Return how far the examples shown have the answers of their items, which needs no language model.

    ``nearest_agrees``: the most similar example's answer is the item's; ``shown_agree``: the share among all shown.
    Where answers are no labels, Rouge-L stands for equality. Items without an example count as 0.
    """
    labels = all(test.options == tests[0].options and test.options for test in tests)
    likeness = (lambda a, b: float(a == b)) if labels else rouge_l
    nearest, every = [], []
    for test, places in zip(tests, shown, strict=True):
        likely = [likeness(test.answer, pool[place].answer) for place in places]
        nearest.append(likely[-1] if likely else 0.0)
        every.append(float(np.mean(likely)) if likely else 0.0)
    counts = [len(places) for places in shown]
    return {
        "nearest_agrees": float(np.mean(nearest)),
        "shown_agree": float(np.mean(every)),
        "examples_shown": float(np.mean(counts)),
    }


def judge(tests: Sequence[Example], answers: Sequence[str]) -> dict[str, float]:
    """Return Rouge-L and accuracy of a language model's answers.

    Where items belong to persons, those of the person with the third-lowest accuracy count alone, as published.
    """
    groups: dict[str, list[int]] = {}
    for place, test in enumerate(tests):
        groups.setdefault(test.group, []).append(place)
    right = [float(answer.strip() == test.answer) for test, answer in zip(tests, answers, strict=True)]
    ranked = sorted(groups.values(), key=lambda places: float(np.mean([right[place] for place in places])))
    places = ranked[min(2, len(ranked) - 1)] if len(groups) > 1 else range(len(tests))
    return {
        "rouge_l": float(np.mean([rouge_l(tests[place].answer, answers[place]) for place in places])),
        "accuracy": float(np.mean([right[place] for place in places])),
    }


def rouge_l(reference: str, answer: str) -> float:
    """Return the Rouge-L F measure of two texts, with stemming; 1 for texts that are equal."""
    return 1.0 if reference == answer else float(_scorer().score(reference, answer)["rougeL"].fmeasure)


@cache
def _scorer() -> Any:
    return need("rouge_score.rouge_scorer", "Rouge-L").RougeScorer(["rougeL"], use_stemmer=True)


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
    """Ask the language model; answers that the file holds are not asked for again."""
    lines = file.read_text(encoding="utf-8").splitlines() if file is not None and file.exists() else []
    known = {row["item"]: row["prediction"] for row in map(json.loads, lines)}
    found = []
    for item, test in enumerate(tqdm(tests, desc=task.name, disable=not progress, leave=False)):
        if item not in known:
            prompt = prompt_of(task, [pool[place] for place in shown[item]], test, head)
            known[item] = _answer(task, prompt, test, language_model)
            if file is not None:
                row = {"item": item, "examples": shown[item], "prediction": known[item], "answer": test.answer}
                with file.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        found.append(known[item])
    return found


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
    room = language_model.context - max(task.new_tokens, 24)
    if room < 64:
        raise InputError(f"{language_model.name} reads {language_model.context} tokens, too few for a prompt")
    return min(task.budget, room)


def _quarter_bytes(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


def _schema(folder: Path) -> str:
    """Return the tables of GeoQuery where its database lies beside the questions."""
    path = folder / "geoquery.sqlite"
    if not path.is_file():
        return ""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL").fetchall()
    finally:
        connection.close()
    return "\n\n".join(row[0] for row in rows) + "\n\n-- SQLite queries that answer questions on these tables\n\n"
