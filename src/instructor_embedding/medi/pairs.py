"""The relations of a file of records in any form of training data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.files.named_data import records_of
from instructor_embedding.files.records import RecordError, Reject, parsed
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.forms import Group, Item, Labelled, Match, Reading, Scored, columns_of
from instructor_embedding.medi.relation import Relation

LEAST_SCORE = 0.8  # of the scale: pairs below it do not match
_SCALES = (1, 5, 10, 100)


def read(path: Path, reject: Callable[[Reject], None] | None = None, columns: Sequence[str] = ()) -> Iterator[Relation]:
    """Yield the relations of a file, in order.

    A set of n texts gives n - 1 relations of one group, each text with the next. A query with a list of positives gives
    one relation for each, with the negative at the same index, or the last negative. A scored pair is a relation if its
    score is at least 0.8 of the scale, which is the smallest of 1, 5, 10 and 100 that no score of the file exceeds.

    Parameters
    ----------
    path : path
        A file, or a dataset saved to disk.
    reject : callable, optional
        Receives records of another form, as a `Reject`; without it they are errors.
    columns : sequence of str
        As in `forms.columns_of`.

    Raises
    ------
    InputError
        With file and line of the first record of another form.
    """
    reading = Reading(columns_of(columns))
    least = lru_cache(maxsize=1)(lambda: _least_score(path, reading))

    def relations(record: Any) -> list[Relation]:
        task, item = reading.parse(record, "")
        return [relation._replace(task=task) for relation in relations_of(item, least)]

    yield from chain.from_iterable(parsed(path, relations, reject, records_of(path, reject)))


def relations_of(item: Item | Group, least: Callable[[], float]) -> list[Relation]:
    """Return the relations of one item; none for two texts whose score is below what `least` returns."""
    if isinstance(item, Match):
        last = len(item.negatives) - 1
        negatives = [item.negatives[min(index, last)] if last >= 0 else None for index in range(len(item.positives))]
        return [_relation(item.query, *both) for both in zip(item.positives, negatives, strict=True)]
    if isinstance(item, Group):
        return [_relation(*both)._replace(group=item.texts[0].text.strip()) for both in pairwise(item.texts)]
    if isinstance(item, Scored):
        return [_relation(item.first, item.second)] if item.score >= least() else []
    assert isinstance(item, Labelled)  # texts alone are not a form of records
    return [_relation(item.text, item.text._replace(text=item.label))]


def _relation(query: Pair, pos: Pair, neg: Pair | None = None) -> Relation:
    instructions = (query.instruction, pos.instruction)
    texts = (query.text.strip(), pos.text.strip(), neg.text.strip() if neg else "")
    return Relation(*texts, instructions=instructions if any(instructions) else None)


def _least_score(path: Path, reading: Reading) -> float:
    """Return the score from which the pairs of a file match, after a pass over it; invalid records are left out."""
    largest = 0.0
    for _, record in records_of(path, lambda reject: None):
        with suppress(RecordError):
            _, item = reading.parse(record, "")
            largest = max(largest, item.score if isinstance(item, Scored) else 0)
    scale = next((scale for scale in _SCALES if largest <= scale), None)
    if scale is None:
        raise InputError(f"{path}: the largest score is {largest:g}; scores must be from 0 to 1, 5, 10 or 100")
    return LEAST_SCORE * scale
