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
    return expected_of_best(values, values, trials)


def expected_of_best(
    values: np.ndarray, others: np.ndarray, trials: np.ndarray | Sequence[int]
) -> np.ndarray:
    """Expected ``others`` (..., n) of the draw whose ``values`` (..., n) is smallest: (..., m).

    What the best of so many ``trials`` (m,) by one measure is worth by another: the test accuracy
    of the winner on validation, say. Weights as in `expected_best`.

    >>> expected_of_best(np.array([0.0, 1.0]), np.array([0.9, 0.1]), [1, 2]).round(2).tolist()
    [0.5, 0.7]
    """
    order = np.argsort(np.asarray(values, dtype=float), axis=-1, kind="stable")
    ordered = np.take_along_axis(np.asarray(others, dtype=float), order, axis=-1)
    n = ordered.shape[-1]
    left = 1 - np.arange(n + 1) / n
    weights = -np.diff(left[:, None] ** np.asarray(trials, dtype=float), axis=0)
    return ordered @ weights


def expected_best_curve(
    frame: pd.DataFrame,
    by: Sequence[str],
    value: str = "objective",
    cost: str = "seconds",
    *,
    of: str | None = None,
    most: int | None = None,
) -> pd.DataFrame:
    """Columns ``by``, ``number``, ``cost``, ``estimate``, ``low``, ``high``: expected best so far.

    For each group of independent trials the expected smallest ``value`` of 1, 2, ... of them, up to
    ``most``, with a 95% bootstrap interval over trials, and what so many cost in the mean, in the
    unit of the column ``cost``; with ``of``, that column of the trial with the smallest ``value``
    instead. Trials without a value (skipped ones) count at their cost alone: they found nothing,
    which is the largest value of the group.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        values = group[value].to_numpy(dtype=float)
        if np.isnan(values).all():
            continue
        missing = np.isnan(values)
        worst = int(np.nanargmax(values))
        values = np.where(missing, values[worst], values)
        others = values
        if of is not None:
            others = group[of].to_numpy(dtype=float)
            others = np.where(missing, others[worst], others)
        numbers = np.arange(1, (most or len(values)) + 1)
        draws = resample(np.zeros(len(values)), RESAMPLES)
        low, high = percentiles(expected_of_best(values[draws], others[draws], numbers))
        costs = numbers * group[cost].to_numpy(dtype=float).mean()
        estimates = expected_of_best(values, others, numbers)
        found = np.stack([costs, estimates, low, high], axis=1)
        rows += [(*key, int(n), *map(float, row)) for n, row in zip(numbers, found, strict=True)]
    return pd.DataFrame(rows, columns=[*by, "number", "cost", "estimate", "low", "high"])
