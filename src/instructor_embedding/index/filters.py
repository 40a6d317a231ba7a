"""Filters on payload columns: a small language of conditions, and its form for each store.

``year >= 2019 and (lang = 'en' or lang is null) and not topic in ('ads', 'spam')``
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from instructor_embedding.errors import InputError, nearest

_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")"
    r"|(?P<name>[A-Za-z_][\w.-]*)|`(?P<quoted>[^`]+)`|(?P<mark><=|>=|==|!=|<>|[=<>(),]))"
)
_OPERATORS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_EXAMPLE = "year >= 2019 and lang in ('en', 'de')"


@dataclass(frozen=True)
class Comparison:
    """A column compared with a value; `operator` is one of ``= != < <= > >=``."""

    column: str
    operator: str
    value: Any


@dataclass(frozen=True)
class Within:
    """A column whose value is one of some."""

    column: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Missing:
    """A column without a value."""

    column: str


@dataclass(frozen=True)
class Negation:
    """The opposite of a condition."""

    condition: Condition


@dataclass(frozen=True)
class Junction:
    """Conditions joined by ``and`` or ``or``."""

    word: str
    conditions: tuple[Condition, ...]


Condition = Comparison | Within | Missing | Negation | Junction


def parse(text: str, columns: Mapping[str, str]) -> Condition:
    """Return the condition that a text describes.

    Parameters
    ----------
    text : str
        Comparisons, ``in (...)``, ``is null``, ``and``, ``or``, ``not``, parentheses.
    columns : dict of str to str
        Payload columns and their types, see `files.manifest.COLUMN_TYPES`.

    Raises
    ------
    InputError
        The text is not a condition, a column is unknown, or a value is not of its column's type.
    """
    reader = _Reader(text, columns)
    condition = reader.alternatives()
    if reader.peek()[1]:
        raise reader.error(f"{reader.peek()[1]!r} follows a complete condition")
    return condition


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise InputError(f"--where {text!r}: {text[at:].strip()[:20]!r} is not understood; write {_EXAMPLE}")
        kind = str(match.lastgroup)
        yield ("name" if kind == "quoted" else kind), match[kind]
        at = match.end()


class _Reader:
    """Recursive descent over the tokens of a filter."""

    def __init__(self, text: str, columns: Mapping[str, str]) -> None:
        self.text, self.columns = text, columns
        self.tokens = [*_tokens(text), ("end", "")]
        self.at = 0

    def error(self, why: str) -> InputError:
        return InputError(f"--where {self.text!r}: {why}; write it as {_EXAMPLE}")

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at]

    def take(self, *words: str) -> bool:
        kind, token = self.peek()
        if kind in ("name", "mark") and token.lower() in words:
            self.at += 1
            return True
        return False

    def alternatives(self) -> Condition:
        return self._joined("or", lambda: self._joined("and", self.single))

    def _joined(self, word: str, read: Callable[[], Condition]) -> Condition:
        conditions = [read()]
        while self.take(word):
            conditions.append(read())
        return conditions[0] if len(conditions) == 1 else Junction(word, tuple(conditions))

    def single(self) -> Condition:
        if self.take("not"):
            return Negation(self.single())
        if self.take("("):
            condition = self.alternatives()
            if not self.take(")"):
                raise self.error("a parenthesis is not closed")
            return condition
        return self.comparison()

    def comparison(self) -> Condition:
        kind, column = self.peek()
        if kind != "name":
            raise self.error(
                f"a column is expected, got {column!r}" if column else "it ends where a column is expected"
            )
        if column not in self.columns:
            known = ", ".join(self.columns) or "none; keep columns when building: --keep NAME"
            raise InputError(
                f"--where: the index has no column {column!r}{nearest(column, self.columns)}; its columns: {known}"
            )
        self.at += 1
        if self.take("is"):
            negated = self.take("not")
            if not self.take("null"):
                raise self.error("after 'is' comes null or not null")
            return Negation(Missing(column)) if negated else Missing(column)
        negated = self.take("not")
        if self.take("in"):
            within = Within(column, tuple(self.values(column)))
            return Negation(within) if negated else within
        token = self.peek()[1]
        if negated or token not in _OPERATORS:
            raise self.error(f"after the column {column!r} comes a comparison or in (...), got {token!r}")
        self.at += 1
        return Comparison(column, _OPERATORS[token], self.value(column))

    def values(self, column: str) -> Iterator[Any]:
        if not self.take("("):
            raise self.error("after 'in' comes a list in parentheses")
        yield self.value(column)
        while self.take(","):
            yield self.value(column)
        if not self.take(")"):
            raise self.error("a parenthesis is not closed")

    def value(self, column: str) -> Any:
        kind, token = self.peek()
        self.at += kind != "end"
        column_type = self.columns[column]
        value: Any
        types: tuple[str, ...]
        if kind == "text":
            value, types = token[1:-1].replace(token[0] * 2, token[0]), ("text",)
        elif kind == "number":
            number = float(token)
            value, types = (int(number) if re.fullmatch(r"-?\d+", token) else number), ("int", "float")
        elif token.lower() in ("true", "false"):
            value, types = token.lower() == "true", ("bool",)
        else:
            raise self.error(f"a value is expected, got {token!r}; texts are in single quotes")
        if column_type not in types:
            hint = f"; keep it as a number when building: --keep {column}:int" if column_type == "text" else ""
            raise InputError(f"--where: the column {column!r} holds {column_type} values, not {token}{hint}")
        return value


def to_sql(condition: Condition, quote: Callable[[str], str]) -> str:
    """Return a condition as SQL; `quote` returns the name of a column as the database reads it."""
    if isinstance(condition, Comparison):
        operator = "<>" if condition.operator == "!=" else condition.operator
        return f"{quote(condition.column)} {operator} {_literal(condition.value)}"
    if isinstance(condition, Within):
        return f"{quote(condition.column)} IN ({', '.join(map(_literal, condition.values))})"
    if isinstance(condition, Missing):
        return f"{quote(condition.column)} IS NULL"
    if isinstance(condition, Negation):
        return f"NOT ({to_sql(condition.condition, quote)})"
    return "(" + f" {condition.word.upper()} ".join(to_sql(item, quote) for item in condition.conditions) + ")"


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return ("true" if value else "false") if isinstance(value, bool) else repr(value)


def to_arrow(condition: Condition) -> Any:
    """Return a condition as an expression of pyarrow."""
    import operator

    from instructor_embedding.extras import need

    compute = need("pyarrow.compute", "filters")
    if isinstance(condition, Comparison):
        functions = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
        return getattr(operator, functions[condition.operator])(compute.field(condition.column), condition.value)
    if isinstance(condition, Within):
        column = compute.field(condition.column)
        # isin is false for a missing value, and its negation would be true: SQL has neither
        return column.isin(list(condition.values)) & column.is_valid()
    if isinstance(condition, Missing):
        return compute.field(condition.column).is_null()
    if isinstance(condition, Negation):
        if isinstance(condition.condition, Within):
            column = compute.field(condition.condition.column)
            return ~column.isin(list(condition.condition.values)) & column.is_valid()
        return ~to_arrow(condition.condition)
    expressions = [to_arrow(item) for item in condition.conditions]
    joined = expressions[0]
    for expression in expressions[1:]:
        joined = joined & expression if condition.word == "and" else joined | expression
    return joined
