"""Intervals of what is read off a whole row of learning rates: stable range and sensitivity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics.rates import (
    learning_rate_sensitivity,
    plateau,
    stable_range,
    usable_decades,
)
from benchmark.statistics.resampling import percentiles, resample
from benchmark.statistics.seeds import DECIMALS, Ends, left_out


def rate_spans(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """`stable_range` and `learning_rate_sensitivity` of each group, with 95% intervals.

    Columns ``by``, ``best_rate``, ``low_rate``, ``high_rate``, ``edge``; ``decades`` with
    ``decades_low`` and ``decades_high``; ``sensitivity`` (nats) with ``sensitivity_low`` and
    ``sensitivity_high``; ``rates``, how many there are, and ``spacing``, the most decades between
    neighbours. The intervals are over seeds, NaN where there is one; that of the decades reaches at
    least one spacing to either side, because a range ends somewhere between two rates.
    """
    joined = stable_range(frame, by).merge(learning_rate_sensitivity(frame, by), on=list(by))
    ends = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        accuracy, objective = (means_without(group, name) for name in ("validation", "objective"))
        rates = accuracy.columns.to_numpy(dtype=float)
        spacing = float(np.diff(np.log10(rates)).max(initial=0.0))
        wide = usable_decades(accuracy.to_numpy(), rates)
        excess = (objective.mean(axis=1) - objective.min(axis=1)).to_numpy()
        decades = at_least(left_out(wide[0], wide[1:]), spacing, seeds=len(wide) - 1)
        sensitivity = left_out(excess[0], excess[1:])
        ends.append((*key, *decades[1:], *sensitivity[1:], len(rates), spacing))
    columns = [f"{name}_{end}" for name in ("decades", "sensitivity") for end in ("low", "high")]
    columns += ["rates", "spacing"]
    return joined.merge(pd.DataFrame(ends, columns=[*by, *columns]), on=list(by))


def means_without(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean ``value`` by learning rate: of all seeds in the first row, then without each seed.

    Rates ascend along the columns; a rate that only one seed was run at is NaN without it, and
    leaves that row to what the others had.
    """
    cells = frame.groupby(["seed", "learning_rate"])[value]
    totals = cells.sum().unstack("learning_rate", fill_value=0)
    counts = cells.count().unstack("learning_rate", fill_value=0)
    everyone = (totals.sum() / counts.sum()).to_frame().T
    if len(totals) < 2:
        return everyone
    without = (totals.sum() - totals) / (counts.sum() - counts).replace(0, np.nan)
    return pd.concat([everyone, without.fillna(everyone.iloc[0])])


def at_least(ends: Ends, width: float, *, seeds: int, least: float = 0.0) -> Ends:
    """``ends`` reaching at least ``width`` to either side of the estimate, where seeds vary.

    The lower end is no less than ``least``, which a range cannot fall below.
    """
    estimate, low, high = ends
    if seeds < 2:
        return ends
    low, high = np.fmin(low, estimate - width), np.fmax(high, estimate + width)
    return estimate, max(float(low), least), float(high)


def decades_gained(
    frame: pd.DataFrame, factor: str, level: object, baseline: object
) -> tuple[Ends, int, int] | None:
    """How many decades wider the range of usable rates is at ``level`` than at ``baseline``.

    Usable at either are rates whose validation accuracy is no more than a point below the best of
    the baseline: by its own best each would be the narrower for a higher one. On the rates and
    seeds that both were run at, averaged over all other factors, each pair of ranges on the seeds
    that it has; a seed is left out of all of them. The interval reaches at
    least one spacing of the rates to either side, because a range ends somewhere between two of
    them. Beside it the number of pairs of ranges and of seeds. None where they share no two rates.
    """
    keys = [c for c in CONFIGURATION if c not in (factor, "learning_rate", "seed")]
    whole, without, spacings = [], [], []
    for _, rows in frame.groupby(keys, sort=False, dropna=False):
        arms = [rows[rows[factor] == which] for which in (level, baseline)]
        seeds, rates = (set(arms[0][c]) & set(arms[1][c]) for c in ("seed", "learning_rate"))
        if len(rates) > 1 and seeds:
            kept = [a[a["seed"].isin(seeds) & a["learning_rate"].isin(rates)] for a in arms]
            gain, *left = _gain(*(means_without(arm, "validation") for arm in kept))
            whole.append(gain)
            # a group goes with its only seed
            without.append(dict(zip(sorted(seeds), left or [math.nan], strict=True)))
            spacings.append(float(np.diff(np.log10(sorted(rates))).max()))
    if not whole:
        return None
    every = sorted(set().union(*without))
    # without a seed that it lacks a group is what it is
    both = zip(without, whole, strict=True)
    left_in = pd.DataFrame([[own.get(seed, gain) for seed in every] for own, gain in both])
    ends = left_out(float(np.mean(whole)), left_in.mean().to_numpy())
    ends = at_least(ends, max(spacings), seeds=len(every), least=-math.inf)
    return ends, len(whole), len(every)


