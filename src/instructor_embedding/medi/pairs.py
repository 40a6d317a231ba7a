"""Pairs of texts in the forms that people have: lists, sets, and objects with a field for each side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.files.records import RecordError, Reject, parsed, read_records
from instructor_embedding.medi.relation import Relation

FORMS = (
    '["a", "b"], ["anchor", "positive", "negative"], {"set": [...]}, {"query": "...", "pos": [...], "neg": [...]}, '
    '{"anchor", "positive", "negative"}, {"query", "positive"}, {"text1", "text2", "score"} or {"text", "label"}'
)
# fields of query, positive and negative, in the order in which they are looked for; the negative may be missing
_FIELDS = (
    ("query", "pos", "neg"),
    ("query", "positive", "negative"),
    ("anchor", "positive", "negative"),
    ("text1", "text2", ""),
    ("sentence1", "sentence2", ""),
    ("question", "answer", "negative"),
    ("text", "label", ""),
)
LEAST_SCORE = 0.8  # of the scale: pairs below it do not match
_SCALES = (1, 5, 10, 100)


def read(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Relation]:
    """Yield the relations of a file, in order.

    A set of n texts gives n - 1 relations of one group, each text with the next. A query with a list of positives gives
    one relation for each, with the negative at the same index, or the last negative. A scored pair is a relation if its
    score is at least 0.8 of the scale, which is the smallest of 1, 5, 10 and 100 that no score of the file exceeds.

    Parameters
    ----------
    path : path
        Anything that ``read_records`` reads.
    reject : callable, optional
        Receives records of another form, as a `Reject`; without it they are errors.

    Raises
    ------
    InputError
        With file and line of the first record of another form.
    """
    least = lru_cache(maxsize=1)(lambda: _least_score(path))

    def relations(record: Any) -> list[Relation]:
        scored = isinstance(record, dict) and "score" in record
        return relations_of(record, least() if scored else 0)

    yield from chain.from_iterable(parsed(path, relations, reject))


def relations_of(record: Any, least: float = 0) -> list[Relation]:
    """Return the relations of one record; none where its score is below `least`.

    Raises
    ------
    RecordError
        The record has none of the documented forms.
    """
    if isinstance(record, list) and len(record) in (2, 3):
        return [Relation(*_texts(record))]
    if isinstance(record, dict) and isinstance(record.get("set"), list) and len(record["set"]) > 1:
        texts = _texts(record["set"])
        return [Relation(first, second, group=texts[0]) for first, second in pairwise(texts)]
    if not isinstance(record, dict):
        raise RecordError(f"a record must be {FORMS}")
    fields = next((fields for fields in _FIELDS if set(fields[:2]) <= set(record)), None)
    if fields is None:
        hints = [nearest(str(key), [name for row in _FIELDS for name in row if name]) for key in record]
        raise RecordError(f"a record must be {FORMS}; it has {', '.join(map(str, record))}{next(iter(hints), '')}")
    if "score" in record and _score(record) < least:
        return []
    query, pos, neg = fields
    positives, negatives = _texts(_listed(record[pos])), _texts(_listed(record.get(neg) or []))
    (text,) = _texts([record[query]])
    return [
        Relation(text, positive, negatives[min(index, len(negatives) - 1)] if negatives else "")
        for index, positive in enumerate(positives)
    ]


def _least_score(path: Path) -> float:
    """Return the score from which the pairs of a file match, after a pass over it; unreadable scores are left out."""
    largest = 0.0
    for _, record in read_records(path, lambda reject: None):
        with suppress(RecordError):
            largest = max(largest, _score(record) if isinstance(record, dict) and "score" in record else 0)
    scale = next((scale for scale in _SCALES if largest <= scale), None)
    if scale is None:
        raise InputError(f"{path}: the largest score is {largest:g}; scores must be from 0 to 1, 5, 10 or 100")
    return LEAST_SCORE * scale


def _score(record: Any) -> float:
    try:
        return float(record["score"])
    except (TypeError, ValueError):
        raise RecordError(f"score is {record['score']!r:.60}; it must be a number") from None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(values: list[Any]) -> list[str]:
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise RecordError(f"{value!r:.60} is not a text; a record must be {FORMS}")
    return [value.strip() for value in values]
