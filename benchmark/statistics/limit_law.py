"""A law for the rate at which training fails: it rises with the batch size, up to that of no noise.

The largest stable step of gradient descent with batches of B examples is, on a quadratic problem
that can be fitted exactly, r(B) = r_max / (1 + B_c / B) (Ma, Bassily and Belkin 2018,
arXiv:1712.06559): in proportion to B where batches are small, and that of the whole gradient where
they are large. The best rate has the same form (McCandlish et al. 2018, arXiv:1812.06162), with
their noise scale for B_c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from benchmark.statistics.failing_rates import limits_by_seed
from benchmark.statistics.seeds import Ends, left_out

BEYOND = 1000.0
"""How far beyond the sizes that were run, as a factor, B_c is looked for."""
LEAST_SIZES = 3
"""Sizes below which two parameters fit whatever was measured."""


def saturating_law(
    frame: pd.DataFrame, by: Sequence[str], level: str = "batch_size", event: str = "diverged"
) -> pd.DataFrame:
    """The law r(B) = r_max / (1 + B_c / B), fitted to the rates at which training fails.

    ``frame`` is as that of `failing_rates`. On the logarithm of the rate, by least squares over
    sizes and seeds. A row for each group of three sizes or more: ``by``, ``most`` (r_max, a rate)
    and ``half`` (B_c, a batch size: at it the limit is half of the most), with 95% intervals over
    seeds (``..._low``, ``..._high``; the jackknife); ``worst``, by how many steps of the rates the
    law misses the limit of the size that it fits worst; ``error``, the root mean square of what it
    misses (decades), ``power_error`` that of a power of the size, and ``root_error`` that of its
    square root; and ``sizes`` and ``seeds``.

    >>> limits = {8: 0.1, 16: 1 / 6, 32: 0.25, 64: 1 / 3}  # 0.5 / (1 + 32 / B)
    >>> rates = np.geomspace(0.01, 1, 401)
    >>> frame = pd.DataFrame([(b, r, int(r > limits[b])) for b in limits for r in rates])
    >>> frame = frame.set_axis(["batch_size", "learning_rate", "diverged"], axis=1)
    >>> found = saturating_law(frame.assign(model="mlp", seed=0), ["model"])
    >>> found[["most", "half"]].round({"most": 1, "half": 0}).values.tolist()
    [[0.5, 32.0]]
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        limits, spacing = limits_by_seed(group, level, event)
        sizes = limits.columns.to_numpy(dtype=float)
        if limits.empty or len(sizes) < LEAST_SIZES:
            continue
        means = limits.mean().to_numpy()
        most, half = _fit(sizes, means)
        ends = _without_each_seed(sizes, limits.to_numpy(), (most, half))
        missed = means - _law(sizes, most, half)
        logs = np.log10(sizes)
        power = means - np.polyval(np.polyfit(logs, means, 1), logs)
        root = means - logs / 2
        errors = [float(np.sqrt(np.mean(left**2))) for left in (missed, power, root - root.mean())]
        worst = float(np.abs(missed).max()) / spacing
        rows.append((*key, *ends, worst, *errors, len(sizes), len(limits)))
    parts = [f"{part}{end}" for part in ("most", "half") for end in ("", "_low", "_high")]
    names = [*parts, "worst", "error", "power_error", "root_error", "sizes", "seeds"]
    return pd.DataFrame(rows, columns=[*by, *names])


def _law(sizes: np.ndarray, most: float, half: float) -> np.ndarray:
    """log10 of the law at ``sizes`` (n,), of parameters that are logarithms themselves."""
    return most - np.log10(1 + 10**half / sizes)


def _fit(sizes: np.ndarray, limits: np.ndarray) -> tuple[float, float]:
    """log10 of r_max and B_c of log10 ``limits`` (n,) at ``sizes`` (n,): least squares."""

    def residuals(half: float) -> np.ndarray:
        return np.asarray(limits + np.log10(1 + 10**half / sizes))

    def error(half: float) -> float:
        return float(residuals(half).var())

    lowest, highest = math.log10(sizes.min() / BEYOND), math.log10(sizes.max() * BEYOND)
    # the error may have a flat part at either end, where a search that goes downhill would stay
    starts = np.linspace(lowest, highest, 200)
    best = int(np.argmin([error(start) for start in starts]))
    near = starts[[max(best - 1, 0), min(best + 1, len(starts) - 1)]]
    half = float(minimize_scalar(error, bounds=tuple(near), method="bounded").x)
    return float(residuals(half).mean()), half


def _without_each_seed(
    sizes: np.ndarray, limits: np.ndarray, fitted: tuple[float, float]
) -> Sequence[float]:
    """Rates and sizes of the fit with their intervals, of log10 ``limits`` (seeds, sizes)."""
    count = len(limits)
    if count < 2:
        return [end for value in fitted for end in (10**value, np.nan, np.nan)]
    without = np.array(
        [_fit(sizes, np.delete(limits, seed, axis=0).mean(axis=0)) for seed in range(count)]
    )
    found: list[float] = []
    for place, value in enumerate(fitted):
        ends: Ends = left_out(value, without[:, place])
        found += [float(10**end) for end in ends]
    return found