def _gain(level: pd.DataFrame, baseline: pd.DataFrame) -> np.ndarray:
    """Decades that the range of ``level`` is wider by, both near the best of ``baseline``."""
    rates, best = level.columns.to_numpy(dtype=float), baseline.to_numpy().max(axis=1)
    wide, narrow = (usable_decades(side.to_numpy(), rates, best) for side in (level, baseline))
    return wide - narrow


Window = tuple[float, float]
"""The least and the greatest learning rate of some."""
ROUNDING = 1.02
"""Ratio of two rates within which they are one: rates are rounded to four digits."""
GAP = ("", "_low", "_high")
"""What follows the name of a gap: nothing, and its 95% interval's ends."""


def gaps_from_baseline(
    frame: pd.DataFrame, factor: str, baseline: object, windows: Mapping[str, Window]
) -> pd.DataFrame:
    """How each level's range of good rates and sensitivities differ from those at the baseline.

    Columns ``factor``; by how many decades its range is wider, ``decades_gap``, where both are
    measured by their own best rate, and ``common_gap``, where both are by the baseline's best (see
    `common_ranges`); ``sensitivity_gap`` (nats), by how much more sensitive it is over all rates,
    and one such column for each of the ``windows``, over the rates of that window alone. They are
    the same rates for both: about each one's own best rate a flat level whose best rate happens to
    be high would be judged at rates that no other is judged at. Each has its ``..._low`` and
    ``..._high``, 95% intervals over the seeds that both have. A seed is drawn for both, or left out
    of both: the first by a bootstrap, because a range moves by whole steps of the rates, the
    sensitivities by a jackknife. NaN with a single seed; a level that shares none with the baseline
    has no row. ``frame`` has the `outcomes` of one network over rates.
    """
    base = frame[frame[factor] == baseline]
    rows = []
    for level, own in frame[frame[factor] != baseline].groupby(factor, sort=False):
        seeds = set(own["seed"]) & set(base["seed"])
        if not seeds:
            continue
        sides = [side[side["seed"].isin(seeds)] for side in (own, base)]
        row: dict[str, object] = {factor: level}
        ends = {
            "decades": _bootstrapped_gap(*sides, common=False),
            "common": _bootstrapped_gap(*sides, common=True),
            "sensitivity": _left_out_gap(*map(_excess, sides)),
        }
        for name, window in windows.items():
            ends[name] = _left_out_gap(*(_excess(within_window(side, window)) for side in sides))
        for name, found in ends.items():
            row |= {f"{name}_gap{end}": value for end, value in zip(GAP, found, strict=True)}
        rows.append(row)
    names = [f"{c}_gap{e}" for c in ("decades", "common", "sensitivity", *windows) for e in GAP]
    return pd.DataFrame(rows, columns=[factor, *names])


def common_ranges(frame: pd.DataFrame, factor: str, baseline: object) -> pd.DataFrame:
    """The range of rates at which each level is as good as the baseline at its best.

    Columns ``factor``; ``common``, the decades of the run of rates about the level's best one whose
    mean validation accuracy is no more than a point below the best of the ``baseline``, with its
    ends ``common_least`` and ``common_most``, NaN where no rate is that good; ``common_low`` and
    ``common_high``, a jackknife over the seeds that both have, reaching at least one spacing of the
    rates to either side. By its own best, a level that raises the best would be the narrower for
    it. ``frame`` has the `outcomes` of one network over rates.
    """
    base = frame[frame[factor] == baseline]
    rows = []
    for level, own in frame.groupby(factor, sort=False):
        seeds = set(own["seed"]) & set(base["seed"])
        if not seeds:
            continue
        mine, theirs = (
            means_without(side[side["seed"].isin(seeds)], "validation") for side in (own, base)
        )
        rates, best = mine.columns.to_numpy(dtype=float), theirs.to_numpy().max(axis=1)
        first, last = plateau(mine.to_numpy()[0], reference=best[0])
        ends = (rates[first], rates[last]) if last >= first else (math.nan, math.nan)
        wide = usable_decades(mine.to_numpy(), rates, best)
        spacing = float(np.diff(np.log10(rates)).max(initial=0.0))
        spread = at_least(left_out(wide[0], wide[1:]), spacing, seeds=len(seeds))
        rows.append((level, *spread, *ends))
    columns = [factor, "common", "common_low", "common_high", "common_least", "common_most"]
    return pd.DataFrame(rows, columns=columns)


def about_best(frame: pd.DataFrame, around: float) -> Window:
    """The rates ``around`` decades below and above the one that validation chooses for them all.

    >>> frame = pd.DataFrame({"learning_rate": [0.1, 1.0], "validation": [0.7, 0.8]})
    >>> about_best(frame, 1.0)
    (0.1, 10.0)
    """
    means = frame.groupby("learning_rate")["validation"].mean().round(DECIMALS)
    best = float(means.index.to_numpy(dtype=float)[means.to_numpy().argmax()])
    return best / 10**around, best * 10**around


