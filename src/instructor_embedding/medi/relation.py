"""What every source reader yields: a text, one that matches it, and perhaps one that does not."""

from __future__ import annotations

from typing import NamedTuple


class Relation(NamedTuple):
    """Two texts that match.

    Attributes
    ----------
    query, pos : str
    neg : str
        A text that does not match, where the source has one, else ``""``: it is to be mined.
    group : str
        All texts of relations with the same group match each other; ``""`` says nothing.
    """

    query: str
    pos: str
    neg: str = ""
    group: str = ""
