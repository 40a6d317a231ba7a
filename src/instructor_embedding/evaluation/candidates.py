"""Which of a user's instructions is better on a few labeled texts of theirs, and whether the difference is noise."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.evaluation import local_tasks
from instructor_embedding.evaluation.correlation import spearman
from instructor_embedding.evaluation.encoder import Encoder, PairEncoder
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32

_FORMS = (
    "text and label; or sentence1, sentence2 and score (the higher, the more alike); "
    "or query and document (each query's own)"
)


@dataclass(frozen=True)
class Trial:
    """How one candidate did.

    Parameters
    ----------
    instruction : str
    value : float
        In percent.
    low, high : float
        Its 95 % interval, by bootstrap over the rows.
    behind : float
        Points below the best candidate.
    behind_low, behind_high : float
        The interval of that difference, wide enough to hold for all candidates together (Bonferroni).
    noise : bool
        The difference from the best may be chance: its interval holds 0.
    """

    instruction: str
    value: float
    low: float
    high: float
    behind: float
    behind_low: float
    behind_high: float
    noise: bool


@dataclass(frozen=True)
class Labeled:
    """A small labeled file.

    Parameters
    ----------
    metric : str
        ``nearest_label``: a text's nearest neighbor has its label; ``spearman``: cosines follow the scores;
        ``reciprocal_rank``: how high a query finds its own document.
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
    """Return the rows of a jsonl, jsonl.gz, parquet, csv or tsv file.

    Raises
    ------
    InputError
        The file is missing, or broken.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"cannot read {file}: there is no such file")
    try:
        if file.suffix in (".csv", ".tsv"):
            with file.open(encoding="utf-8-sig", newline="") as stream:
                return list(csv.DictReader(stream, delimiter="," if file.suffix == ".csv" else "\t"))
        return local_tasks.rows(file)
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text (byte {error.start}); convert it first") from None


def labeled(rows: Sequence[Mapping[str, Any]]) -> Labeled:
    """Read rows of one of the known forms.

    Raises
    ------
    InputError
        The columns fit no form, or there are too few rows to compare anything.
    """
    if len(rows) < 8:
        raise InputError(f"there are {len(rows)} labeled rows; at least 8 are needed, and 50 or more tell anything")
    columns = set(rows[0])
    try:
        if {"text", "label"} <= columns:
            data = Labeled("nearest_label", [str(r["text"]) for r in rows], [], [str(r["label"]) for r in rows])
            if len(set(data.target)) < 2:
                raise InputError(f"all rows have the label {data.target[0]!r}; at least two labels are needed")
            return data
        if {"sentence1", "sentence2", "score"} <= columns:
            first, second = [str(r["sentence1"]) for r in rows], [str(r["sentence2"]) for r in rows]
            return Labeled("spearman", first, second, [float(r["score"]) for r in rows])
        if {"query", "document"} <= columns:
            return Labeled("reciprocal_rank", [str(r["query"]) for r in rows], [str(r["document"]) for r in rows], [])
    except (KeyError, ValueError) as error:
        raise InputError(f"a row is not like the first: {error}") from None
    raise InputError(f"the columns are {', '.join(sorted(columns))}; allowed: {_FORMS}")


def compare(
    model: Encoder | PairEncoder | Any,
    data: Labeled,
    candidates: Sequence[str],
    documents: Sequence[str] = (),
    *,
    draws: int = 2000,
    seed: int = 0,
) -> list[Trial]:
    """Try candidate instructions on labeled texts.

    Parameters
    ----------
    model : Encoder, INSTRUCTOR or object with encode(pairs)
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
    encoder = model if isinstance(model, Encoder) else Encoder(model)
    items = [_items(encoder, data, first, second) for first, second in zip(candidates, others, strict=True)]
    rng = np.random.default_rng(seed)
    size = len(data.first)
    picks = [np.arange(size), *(rng.integers(0, size, size) for _ in range(draws))]
    table = np.array([[_value(data, each, pick) for pick in picks] for each in items])
    return _trials(candidates, table)


def check(data: Labeled, candidates: Sequence[str], documents: Sequence[str]) -> None:
    """Raise InputError where `compare` cannot compare these."""
    if len(set(candidates)) < 2 or len(set(candidates)) < len(candidates):
        raise InputError(f"give two or more different instructions, got {list(candidates)!r}")
    if documents and data.metric != "reciprocal_rank":
        raise InputError("document instructions are for rows with query and document")
    if len(documents) not in (0, 1, len(candidates)):
        raise InputError(f"there are {len(documents)} document instructions for {len(candidates)} candidates")


def _trials(candidates: Sequence[str], table: Any) -> list[Trial]:
    """Return the trials, the best first; `table` is (candidates, 1 + draws), the first column without resampling."""
    best = int(np.argmax(table[:, 0]))
    tail = 0.025 / max(1, len(candidates) - 1)
    found = []
    for candidate, row in zip(candidates, 100 * table, strict=True):
        low, high = np.quantile(row[1:], [0.025, 0.975])
        behind = 100 * table[best] - row
        least, most = np.quantile(behind[1:], [tail, 1 - tail])
        noise = bool(least <= 0)
        found.append(Trial(candidate, row[0], low, high, behind[0], float(least), float(most), noise))
    return sorted(found, key=lambda trial: -trial.value)


def _items(encoder: Encoder, data: Labeled, first: str, second: str) -> Any:
    """Return what each row contributes, float64 of shape (n,)."""
    a = _scaled(encoder.encode([Pair(first, text) for text in data.first], "try"))
    if data.metric == "nearest_label":
        cosines = a @ a.T
        np.fill_diagonal(cosines, -np.inf)
        labels = np.array(data.target)
        return (labels[cosines.argmax(1)] == labels).astype(np.float64)
    other = second if data.metric == "reciprocal_rank" else first
    b = _scaled(encoder.encode([Pair(other, text) for text in data.second], "try"))
    if data.metric == "spearman":
        return (a * b).sum(1).astype(np.float64)
    cosines = a @ b.T
    own = np.diagonal(cosines)[:, None]
    # the same document may stand in several rows
    same = np.array([[one == other for other in data.second] for one in data.second])
    return 1 / (1 + ((cosines > own) & ~same).sum(1))


def _value(data: Labeled, items: Any, pick: Any) -> float:
    """Return the metric over some rows."""
    if data.metric != "spearman":
        return float(items[pick].mean())
    return spearman(items[pick], np.array(data.target)[pick])


def _scaled(vectors: Float32) -> Any:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