def within_window(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The trials at the rates of ``window``, its ends included."""
    low, high = window
    # a rate is no less within it though it was rounded
    return frame[frame["learning_rate"].between(low / ROUNDING, high * ROUNDING)]


def _excess(frame: pd.DataFrame) -> np.ndarray:
    """The sensitivity (1 + seeds,) to the rate: of all seeds, then without each of them."""
    losses = means_without(frame, "objective")
    return (losses.mean(axis=1) - losses.min(axis=1)).to_numpy()


def _left_out_gap(level: np.ndarray, baseline: np.ndarray) -> Ends:
    gap = level - baseline
    return left_out(float(gap[0]), gap[1:])


def _bootstrapped_gap(level: pd.DataFrame, baseline: pd.DataFrame, *, common: bool) -> Ends:
    """Decades by which the range of ``level`` is wider; ``common``, both by the baseline's best."""
    drawn, rates = [], []
    for side in (level, baseline):
        cells = side.pivot_table("validation", "seed", "learning_rate").dropna(axis=1)
        accuracy = cells.to_numpy()
        # of all seeds, then of seeds that are drawn alike for both
        places = resample(np.zeros(len(accuracy)))
        drawn.append(np.vstack([accuracy.mean(axis=0), accuracy[places].mean(axis=1)]))
        rates.append(cells.columns.to_numpy(dtype=float))
    best = drawn[1].max(axis=1) if common else None
    wide, narrow = (usable_decades(*each, best) for each in zip(drawn, rates, strict=True))
    estimate, gaps = float(wide[0] - narrow[0]), wide[1:] - narrow[1:]
    if level["seed"].nunique() < 2:
        return estimate, math.nan, math.nan
    low, high = percentiles(gaps)
    return estimate, float(low), float(high)


def told_apart(
    spans: pd.DataFrame,
    factor: str,
    baseline: object,
    of: str = "sensitivity",
    width: str = "decades",
) -> dict[str, Any] | None:
    """What is significantly other than at the ``baseline`` of ``factor``, of rows of `rate_spans`.

    ``base``, that row; ``calmer`` and ``steeper``, the rows whose sensitivity is lower or higher,
    and ``wider``, those whose range is wider, the furthest first; ``least``, those of ``calmer``
    whose own interval overlaps that of the lowest; ``calmest`` and ``widest``, the rows with the
    lowest sensitivity and the widest range, significantly or not; ``others``, how many there are
    besides the baseline. None without a baseline or without another. ``spans`` has one row a level,
    with the columns of `gaps_from_baseline`; ``of`` names the sensitivity and ``width`` the range,
    which is wider where its interval lies beyond one step of the rates, to which ranges are known.

    >>> ends = {"sensitivity_low": [0.9, 0.1], "sensitivity_high": [1.1, 0.3], "spacing": 0.5}
    >>> gaps = {"sensitivity_gap_low": [None, -0.9], "sensitivity_gap_high": [None, -0.7]}
    >>> spans = pd.DataFrame({"clipping": ["none", "value"], "sensitivity": [1.0, 0.2], **ends})
    >>> spans = spans.assign(decades=[1.0, 1.5], decades_gap_low=[None, 0.5], **gaps)
    >>> found = told_apart(spans, "clipping", "none")
    >>> found["calmer"]["clipping"].tolist(), found["wider"]["clipping"].tolist()
    (['value'], [])
    """
    at_baseline = spans[factor] == baseline
    if at_baseline.all() or not at_baseline.any():
        return None
    by_sensitivity = spans[~at_baseline].sort_values(of, kind="stable")
    descending = spans[~at_baseline].sort_values(width, ascending=False, kind="stable")
    calmer = by_sensitivity[by_sensitivity[f"{of}_gap_high"] < 0]
    lowest = calmer[f"{of}_high"].iloc[:1].max()
    return {
        "base": spans[at_baseline].iloc[0],
        "others": len(descending),
        "calmer": calmer,
        "steeper": by_sensitivity[by_sensitivity[f"{of}_gap_low"] > 0][::-1],
        "least": calmer[calmer[f"{of}_low"] <= lowest],
        "wider": descending[descending[f"{width}_gap_low"] > descending["spacing"] + 1e-9],
        "calmest": by_sensitivity.iloc[0],
        "widest": descending.iloc[0],
    }


def of_one_spacing(spans: pd.DataFrame) -> pd.Series:
    """Whether an interval of the decades of `rate_spans` is one spacing of the rates wide.

    The seeds then agree on a range whose ends are known no better than that.
    """
    ends = (spans["decades"] - spans["decades_low"], spans["decades_high"] - spans["decades"])
    least = [np.isclose(end, spans["spacing"]) for end in ends]
    return pd.Series(least[0] | least[1], spans.index)
