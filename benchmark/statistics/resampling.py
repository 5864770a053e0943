"""Estimates with their intervals: the stratified bootstrap and what is estimated with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

CONFIDENCE = 0.95
RESAMPLES = 2000
GENERATOR_SEED = 0
CHUNK = 4_000_000
"""Numbers drawn at once: what bounds the memory of a bootstrap over a large frame."""
NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at 1 - (1 - 0.95) / 2."""

Statistic = Callable[[np.ndarray], np.ndarray]


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half of ``values`` (..., n) along the last axis.

    A quarter of the n values, rounded down, is cut at either end; below n = 4 it is the mean.

    >>> float(interquartile_mean(np.array([1, 2, 3, 4, 5, 6, 7, 800])))
    4.5
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def mean(values: np.ndarray) -> np.ndarray:
    """Mean of ``values`` (..., n) along the last axis."""
    return np.asarray(values, dtype=float).mean(axis=-1)


def resample(strata: np.ndarray, resamples: int = RESAMPLES) -> np.ndarray:
    """Positions (resamples, n) of a stratified bootstrap over n rows labelled by ``strata`` (n,).

    Rows are drawn with replacement within their stratum. Where every stratum has a single row,
    nothing could vary within them and all rows form one stratum. The generator is fixed: the
    same strata give the same positions.
    """
    codes = np.unique(np.asarray(strata), return_inverse=True)[1]
    if len(codes) == codes.max(initial=-1) + 1:
        codes = np.zeros_like(codes)
    generator = np.random.default_rng(GENERATOR_SEED)
    out = np.empty((resamples, len(codes)), dtype=np.int32)
    for code in range(codes.max(initial=-1) + 1):
        (members,) = np.nonzero(codes == code)
        draws = generator.integers(len(members), size=(resamples, len(members)))
        out[:, members] = members[draws]
    return out


def percentiles(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95% percentile interval of ``draws`` (resamples, ...) along the first axis."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return low, high


def bootstrap(
    values: np.ndarray, strata: np.ndarray, statistic: Statistic = interquartile_mean
) -> tuple[float, float, float]:
    """Estimate, and lower and upper end of its 95% interval, for ``values`` (n,).

    A single value has no interval: its ends are NaN.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float(statistic(values)), math.nan, math.nan
    positions = resample(strata)
    rows = max(CHUNK // len(values), 1)
    draws = [
        statistic(values[positions[start : start + rows]]) for start in range(0, RESAMPLES, rows)
    ]
    low, high = percentiles(np.concatenate(draws))
    return float(statistic(values)), float(low), float(high)


def interval(
    frame: pd.DataFrame,
    value: str,
    by: Sequence[str],
    *,
    strata: str = "cell",
    statistic: Statistic = interquartile_mean,
) -> pd.DataFrame:
    """Columns ``by``, ``trials``, ``estimate``, ``low``, ``high``: ``value`` by group."""
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        found = bootstrap(group[value].to_numpy(), group[strata].to_numpy(), statistic)
        rows.append((*key, len(group), *found))
    return pd.DataFrame(rows, columns=[*by, "trials", "estimate", "low", "high"])


def performance_profile(
    frame: pd.DataFrame,
    value: str,
    by: Sequence[str],
    thresholds: Sequence[float] | np.ndarray,
    *,
    strata: str = "cell",
) -> pd.DataFrame:
    """Columns ``by``, ``threshold``, ``estimate``, ``low``, ``high``: the share above a threshold.

    For each group the share of runs whose ``value`` exceeds the threshold, first within each
    stratum and then averaged over the strata, so that every cell counts the same whatever its
    number of seeds; the intervals are pointwise, from one stratified bootstrap
    (Agarwal et al. 2021, 2108.13264, eq. 1).
    """
    levels = np.asarray(thresholds, dtype=float)
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        above = group[value].to_numpy(dtype=float)[:, None] > levels
        labels = group[strata]
        weights = (1 / labels.map(labels.value_counts()) / labels.nunique()).to_numpy()
        # a row is drawn only from its own stratum, so it counts by how often it is drawn
        draws = (_times_drawn(resample(labels.to_numpy())) * weights) @ above
        low, high = percentiles(draws)
        for found in zip(levels, weights @ above, low, high, strict=True):
            rows.append((*key, *map(float, found)))
    return pd.DataFrame(rows, columns=[*by, "threshold", "estimate", "low", "high"])


def _times_drawn(positions: np.ndarray) -> np.ndarray:
    """How often each of n rows is among the ``positions`` (resamples, n) of a resample."""
    resamples, n = positions.shape
    flat = positions + n * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * n).reshape(resamples, n)


def proportion(successes: int, total: int) -> tuple[float, float, float]:
    """Share of ``total`` independent events, with the ends of Wilson's 95% score interval.

    Unlike a bootstrap it has a width where all events agree.

    >>> [round(end, 3) for end in proportion(10, 10)]
    [1.0, 0.722, 1.0]

    Raises
    ------
    ValueError
        If ``0 <= successes <= total`` and ``total > 0`` do not hold.
    """
    if not 0 <= successes <= total or total <= 0:
        raise ValueError(
            "`0 <= successes <= total` and `total > 0` must hold, "
            f"but got (successes={successes}, total={total})"
        )
    share, square = successes / total, NORMAL_QUANTILE**2
    centre = (share + square / (2 * total)) / (1 + square / total)
    spread = math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    half = NORMAL_QUANTILE * spread / (1 + square / total)
    return share, max(centre - half, 0.0), min(centre + half, 1.0)
