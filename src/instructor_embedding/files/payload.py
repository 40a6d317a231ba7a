"""Payload: columns that are stored beside a text and its vector, and the types that their values get."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from instructor_embedding.errors import InputError, choose
from instructor_embedding.files.manifest import COLUMN_TYPES
from instructor_embedding.files.shards import OWN_COLUMNS


def typed(value: Any, kind: str, name: str, position: str) -> Any:
    """Return a payload value in the type of its column; an empty cell of a number is missing.

    Raises
    ------
    InputError
        The value is not of that type.
    """
    if value is None or (kind != "text" and value == ""):
        return None
    try:
        if kind == "text":
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        if kind == "bool":
            return {"true": True, "1": True, "false": False, "0": False}[str(value).strip().lower()]
        if kind == "int":
            if float(value) != int(float(value)):
                raise ValueError
            return int(value)
        return float(value)
    except (ValueError, KeyError, TypeError, OverflowError):
        article = "an" if kind == "int" else "a"
        raise InputError(
            f"{position}: {name} is {value!r}, not {article} {kind}; keep it as text: --keep {name}"
        ) from None


def payload_columns(names: Iterable[str]) -> dict[str, str]:
    """Return payload columns and their types from ``NAME`` or ``NAME:TYPE``.

    Raises
    ------
    InputError
        A type is unknown, or a name is that of a column of every index.
    """
    columns: dict[str, str] = {}
    for item in names:
        name, colon, kind = item.rpartition(":")
        if not colon or (kind not in COLUMN_TYPES and not kind.isalpha()):
            name, kind = item, "text"
        columns[name] = choose(f"--keep {name}: type", kind, COLUMN_TYPES)
        if name in OWN_COLUMNS:
            raise InputError(f"--keep {name}: every index has a column of this name; leave it out, or name another one")
    return columns
