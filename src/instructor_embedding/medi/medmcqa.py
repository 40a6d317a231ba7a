"""MedMCQA: an exam question, its right option with the explanation, and a wrong option.

Records as published: ``question``, ``opa`` to ``opd``, ``cop`` (the right one, from 1), ``exp`` (may be null).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.medi.records import RecordError, Reject, read_records
from instructor_embedding.medi.relation import Relation

_OPTIONS = ("opa", "opb", "opc", "opd")


def read(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Relation]:
    """Yield question, right option and the next wrong option of each record; arguments as in `pairs.read`.

    Raises
    ------
    InputError
        With file, line and field of the first record of another form.
    """
    for (what, number), record in read_records(path, reject):
        try:
            yield _relation(record)
        except RecordError as error:
            if reject is None:
                raise InputError(f"{path}, {what} {number}: {error}") from None
            reject(Reject(str(path), f"{what} {number}", str(error), record))


def _relation(record: Any) -> Relation:
    if not isinstance(record, dict):
        raise RecordError("a MedMCQA record is an object with question, opa to opd and cop")
    for field in ("question", *_OPTIONS):
        if not isinstance(record.get(field), str) or not record[field].strip():
            raise RecordError(f"{field} is {record.get(field)!r:.60}; it must be a text")
    right = record.get("cop")
    if not isinstance(right, int) or not 1 <= right <= 4:
        raise RecordError(f"cop is {right!r:.60}; it must be 1 to 4")
    options = [record[name].strip() for name in _OPTIONS]
    wrong = next((option for option in (*options[right:], *options[: right - 1]) if option != options[right - 1]), "")
    explained = record.get("exp")
    positive = options[right - 1]
    if isinstance(explained, str) and explained.strip():
        positive = f"{positive}. {explained.strip()}"
    return Relation(record["question"].strip(), positive, wrong)
