"""How well a labeling can be recovered from vectors: by a linear classifier, by the nearest neighbor, by clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from instructor_embedding.extras import need
from instructor_embedding.vectors import Float32, unit

METRICS = ("linear", "nearest", "v_measure")
_PURPOSE = "evaluation of instruction following"
_STRENGTH = 10.0  # inverse regularization: vectors have unit norm, so scikit-learn's 1.0 underfits
_BLOCK = 2048  # rows whose cosines to all others are computed together


@dataclass(frozen=True)
class Recovery:
    """How well a labeling was recovered; all values between 0 and 1.

    Parameters
    ----------
    linear, v_measure : float64 of shape (splits,)
        Accuracy of a logistic regression on the test half of each split; V-measure of k-means on that half.
    nearest : float64 of shape (texts,)
        1 where the nearest other text has the same label.
    chance : float
        The share of the most frequent label.
    """

    linear: Any
    v_measure: Any
    nearest: Any
    chance: float

    def values(self, metric: str) -> Any:
        """Return the values whose mean is the figure."""
        return getattr(self, metric)


def recovery(vectors: Float32, labels: list[str], *, splits: int = 10, seed: int = 0) -> Recovery:
    """Measure how well labels are recovered from vectors, float32 of shape (texts, dim).

    The splits are stratified halves, the same for every set of vectors, so that results are compared in pairs.
    """
    selection = need("sklearn.model_selection", _PURPOSE)
    rows = unit(vectors)
    _, targets = np.unique(labels, return_inverse=True)
    halves = selection.StratifiedShuffleSplit(n_splits=splits, test_size=0.5, random_state=seed)
    linear, measures = [], []
    for number, (train, test) in enumerate(halves.split(rows, targets)):
        linear.append(_linear(rows[train], targets[train], rows[test], targets[test]))
        measures.append(_clusters(rows[test], targets[test], seed + number))
    chance = float(np.bincount(targets).max() / len(targets))
    return Recovery(np.array(linear), np.array(measures), _nearest(rows, targets), chance)


def standard_error(values: Any, metric: str) -> float:
    """Return the standard error of the mean of a metric's values, or of their differences.

    Splits of the same texts overlap, so that their plain standard error is far too small: the variance is corrected by
    Nadeau and Bengio's factor, 1 / splits + test / train, which is 1 / splits + 1 for halves.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return 0.0
    variance = float(values.var(ddof=1))
    return float(np.sqrt(variance / len(values) if metric == "nearest" else variance * (1 / len(values) + 1)))


def _linear(train: Any, train_labels: Any, test: Any, test_labels: Any) -> float:
    models = need("sklearn.linear_model", _PURPOSE)
    classifier = models.LogisticRegression(C=_STRENGTH, max_iter=1000).fit(train, train_labels)
    return float((classifier.predict(test) == test_labels).mean())


def _clusters(rows: Any, labels: Any, seed: int) -> float:
    cluster, metrics = need("sklearn.cluster", _PURPOSE), need("sklearn.metrics", _PURPOSE)
    means = cluster.KMeans(n_clusters=len(set(labels.tolist())), n_init=4, random_state=seed).fit_predict(rows)
    return float(metrics.v_measure_score(labels, means))


def _nearest(rows: Any, labels: Any) -> Any:
    same = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        cosines = rows[start : start + _BLOCK] @ rows.T
        own = np.arange(len(cosines))
        cosines[own, start + own] = -np.inf
        same[start : start + _BLOCK] = labels[cosines.argmax(1)] == labels[start : start + _BLOCK]
    return same
