"""The window of good learning rates, on rates that all levels share, and how sure its ends are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.statistics.rates import WITHIN, plateau
from benchmark.statistics.resampling import resample
from benchmark.statistics.seeds import CONFIDENCE

DIGITS = 3
"""Decimals of a width in decades: rates themselves are given to four digits."""
ENDS = ("least", "good", "lost")
"""Rates that `good_windows` finds for each level: the ends of training well, and of training."""


def good_windows(
    frame: pd.DataFrame,
    by: Sequence[str],
    level: str,
    baseline: object,
    within: float = WITHIN,
) -> pd.DataFrame:
    """Between which learning rates each ``level`` trains well, and from which on it fails.

    ``frame`` has `outcomes`, of all levels at the same rates and on the same seeds. Columns ``by``,
    ``level`` and, of each of these, the estimate, its ``..._low`` and ``..._high``, and the same
    over that of the ``baseline`` (``..._times``, ``..._times_low``, ``..._times_high``):

    ``least``, ``good``
        the smallest and the largest rate of those about the best one whose mean validation accuracy
        is within ``within`` (0..1) of it; ``least_edge`` and ``good_edge`` say that none smaller or
        larger was run
    ``lost``
        the least rate from which on at most half of the trials learn; infinite where more than half
        do at the largest rate

    and ``decades``, log10 of largest over smallest good rate, with ``decades_gap``, by how much it
    is wider than that of the baseline, each with its ends.

    The ends are a percentile bootstrap over seeds, drawn alike for all levels: these rates are
    jumps from one to the next, for which the jackknife does not hold. They cover the seeds, not
    the distance between neighbouring rates. A single seed has no interval: its ends are NaN, as is
    what is compared with a baseline that was not run.

    >>> frame = pd.DataFrame({"learning_rate": [0.1, 1.0] * 2, "clip": ["no"] * 2 + ["yes"] * 2})
    >>> frame = frame.assign(model="mlp", seed=0, validation=[0.8, 0.1, 0.8, 0.8])
    >>> found = good_windows(frame.assign(learned=[1, 0, 1, 1]), ["model"], "clip", "no")
    >>> found[["clip", "least", "good", "lost", "good_times"]].values.tolist()
    [['no', 0.1, 0.1, 1.0, 1.0], ['yes', 0.1, 1.0, inf, 10.0]]
    >>> found["decades_gap"].tolist()
    [0.0, 1.0]
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False):
        drawn: dict[object, Mapping[str, np.ndarray]] = {
            name: _drawn(part, within) for name, part in group.groupby(level, sort=False)
        }
        # without a baseline there is nothing to compare with
        base = drawn.get(baseline, dict.fromkeys(ENDS, np.full(1, np.nan)))
        smallest, largest = group["learning_rate"].agg(["min", "max"])
        for name, ends in drawn.items():
            row = dict(zip(by, key, strict=True)) | {level: name}
            decades = _decades(ends)
            row |= _ends("decades", decades)
            for end in ENDS:
                row |= _ends(end, ends[end])
            row |= _ends("decades_gap", decades - _decades(base))
            for end in ENDS:
                with np.errstate(invalid="ignore"):
                    times = ends[end] / base[end]
                row |= _ends(f"{end}_times", times)
            edges = {
                "least_edge": ends["least"][0] == smallest,
                "good_edge": ends["good"][0] == largest,
            }
            rows.append(row | edges)
    return pd.DataFrame(rows)


def rates_within(
    frame: pd.DataFrame,
    by: Sequence[str],
    level: str,
    baseline: Any,
) -> pd.DataFrame:
    """The rates at which each ``level`` is as good as the ``baseline`` at its best.

    Columns ``by``, ``level``, ``near``, a tuple of the learning rates whose mean validation
    accuracy is within `WITHIN` of the best one of the baseline, and ``tried``, how many
    the level was run at. Unlike the ends of `good_windows` these need not be neighbours, and are
    compared with one and the same accuracy.

    >>> frame = pd.DataFrame({"learning_rate": [0.1, 1.0] * 2, "clip": ["no"] * 2 + ["yes"] * 2})
    >>> frame = frame.assign(model="mlp", validation=[0.75, 0.1, 0.5, 0.75])
    >>> rates_within(frame, ["model"], "clip", "no")[["clip", "near"]].values.tolist()
    [['no', (0.1,)], ['yes', (1.0,)]]
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False):
        means = group.groupby([level, "learning_rate"], sort=False)["validation"].mean()
        if baseline not in means.index.get_level_values(0):
            continue
        least = means.xs(baseline, level=0).max() - WITHIN
        for name, some in means.groupby(level, sort=False):
            run = some.droplevel(0).sort_index()
            near = tuple(map(float, run.index[run >= least]))
            rows.append((*key, name, near, len(run)))
    return pd.DataFrame(rows, columns=[*by, level, "near", "tried"])


def _decades(ends: Mapping[str, np.ndarray]) -> np.ndarray:
    # windows of equal ratios are equally wide, whatever the last digits of their rates
    return np.asarray(np.log10(ends["good"] / ends["least"]).round(DIGITS))


def _drawn(frame: pd.DataFrame, within: float) -> Mapping[str, np.ndarray]:
    """Each rate (1 + resamples,): of all seeds first, then of seeds drawn with replacement."""
    tables = [frame.pivot_table(v, "seed", "learning_rate") for v in ("validation", "learned")]
    seeds, rates = len(tables[0]), tables[0].columns.to_numpy(dtype=float)
    draws = resample(np.zeros(seeds)) if seeds > 1 else np.empty((0, 1), dtype=int)
    places = np.vstack([np.arange(seeds), draws])
    # how often each seed is drawn, so that means over the draws are one product
    weights = np.stack([(places == seed).sum(axis=1) for seed in range(seeds)], axis=1) / seeds
    accuracy, learned = (weights @ table.to_numpy(dtype=float) for table in tables)
    first, last = plateau(accuracy, within)
    most = learned > 0.5
    after = np.where(most, np.arange(len(rates)), -1).max(axis=1) + 1
    return {"least": rates[first], "good": rates[last], "lost": np.append(rates, np.inf)[after]}


def _ends(name: str, drawn: np.ndarray) -> dict[str, float]:
    """The estimate and its interval, whose ends are values that some draw has."""
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    varies = len(drawn) > 2 and not np.isnan(drawn).any()
    low, high = np.quantile(drawn[1:], tails, method="inverted_cdf") if varies else (np.nan,) * 2
    return {name: float(drawn[0]), f"{name}_low": float(low), f"{name}_high": float(high)}
