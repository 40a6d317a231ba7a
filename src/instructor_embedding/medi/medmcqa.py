"""MedMCQA: an exam question, its right option and a wrong one; or the question and the explanation of its answer.

Records as published: ``question``, ``opa`` to ``opd``, ``cop`` (the right option, from 1), ``exp`` (may be null).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from instructor_embedding.files.records import RecordError, Reject, parsed
from instructor_embedding.medi.relation import Relation

_OPTIONS = ("opa", "opb", "opc", "opd")


def read(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Relation]:
    """Yield question, right option and the next wrong option of each record; arguments as in `pairs.read`.

    Raises
    ------
    InputError
        With file, line and field of the first record of another form.
    """
    return (answer for answer, _ in _read(path, reject))


def read_explanations(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Relation]:
    """Yield question and explanation of each record that has one; otherwise as `read`."""
    return (Relation(answer.query, explanation) for answer, explanation in _read(path, reject) if explanation)


def _read(path: Path, reject: Callable[[Reject], None] | None) -> Iterator[tuple[Relation, str]]:
    return parsed(path, lambda record: (_answer(record), _explanation(record)), reject)


def _answer(record: Any) -> Relation:
    if not isinstance(record, dict):
        raise RecordError("a MedMCQA record is an object with question, opa to opd and cop")
    for field in ("question", *_OPTIONS):
        if not isinstance(record.get(field), str) or not record[field].strip():
            raise RecordError(f"{field} is {record.get(field)!r:.60}; it must be a string")
    right = record.get("cop")
    if isinstance(right, bool) or not isinstance(right, int) or not 1 <= right <= 4:
        raise RecordError(f"cop is {right!r:.60}; it must be 1 to 4")
    options = [record[name].strip() for name in _OPTIONS]
    positive = options[right - 1]
    wrong = next((option for option in (*options[right:], *options[: right - 1]) if option != positive), "")
    return Relation(record["question"].strip(), positive, wrong)


def _explanation(record: dict[str, Any]) -> str:
    text = record.get("exp")
    if text is not None and not isinstance(text, str):
        raise RecordError(f"exp is {text!r:.60}; it must be a string or null")
    return (text or "").strip()
