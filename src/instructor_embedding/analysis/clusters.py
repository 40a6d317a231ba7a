"""Groups of texts: k-means on vectors of unit norm, the number of groups, and the words that describe them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.vectors import Float32, checked, unit

_WORD = re.compile(r"[^\W\d_][\w'-]+")
_SAMPLE = 2000  # rows that the silhouette is computed from
_STOP = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "get",
        "had",
        "has",
        "have",
        "he",
        "her",
        "him",
        "his",
        "how",
        "i",
        "i'm",
        "if",
        "in",
        "into",
        "is",
        "it",
        "it's",
        "its",
        "just",
        "like",
        "me",
        "more",
        "most",
        "my",
        "no",
        "not",
        "of",
        "on",
        "one",
        "or",
        "our",
        "out",
        "over",
        "she",
        "so",
        "some",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "they",
        "this",
        "to",
        "up",
        "us",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


class Clustering(NamedTuple):
    """Groups of rows.

    Attributes
    ----------
    labels : int64 of shape (n,)
        Group of each row, from 0; the largest group is 0.
    silhouette : float
        -1 to 1: how much nearer rows are to their own group than to the next one.
    """

    labels: NDArray[np.int64]
    silhouette: float

    @property
    def groups(self) -> int:
        """The number of groups."""
        return int(self.labels.max()) + 1


def clustered(vectors: Float32, k: int | None = None, *, largest: int = 20, seed: int = 0) -> Clustering:
    """Return the groups of rows.

    Parameters
    ----------
    vectors : float32 of shape (n, dim)
    k : int, optional
        Groups; default: the number up to `largest` with the best silhouette.
    largest : int
        The largest number that is tried.
    seed : int
        Of k-means; equal seeds give equal groups.

    Raises
    ------
    InputError
        There are fewer than 3 rows, or fewer than `k` + 1.
    """
    rows = unit(checked(vectors))
    if len(rows) < 3 or (k is not None and not 2 <= k < len(rows)):
        raise InputError(f"{len(rows)} texts in {k or 'some'} groups: at least 2 groups and 1 text more are required")
    sizes = [k] if k else range(2, min(largest, len(rows) - 1, max(2, math.isqrt(2 * len(rows)))) + 1)
    best: Clustering | None = None
    for size in sizes:
        labels = _k_means(rows, size, seed)
        clustering = Clustering(labels, _silhouette(rows, labels, seed))
        if best is None or clustering.silhouette > best.silhouette + 1e-6:
            best = clustering
    assert best is not None
    return best


def words_of(texts: Sequence[str], labels: NDArray[np.int64], count: int = 5) -> list[list[str]]:
    """Return the words of each group that are frequent in it and rare elsewhere (class-based TF-IDF)."""
    groups: list[Counter[str]] = [Counter() for _ in range(int(labels.max()) + 1)]
    for text, label in zip(texts, labels.tolist(), strict=True):
        groups[label].update({word for word in _WORD.findall(text.lower()) if word not in _STOP})
    total: Counter[str] = Counter()
    for group in groups:
        total.update(group)
    mean = sum(total.values()) / len(groups)
    described = []
    for group in groups:
        scores = {word: times * math.log(1 + mean / total[word]) for word, times in group.items()}
        described.append(sorted(scores, key=lambda word: (-scores[word], word))[:count])
    return described


def _k_means(rows: Float32, k: int, seed: int) -> NDArray[np.int64]:
    cluster = need("sklearn.cluster", "clustering")
    labels = cluster.KMeans(k, n_init=4, random_state=seed).fit_predict(rows)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    rank = np.empty(k, np.int64)
    rank[order] = np.arange(k)
    renamed: NDArray[np.int64] = rank[labels]
    return renamed


def _silhouette(rows: Float32, labels: NDArray[np.int64], seed: int) -> float:
    if len(np.unique(labels)) < 2:
        return -1.0
    metrics = need("sklearn.metrics", "clustering")
    size = min(len(rows), _SAMPLE)
    sample = np.random.default_rng(seed).permutation(len(rows))[:size]
    if not 1 < len(np.unique(labels[sample])) < size:
        return -1.0
    return float(metrics.silhouette_score(rows[sample], labels[sample]))
