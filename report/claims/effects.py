"""Effects from frames: paired differences, explosions prevented, shares, ratios and ranges.

Intervals are over seeds (`benchmark.statistics.seeds`). Where all seeds agree to the last digit a
mean has none; a share, and a difference of shares, then have what so many seeds leave open.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics import (
    left_open,
    over_seeds,
    proportion,
    share,
    smallest_detectable,
    usable_decades,
)
from benchmark.statistics.seeds import Ends, left_out
from benchmark.statistics.spans import at_least, means_without
from report import prose
from report.claims.records import About, Effect


def pairs_in_words(pairs: pd.DataFrame) -> str:
    """How many pairs there are, on how many seeds."""
    seeds = prose.count(pairs["seed"].nunique(), "seed")
    return f"{prose.count(len(pairs), 'pair')}, {seeds}"


def difference(pairs: pd.DataFrame, about: About, sign: int = 1) -> Effect:
    """Mean of treated minus control (``sign`` -1: control minus treated) over pairs."""
    values = sign * pairs["difference"].to_numpy(dtype=float)
    detectable = smallest_detectable(values, pairs["seed"])
    return Effect(about, *over_seeds(values, pairs["seed"]), pairs_in_words(pairs), detectable)


def ratio(pairs: pd.DataFrame, about: About) -> Effect:
    """Geometric mean of control / treated over pairs of positive values: times as little."""
    logs = np.log(pairs["control"].to_numpy()) - np.log(pairs["treated"].to_numpy())
    estimate, low, high = np.exp(over_seeds(logs, pairs["seed"]))
    detectable = math.exp(smallest_detectable(logs, pairs["seed"]))
    return Effect(
        about, float(estimate), float(low), float(high), pairs_in_words(pairs), detectable
    )


def prevented(pairs: pd.DataFrame, about: About) -> Effect:
    """Net share of explosions prevented: (C - T) / max(C, T), for C and T exploded trials.

    C counts those of the control and T those of the treated: 1 where all are prevented, 0 where
    there are as many, -1 where only the treated explode. The interval leaves out a seed at a time;
    where the pairs in which something exploded all agree it is the score interval of a difference
    of paired shares (Tango 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;
    2-B): the estimate as it would be if the share of other pairs that so many leave open had gone
    the other way.
    """
    counts = pairs.groupby("seed")[["control", "treated"]].sum().astype(float)
    total = counts.sum()
    estimate = float(_net(total.to_numpy()[None])[0])
    basis = pairs_in_words(pairs)
    if len(counts) < 2:
        return Effect(about, estimate, math.nan, math.nan, basis)
    ends = left_out(estimate, _net((total - counts).to_numpy()))
    if not np.isfinite(ends[1:]).all():
        exploded = pairs[pairs[["control", "treated"]].any(axis=1)]
        ends = _left_open(estimate, exploded)
    low, high = np.clip(ends[1:], -1.0, 1.0)
    return Effect(about, estimate, float(low), float(high), basis)


def _left_open(estimate: float, pairs: pd.DataFrame) -> Ends:
    """``estimate`` of ``pairs`` that all agree, between what the share of others could make it."""
    other = left_open(len(pairs), pairs["seed"].nunique())
    return estimate, estimate - other * (estimate + 1), estimate + other * (1 - estimate)


def _net(counts: np.ndarray) -> np.ndarray:
    most = counts.max(axis=1)
    return np.divide(
        counts[:, 0] - counts[:, 1], most, out=np.full(len(counts), np.nan), where=most > 0
    )


def share_of(groups: pd.Series, noun: str, about: About) -> Effect:
    """Share of groups (True or False each) with Wilson's interval: each counts once.

    For groups that end alike whatever the seed, so that only the choice of groups could have
    made another share.
    """
    estimate, low, high = proportion(int(groups.sum()), len(groups))
    return Effect(about, estimate, low, high, prose.count(len(groups), noun))


def share_of_trials(frame: pd.DataFrame, value: str, about: About) -> Effect:
    """Share of the trials of a frame in which a 0/1 column is 1, with its interval over seeds."""
    seeds = prose.count(frame["seed"].nunique(), "seed")
    basis = f"{prose.count(len(frame), 'trial')}, {seeds}"
    return Effect(about, *share(frame[value], frame["seed"]), basis)


def decades_gained(
    frame: pd.DataFrame, factor: str, level: object, baseline: object, about: About
) -> Effect | None:
    """How many decades wider the range of usable rates is at ``level`` than at ``baseline``.

    On the rates and seeds that both were run at, averaged over all other factors; a seed is left
    out of both. The interval reaches at least one spacing of the rates to either side, because a
    range ends somewhere between two of them. None where they share no two rates.
    """
    keys = [c for c in CONFIGURATION if c not in (factor, "learning_rate", "seed")]
    sides, spacings = [], []
    for _, rows in frame.groupby(keys, sort=False, dropna=False):
        arms = [rows[rows[factor] == which] for which in (level, baseline)]
        seeds, rates = (set(arms[0][c]) & set(arms[1][c]) for c in ("seed", "learning_rate"))
        if len(rates) > 1 and seeds:
            kept = [a[a["seed"].isin(seeds) & a["learning_rate"].isin(rates)] for a in arms]
            sides.append([means_without(arm, "validation") for arm in kept])
            spacings.append(float(np.diff(np.log10(sorted(rates))).max()))
    if not sides:
        return None
    most = max(len(wide) for wide, _ in sides)
    # of all seeds in the first row, then without each
    gains = [_gain(wide, narrow) for wide, narrow in sides if len(wide) == most]
    found = np.mean(gains, axis=0)
    seeds_left_out = len(found) - 1
    ends = left_out(float(found[0]), found[1:])
    ends = at_least(ends, max(spacings), seeds=seeds_left_out, least=-math.inf)
    seeds_in_words = prose.count(max(seeds_left_out, 1), "seed")
    basis = f"{prose.count(len(gains), 'pair')} of ranges, {seeds_in_words}"
    return Effect(about, *ends, basis)


def _gain(level: pd.DataFrame, baseline: pd.DataFrame) -> np.ndarray:
    """Decades that the range of ``level`` is wider by, row by row."""
    rates = level.columns.to_numpy(dtype=float)
    wide, narrow = (usable_decades(side.to_numpy(), rates) for side in (level, baseline))
    return wide - narrow
