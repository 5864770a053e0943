"""Intervals of what is read off a whole row of learning rates: stable range and sensitivity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.rates import WITHIN, learning_rate_sensitivity, stable_range
from benchmark.statistics.resampling import percentiles, resample


def rate_spans(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """`stable_range` and `learning_rate_sensitivity` of each group, with 95% intervals.

    Columns ``by``, ``best_rate``, ``low_rate``, ``high_rate``; ``decades`` with ``decades_low``
    and ``decades_high``; ``sensitivity`` (nats) with ``sensitivity_low`` and
    ``sensitivity_high``; ``rates``, how many there are. Seeds are resampled within each cell, and
    the range is read off anew from every resample; the ends are NaN where every cell has one seed.
    """
    joined = stable_range(frame, by).merge(learning_rate_sensitivity(frame, by), on=list(by))
    ends = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        rates, codes = np.unique(group["learning_rate"].to_numpy(), return_inverse=True)
        if not group["cell"].duplicated().any():
            # a single seed: nothing that could vary
            ends.append((*key, *[math.nan] * 4, len(rates)))
            continue
        positions = resample(group["cell"].to_numpy())
        accuracy = _means(group["validation"].to_numpy(dtype=float), codes, positions)
        objective = _means(group["objective"].to_numpy(dtype=float), codes, positions)
        sensitivity = objective.mean(axis=1) - objective.min(axis=1)
        found = (*percentiles(_decades(accuracy, rates)), *percentiles(sensitivity))
        ends.append((*key, *map(float, found), len(rates)))
    columns = [f"{name}_{end}" for name in ("decades", "sensitivity") for end in ("low", "high")]
    return joined.merge(pd.DataFrame(ends, columns=[*by, *columns, "rates"]), on=list(by))


def _means(values: np.ndarray, codes: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Mean (resamples, rates) of the drawn values of each rate; a row keeps its own rate."""
    member = np.eye(codes.max() + 1)[codes]
    return (values[positions] @ member) / member.sum(axis=0)


def _decades(accuracy: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Width (resamples,) of the run of rates about the best one that is within one point."""
    best = accuracy.argmax(axis=1)
    good = accuracy >= accuracy.max(axis=1, keepdims=True) - WITHIN
    low, high = best.copy(), best.copy()
    rows = np.arange(len(best))
    for _ in range(accuracy.shape[1] - 1):
        below, above = np.maximum(low - 1, 0), np.minimum(high + 1, accuracy.shape[1] - 1)
        low = np.where(good[rows, below], below, low)
        high = np.where(good[rows, above], above, high)
    return np.log10(rates[high] / rates[low])
