"""How far up the learning rate may go, on rates that all levels share, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.rates import WITHIN, plateau
from benchmark.statistics.resampling import resample
from benchmark.statistics.seeds import CONFIDENCE

LIMITS = ("good", "lost")
"""What `upper_limits` finds for each level: a limit of training well, and one of training."""


def upper_limits(
    frame: pd.DataFrame,
    by: Sequence[str],
    level: str,
    baseline: object,
    within: float = WITHIN,
) -> pd.DataFrame:
    """Up to which learning rate each ``level`` trains well, and from which on it fails.

    ``frame`` has `outcomes`, of all levels at the same rates and on the same seeds. Columns ``by``,
    ``level`` and, of each of two limits, the estimate, its ``..._low`` and ``..._high``, and the
    same over that of the ``baseline`` (``..._times``, ``..._times_low``, ``..._times_high``):

    ``good``
        the largest rate of those about the best one whose mean validation accuracy is within
        ``within`` (0..1) of it; ``good_edge`` says that none larger was run
    ``lost``
        the least rate from which on at most half of the trials learn; infinite where more than half
        do at the largest rate

    The ends are a percentile bootstrap over seeds, drawn alike for all levels: limits are jumps
    from rate to rate, for which the jackknife does not hold. They cover the seeds, not the distance
    between neighbouring rates. A single seed has no interval: its ends are NaN.

    >>> frame = pd.DataFrame({"learning_rate": [0.1, 1.0] * 2, "clip": ["no"] * 2 + ["yes"] * 2})
    >>> frame = frame.assign(model="mlp", seed=0, validation=[0.8, 0.1, 0.8, 0.8])
    >>> found = upper_limits(frame.assign(learned=[1, 0, 1, 1]), ["model"], "clip", "no")
    >>> found[["clip", "good", "lost", "good_times"]].values.tolist()
    [['no', 0.1, 1.0, 1.0], ['yes', 1.0, inf, 10.0]]
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False):
        drawn: dict[object, Mapping[str, np.ndarray]] = {
            name: _drawn(part, within) for name, part in group.groupby(level, sort=False)
        }
        largest = group["learning_rate"].max()
        for name, limits in drawn.items():
            row = dict(zip(by, key, strict=True)) | {level: name}
            for limit in LIMITS:
                row |= _ends(limit, limits[limit])
                if baseline in drawn:
                    with np.errstate(invalid="ignore"):
                        times = limits[limit] / drawn[baseline][limit]
                    row |= _ends(f"{limit}_times", times)
            rows.append(row | {"good_edge": limits["good"][0] == largest})
    return pd.DataFrame(rows)


def _drawn(frame: pd.DataFrame, within: float) -> Mapping[str, np.ndarray]:
    """Each limit (1 + resamples,): of all seeds first, then of seeds drawn with replacement."""
    tables = [frame.pivot_table(v, "seed", "learning_rate") for v in ("validation", "learned")]
    seeds, rates = len(tables[0]), tables[0].columns.to_numpy(dtype=float)
    draws = resample(np.zeros(seeds)) if seeds > 1 else np.empty((0, 1), dtype=int)
    places = np.vstack([np.arange(seeds), draws])
    # how often each seed is drawn, so that means over the draws are one product
    weights = np.stack([(places == seed).sum(axis=1) for seed in range(seeds)], axis=1) / seeds
    accuracy, learned = (weights @ table.to_numpy(dtype=float) for table in tables)
    good = rates[plateau(accuracy, within)[1]]
    most = learned > 0.5
    after = np.where(most, np.arange(len(rates)), -1).max(axis=1) + 1
    return {"good": good, "lost": np.append(rates, np.inf)[after]}


def _ends(name: str, drawn: np.ndarray) -> dict[str, float]:
    """The estimate and its interval, whose ends are limits that some draw has."""
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    varies = len(drawn) > 2 and not np.isnan(drawn).any()
    low, high = np.quantile(drawn[1:], tails, method="inverted_cdf") if varies else (np.nan,) * 2
    return {name: float(drawn[0]), f"{name}_low": float(low), f"{name}_high": float(high)}
