"""Named instructions: the published ones, what search APIs call query and document, and those of your file.

The file is TOML. A name stands for one instruction, or for one per side::

    [instructions]
    tickets = "Represent the support ticket for clustering by topic: "

    [instructions.manual]
    query = "Represent the question for retrieving the matching chapter: "
    document = "Represent the chapter for retrieval: "
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.evaluation.instructions import SIDES, facts
from instructor_embedding.instruction import DOCUMENTS

LONGEST = 10_000  # characters of an instruction; the tokenizer remembers instructions, so they are bounded
BUILT_IN = {
    "query": {"text": "Represent the query for retrieving supporting documents: "},
    "document": {"text": DOCUMENTS},
}
Table = dict[str, dict[str, str]]


def published(model: str) -> Table:
    """Return the instructions of the published evaluation by data set and side, as for the size in a model's name."""
    size = next((size for size in ("base", "large", "xl") if size in model.lower()), "large")
    table: Table = {}
    for fact in facts():
        if {size, "all"} & set(fact.models):
            table.setdefault(fact.dataset, {})[fact.side] = str(fact)
    return table | BUILT_IN


def read(path: Path) -> Table:
    """Read a table from a TOML file.

    Raises
    ------
    InputError
        The file is missing or is not such a table.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    rows = content.get("instructions")
    if not isinstance(rows, dict) or len(content) > 1:
        raise InputError(f'{path} must have one table, [instructions], with lines such as name = "Represent the ...: "')
    return {name: _sides(name, value, path) for name, value in rows.items()}


def _sides(name: str, value: Any, path: Path) -> dict[str, str]:
    sides = {"text": value} if isinstance(value, str) else value
    if not isinstance(sides, dict) or not sides:
        raise InputError(f"{path}: {name} must be a string or a table of {', '.join(SIDES)}, got {value!r}")
    for side, text in sides.items():
        if side not in SIDES:
            raise InputError(f"{path}: {name}.{side} is not a side{nearest(side, SIDES)}; known: {', '.join(SIDES)}")
        if not isinstance(text, str) or len(text) > LONGEST:
            raise InputError(f"{path}: {name}.{side} must be a string of at most {LONGEST} characters")
    return sides


def lookup(table: Table, name: str, side: str | None, field: str) -> str:
    """Return the instruction of a name, and of a side where the name has several.

    Raises
    ------
    InputError
        There is no such name or side; `field` is where the request gave it.
    """
    if name not in table:
        raise InputError(
            f"{field}={name!r} is not a named instruction{nearest(name, table)}; GET /instructions lists them, "
            "and instruction= takes any text"
        )
    sides = table[name]
    if side is None and len(sides) == 1:
        return next(iter(sides.values()))
    if side is None or side not in sides:
        raise InputError(f"{field}={name!r} needs an input_type: {' or '.join(sides)}")
    return sides[side]
