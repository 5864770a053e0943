"""The bootstrap, for what has no seeds in common: trials of a search, arms of a timing."""

from __future__ import annotations

import math

import numpy as np

from benchmark.statistics.seeds import CONFIDENCE, Ends, Statistic, mean

RESAMPLES = 2000
GENERATOR_SEED = 0
CHUNK = 4_000_000
"""Numbers drawn at once: what bounds the memory of a bootstrap over a large frame."""


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


def bootstrap(values: np.ndarray, strata: np.ndarray, statistic: Statistic = mean) -> Ends:
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
