"""Correlations and intervals, computed by scipy."""

from __future__ import annotations

from typing import Any

import numpy as np

from instructor_embedding.extras import need

_PURPOSE = "evaluation"


def pearson(a: Any, b: Any) -> float:
    """Return Pearson's correlation of two arrays of shape (n,); 0 where one of them is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(need("scipy.stats", _PURPOSE).pearsonr(a, b).statistic)


def spearman(a: Any, b: Any) -> float:
    """Return Spearman's correlation of two arrays of shape (n,); 0 where one of them is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(need("scipy.stats", _PURPOSE).spearmanr(a, b).statistic)


def interval(
    values: Any, statistic: Any = np.mean, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return a bootstrap interval of a statistic over the rows of some arrays, by percentiles.

    Parameters
    ----------
    values : tuple of arrays of shape (n,)
        Resampled together.
    statistic : callable
        Of as many arrays as there are.
    level : float
        Coverage.
    draws, seed : int
        Of the bootstrap; a seed resamples the same rows, so that statistics of the same rows are compared in pairs.
    """
    result = need("scipy.stats", _PURPOSE).bootstrap(
        values,
        statistic,
        paired=len(values) > 1,
        vectorized=False,
        confidence_level=level,
        n_resamples=draws,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
