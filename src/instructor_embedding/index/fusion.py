"""Reciprocal rank fusion: one order from several."""

from __future__ import annotations

from collections.abc import Sequence

from instructor_embedding.index.store import Match

CONSTANT = 60  # Cormack, Clarke and Buettcher, SIGIR 2009


def fused(rankings: Sequence[Sequence[Match]], k: int) -> list[Match]:
    """Return the `k` rows with the largest sums of ``1 / (60 + rank)`` over the rankings, best first.

    Examples
    --------
    >>> a, b = Match("a", 0.9, "", {}), Match("b", 0.8, "", {})
    >>> [match.id for match in fused([[a, b], [b]], 2)]
    ['b', 'a']
    """
    scores: dict[str, float] = {}
    rows: dict[str, Match] = {}
    for ranking in rankings:
        for rank, match in enumerate(ranking, 1):
            scores[match.id] = scores.get(match.id, 0.0) + 1 / (CONSTANT + rank)
            rows.setdefault(match.id, match)
    best = sorted(scores, key=lambda name: -scores[name])[:k]
    return [rows[name]._replace(score=scores[name]) for name in best]
