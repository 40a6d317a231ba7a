"""Files of sentence-transformers' embedding training data: pairs, triples, sets, and queries with lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.files.records import RecordError, Reject, read_records
from instructor_embedding.medi.relation import Relation

_FORMS = (
    '["a", "b"], ["anchor", "positive", "negative"], {"set": [...]} or {"query": "...", "pos": [...], "neg": [...]}'
)


def read(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Relation]:
    """Yield the relations of a file, in order.

    A set of n texts gives n - 1 relations of one group, each text with the next; a query with lists gives one for each
    positive, with the negative at the same place, or the last.

    Parameters
    ----------
    path : path
        Json lines or a json list, plain or compressed.
    reject : callable, optional
        Takes records of another form, as a `Reject`; without it they are errors.

    Raises
    ------
    InputError
        With file and line of the first record of another form.
    """
    for (what, number), record in read_records(path, reject):
        try:
            yield from _relations(record)
        except RecordError as error:
            if reject is None:
                raise InputError(f"{path}, {what} {number}: {error}") from None
            reject(Reject(str(path), f"{what} {number}", str(error), record))


def _relations(record: Any) -> list[Relation]:
    if isinstance(record, list) and len(record) in (2, 3):
        return [Relation(*_texts(record))]
    if isinstance(record, dict) and isinstance(record.get("set"), list) and len(record["set"]) > 1:
        texts = _texts(record["set"])
        return [Relation(first, second, group=texts[0]) for first, second in pairwise(texts)]
    if isinstance(record, dict) and "query" in record and "pos" in record:
        positives, negatives = (_texts(_listed(record.get(side, []))) for side in ("pos", "neg"))
        (query,) = _texts([record["query"]])
        return [
            Relation(query, positive, negatives[min(place, len(negatives) - 1)] if negatives else "")
            for place, positive in enumerate(positives)
        ]
    raise RecordError(f"a record must be {_FORMS}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(values: list[Any]) -> list[str]:
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise RecordError(f"{value!r:.60} is no text; a record must be {_FORMS}")
    return [value.strip() for value in values]
