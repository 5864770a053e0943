"""What a search is expected to have found after so many trials, or so much computation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.resampling import percentiles, resample

RESAMPLES = 500


def expected_best(values: np.ndarray, trials: np.ndarray | Sequence[int]) -> np.ndarray:
    """Expected smallest of ``trials`` (m,) draws from ``values`` (..., n): (..., m).

    With the values in ascending order, sum_i v_i [((n - i + 1) / n)^m - ((n - i) / n)^m]: the
    expected validation performance of Dodge et al. 2019 (1909.03004), for a smallest value. It
    holds for trials that were drawn independently (random search), and uses all of them for every
    m, where the best so far of the one order that was run is a single draw.

    >>> expected_best(np.array([0.0, 1.0]), [1, 2]).tolist()
    [0.5, 0.25]
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=-1)
    n = ordered.shape[-1]
    left = 1 - np.arange(n + 1) / n
    weights = -np.diff(left[:, None] ** np.asarray(trials, dtype=float), axis=0)
    return ordered @ weights


def expected_best_curve(
    frame: pd.DataFrame, by: Sequence[str], value: str = "objective", cost: str = "seconds"
) -> pd.DataFrame:
    """Columns ``by``, ``number``, ``cost``, ``estimate``, ``low``, ``high``: expected best so far.

    For each group of independent trials the expected smallest ``value`` of 1, 2, ... of them, with
    a 95% bootstrap interval over trials, and what so many cost in the mean, in the unit of the
    column ``cost``. Trials without a value (skipped ones) count at their cost alone: they found
    nothing, which is the largest value of the group.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        values = group[value].to_numpy(dtype=float)
        if np.isnan(values).all():
            continue
        values = np.where(np.isnan(values), np.nanmax(values), values)
        numbers = np.arange(1, len(values) + 1)
        draws = values[resample(np.zeros(len(values)), RESAMPLES)]
        low, high = percentiles(expected_best(draws, numbers))
        costs = numbers * group[cost].to_numpy(dtype=float).mean()
        found = np.stack([costs, expected_best(values, numbers), low, high], axis=1)
        rows += [(*key, int(n), *map(float, row)) for n, row in zip(numbers, found, strict=True)]
    return pd.DataFrame(rows, columns=[*by, "number", "cost", "estimate", "low", "high"])
