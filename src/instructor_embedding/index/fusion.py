"""Reciprocal rank fusion: one order from several."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from instructor_embedding.index.store import Match

_Id = TypeVar("_Id", bound=Hashable)
CONSTANT = 60  # Cormack, Clarke and Buettcher, SIGIR 2009


def fused_scores(rankings: Iterable[Iterable[_Id]], constant: int = CONSTANT) -> dict[_Id, float]:
    """Return the sum of ``1 / (constant + rank)`` of each id over the rankings, which are ids, best first.

    Examples
    --------
    >>> scores = fused_scores([["a", "b"], ["b"]])
    >>> max(scores, key=scores.get)
    'b'
    """
    scores: dict[_Id, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0.0) + 1 / (constant + rank)
    return scores


def fused(rankings: Sequence[Sequence[Match]], k: int) -> list[Match]:
    """Return the `k` rows with the largest sums of ``1 / (60 + rank)`` over the rankings, best first.

    Examples
    --------
    >>> a, b = Match("a", 0.9, "", {}), Match("b", 0.8, "", {})
    >>> [match.id for match in fused([[a, b], [b]], 2)]
    ['b', 'a']
    """
    rows = {match.id: match for ranking in reversed(rankings) for match in ranking}
    scores = fused_scores([match.id for match in ranking] for ranking in rankings)
    best = sorted(scores, key=lambda name: -scores[name])[:k]
    return [rows[name]._replace(score=scores[name]) for name in best]
