"""What both stores of Qdrant share: ids of points, their payload, filters and matches."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.index.filters import Comparison, Condition, Junction, Missing, Negation, Within
from instructor_embedding.index.store import Match

_NAMESPACE = uuid.UUID("5f2c1b9e-3d0b-5f6e-9a51-8a4b1c9d2e77")
TEXT, ID, DIGEST = "_text", "_id", "_digest"


def point_id(name: str) -> str:
    """Return the UUID of a row: Qdrant's ids are integers or UUIDs."""
    return str(uuid.uuid5(_NAMESPACE, name))


def payload_of(name: str, text: str, digest: int, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of a point: a row without its vectors."""
    present = {key: value for key, value in columns.items() if value is not None}
    return {ID: name, TEXT: text, DIGEST: digest, **present}


def match_of(payload: Mapping[str, Any], score: float, columns: Sequence[str]) -> Match:
    """Return a point as a match."""
    return Match(payload[ID], float(score), payload[TEXT], {name: payload.get(name) for name in columns})


def id_and_digest(payload: Mapping[str, Any]) -> tuple[str, int]:
    """Return the id and the digest of a point."""
    return str(payload[ID]), int(payload[DIGEST])


def id_and_text(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Return the id and the text of a point."""
    return str(payload[ID]), str(payload[TEXT])


def without_full_text(location: str) -> InputError:
    """Return the error of a search for words: Qdrant matches texts, but does not rank them."""
    return InputError(
        f"{location}: the store qdrant does not rank full text; search without --hybrid, or build the index "
        "with a store that does: instructor-embed index build FILE -o NEW --store lancedb"
    )


class FilterWriter:
    """Conditions as filters of Qdrant, with the classes of its client or of its embedded form.

    Parameters
    ----------
    models : module
        Has ``Filter``, ``FieldCondition``, ``MatchValue``, ``MatchAny``.
    ranges : callable
        Makes a range from ``gt``, ``gte``, ``lt`` and ``lte``.
    missing : callable
        Makes the condition that a key has no value.
    """

    def __init__(self, models: Any, ranges: Any, missing: Any) -> None:
        self._models, self._ranges, self._missing = models, ranges, missing

    def write(self, condition: Condition) -> Any:
        """Return a filter. As in SQL, a row without a value matches no comparison, nor its negation."""
        models = self._models
        if isinstance(condition, Junction):
            filters = [self.write(item) for item in condition.conditions]
            return models.Filter(must=filters) if condition.word == "and" else models.Filter(should=filters)
        if isinstance(condition, Negation):
            columns = [self._missing(_key(name)) for name in _columns(condition.condition)]
            return models.Filter(must_not=[self.write(condition.condition), *columns])
        if isinstance(condition, Missing):
            return models.Filter(must=[self._missing(_key(condition.column))])
        key = _key(condition.column)
        if isinstance(condition, Within):
            return models.Filter(should=[self._equal(key, value) for value in condition.values])
        return self._comparison(key, condition)

    def _comparison(self, key: str, condition: Comparison) -> Any:
        models = self._models
        if condition.operator == "=":
            return models.Filter(must=[self._equal(key, condition.value)])
        if condition.operator == "!=":
            return models.Filter(must_not=[self._equal(key, condition.value), self._missing(key)])
        name = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}[condition.operator]
        return models.Filter(must=[models.FieldCondition(key=key, range=self._ranges(**{name: condition.value}))])

    def _equal(self, key: str, value: Any) -> Any:
        models = self._models
        if isinstance(value, float):
            return models.FieldCondition(key=key, range=self._ranges(gte=value, lte=value))
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _key(column: str) -> str:
    return ID if column == "id" else column


def _columns(condition: Condition) -> set[str]:
    """Return the columns whose missing values make a condition unknown."""
    if isinstance(condition, Junction):
        return {name for item in condition.conditions for name in _columns(item)}
    if isinstance(condition, Negation):
        return _columns(condition.condition)
    return set() if isinstance(condition, Missing) else {condition.column}
