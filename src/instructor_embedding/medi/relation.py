"""What every source reader yields: two texts that match, and a third that does not where the source has one."""

from __future__ import annotations

from typing import NamedTuple


class Relation(NamedTuple):
    """Two texts that match.

    Attributes
    ----------
    query, pos : str
    neg : str
        A text that does not match, ``""`` where the source has none and it must be mined.
    group : str
        Relations of one group match each other, such as the texts of a ``{"set": [...]}``; ``""`` for no group.
    instructions : (str, str), optional
        Of query and positive, where the record brings them; default: those that are made of the source's facts.
    task : str
        The task that the record names; ``""``: that of its source.
    """

    query: str
    pos: str
    neg: str = ""
    group: str = ""
    instructions: tuple[str, str] | None = None
    task: str = ""
