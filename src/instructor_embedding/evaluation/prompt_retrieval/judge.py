"""Scores of Prompt Retrieval: do the examples shown agree with the item, and is the language model's answer right?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from instructor_embedding.evaluation.prompt_retrieval.task import Example
from instructor_embedding.extras import need


def agreement(pool: Sequence[Example], tests: Sequence[Example], shown: Sequence[Sequence[int]]) -> dict[str, float]:
    """Return how often the examples shown have the answer of their item, which needs no language model.

    ``nearest_agrees``: the most similar example's answer is the item's; ``shown_agree``: the share among all shown.
    Where answers are not labels, Rouge-L replaces equality. Items without an example count as 0.
    """
    labels = all(test.options == tests[0].options and test.options for test in tests)
    likeness = (lambda a, b: float(a == b)) if labels else rouge_l
    nearest, every = [], []
    for test, indices in zip(tests, shown, strict=True):
        agreements = [likeness(test.answer, pool[index].answer) for index in indices]
        nearest.append(agreements[-1] if agreements else 0.0)
        every.append(float(np.mean(agreements)) if agreements else 0.0)
    counts = [len(indices) for indices in shown]
    return {
        "nearest_agrees": float(np.mean(nearest)),
        "shown_agree": float(np.mean(every)),
        "examples_shown": float(np.mean(counts)),
    }


def judge(tests: Sequence[Example], answers: Sequence[str]) -> dict[str, float]:
    """Return Rouge-L and accuracy of a language model's answers.

    Where items belong to persons, only those of the person with the third-lowest accuracy count, as published.
    """
    groups: dict[str, list[int]] = {}
    for index, test in enumerate(tests):
        groups.setdefault(test.group, []).append(index)
    right = [float(answer.strip() == test.answer) for test, answer in zip(tests, answers, strict=True)]
    ranked = sorted(groups.values(), key=lambda indices: float(np.mean([right[index] for index in indices])))
    judged = ranked[min(2, len(ranked) - 1)] if len(groups) > 1 else range(len(tests))
    return {
        "rouge_l": float(np.mean([rouge_l(tests[index].answer, answers[index]) for index in judged])),
        "accuracy": float(np.mean([right[index] for index in judged])),
    }


def rouge_l(reference: str, answer: str) -> float:
    """Return the Rouge-L F measure of two texts, with stemming; 1 for texts that are equal."""
    return 1.0 if reference == answer else float(_scorer().score(reference, answer)["rougeL"].fmeasure)


@cache
def _scorer() -> Any:
    return need("rouge_score.rouge_scorer", "Rouge-L").RougeScorer(["rougeL"], use_stemmer=True)
