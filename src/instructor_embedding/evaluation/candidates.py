"""Which of a user's instructions is better on a few labeled texts of theirs, and whether the difference is noise."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.encoders import PairEncoder
from instructor_embedding.errors import InputError
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.mteb.folder_files import rows
from instructor_embedding.evaluation.statistics import interval, spearman
from instructor_embedding.instruction import Pair
from instructor_embedding.vectors import unit

_FORMS = (
    "text and label; or sentence1, sentence2 and score (the higher, the more alike); "
    "or query and document (each query's own)"
)


@dataclass(frozen=True)
class Trial:
    """The result of one candidate.

    Parameters
    ----------
    instruction : str
    value : float
        In percent.
    low, high : float
        Its 95 % interval, by bootstrap over the rows.
    gap : float
        Points below the best candidate.
    gap_low, gap_high : float
        The interval of that difference, wide enough to hold for all candidates together (Bonferroni).
    noise : bool
        The difference from the best may be chance: its interval contains 0.
    """

    instruction: str
    value: float
    low: float
    high: float
    gap: float
    gap_low: float
    gap_high: float
    noise: bool


@dataclass(frozen=True)
class Labeled:
    """A small labeled file.

    Parameters
    ----------
    metric : str
        ``nearest_label``: the share of texts whose nearest neighbor, equal texts apart, has the same label;
        ``spearman``: cosines against the scores; ``reciprocal_rank``: of a query's own document among all.
    first, second : list of str
        Texts; the second sentences or documents, empty for labeled texts.
    target : list
        Labels or scores; empty for queries and documents.
    """

    metric: str
    first: list[str]
    second: list[str]
    target: list[Any]


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the rows of a file in any format with named columns.

    Raises
    ------
    InputError
        The file cannot be read, or a row has no names.
    """
    return list(rows(Path(path)))


def labeled(records: Sequence[Mapping[str, Any]]) -> Labeled:
    """Return the rows of one of the known forms as a `Labeled`.

    Raises
    ------
    InputError
        The columns fit no form, or there are too few rows to compare anything.
    """
    if len(records) < 8:
        raise InputError(
            f"there are {len(records)} labeled rows; at least 8 are needed, and 50 or more to see differences"
        )
    columns = set(records[0])
    try:
        if {"text", "label"} <= columns:
            data = Labeled("nearest_label", [str(r["text"]) for r in records], [], [str(r["label"]) for r in records])
            if len(set(data.target)) < 2:
                raise InputError(f"all rows have the label {data.target[0]!r}; at least two labels are needed")
            return data
        if {"sentence1", "sentence2", "score"} <= columns:
            first, second = [str(r["sentence1"]) for r in records], [str(r["sentence2"]) for r in records]
            return Labeled("spearman", first, second, [float(r["score"]) for r in records])
        if {"query", "document"} <= columns:
            return Labeled(
                "reciprocal_rank", [str(r["query"]) for r in records], [str(r["document"]) for r in records], []
            )
    except (KeyError, ValueError) as error:
        raise InputError(f"a row is not like the first: {error}") from None
    raise InputError(f"the columns are {', '.join(sorted(columns))}; allowed: {_FORMS}")


def compare(
    model: CachedEncoder | PairEncoder | Any,
    data: Labeled,
    candidates: Sequence[str],
    documents: Sequence[str] = (),
    *,
    draws: int = 2000,
    seed: int = 0,
) -> list[Trial]:
    """Try candidate instructions on labeled texts.

    The best candidate is chosen on the same rows that its lead is measured on, so a small lead is optimistic: take
    ``noise`` seriously, and confirm on other texts what matters.

    Parameters
    ----------
    model : CachedEncoder, INSTRUCTOR or object with encode(pairs)
    data : Labeled
    candidates : list of str
        Instructions of the texts, or of the queries.
    documents : list of str
        Instructions of the documents: one for all candidates or one for each; default: the candidate itself.
    draws, seed : int
        Of the bootstrap.

    Returns
    -------
    list of Trial
        The best first.

    Raises
    ------
    InputError
        There are fewer than two candidates, or another number of document instructions.
    """
    check(data, candidates, documents)
    others = list(documents) * len(candidates) if len(documents) == 1 else list(documents) or list(candidates)
    encoder = CachedEncoder.of(model)
    contributions = [_items(encoder, data, first, second) for first, second in zip(candidates, others, strict=True)]
    values = [_value(data, items) for items in contributions]
    best = int(np.argmax(values))
    level = 1 - 0.05 / max(1, len(candidates) - 1)
    trials = []
    for number, (candidate, items, value) in enumerate(zip(candidates, contributions, values, strict=True)):
        low, high = _interval(data, items, None, 0.95, draws, seed)
        lead = (0.0, 0.0) if number == best else _interval(data, contributions[best], items, level, draws, seed)
        trials.append(Trial(candidate, value, low, high, values[best] - value, *lead, noise=bool(lead[0] <= 0)))
    return sorted(trials, key=lambda trial: -trial.value)


def check(data: Labeled, candidates: Sequence[str], documents: Sequence[str]) -> None:
    """Raise InputError where `compare` cannot compare these."""
    if len(set(candidates)) < 2 or len(set(candidates)) < len(candidates):
        raise InputError(f"give two or more different instructions, got {list(candidates)!r}")
    if documents and data.metric != "reciprocal_rank":
        raise InputError("document instructions are for rows with query and document")
    if len(documents) not in (0, 1, len(candidates)):
        raise InputError(f"there are {len(documents)} document instructions for {len(candidates)} candidates")


def _items(encoder: CachedEncoder, data: Labeled, first: str, second: str) -> Any:
    """Return what each row contributes, float64 of shape (n,)."""
    a = unit(encoder.encode([Pair(first, text) for text in data.first], "try"))
    if data.metric == "nearest_label":
        cosines = a @ a.T
        # a text that occurs twice would be its own nearest neighbor
        _, text = np.unique(data.first, return_inverse=True)
        cosines[text[:, None] == text[None]] = -np.inf
        labels = np.array(data.target)
        return (labels[cosines.argmax(1)] == labels).astype(np.float64)
    other = second if data.metric == "reciprocal_rank" else first
    b = unit(encoder.encode([Pair(other, text) for text in data.second], "try"))
    if data.metric == "spearman":
        return (a * b).sum(1).astype(np.float64)
    cosines = a @ b.T
    own = np.diagonal(cosines)[:, None]
    # the same document may occur in several rows
    _, document = np.unique(data.second, return_inverse=True)
    return 1 / (1 + ((cosines > own) & (document[:, None] != document[None])).sum(1))


def _value(data: Labeled, items: Any) -> float:
    """Return the metric in percent."""
    return 100 * (spearman(items, np.array(data.target)) if data.metric == "spearman" else float(np.mean(items)))


def _interval(data: Labeled, items: Any, other: Any, level: float, draws: int, seed: int) -> tuple[float, float]:
    """Return the bootstrap interval of the metric, or of its difference from that of `other`, in percent."""
    if data.metric != "spearman":
        values = items if other is None else items - other
        low, high = interval((values,), level=level, draws=draws, seed=seed)
        return 100 * low, 100 * high
    target = np.array(data.target)
    if other is None:
        low, high = interval((items, target), spearman, level=level, draws=draws, seed=seed)
    else:
        low, high = interval(
            (items, other, target),
            lambda a, b, c: spearman(a, c) - spearman(b, c),
            level=level, draws=draws, seed=seed,
        )  # fmt: skip
    return 100 * low, 100 * high
