"""Effects from frames: paired differences, explosions prevented, shares, ratios and ranges.

Intervals are over seeds (`benchmark.statistics.seeds`). Where all seeds agree to the last digit a
mean has none; a share, and a difference of shares, then have what so many seeds leave open.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics import (
    left_open,
    over_seeds,
    paired,
    proportion,
    share,
    smallest_detectable,
    usable_decades,
)
from benchmark.statistics.seeds import Ends, left_out
from benchmark.statistics.spans import at_least, means_without
from report import prose
from report.claims.records import About, Case, Effect, Remake


def pairs_in_words(pairs: pd.DataFrame) -> str:
    """How many pairs there are, on how many seeds."""
    seeds = prose.count(pairs["seed"].nunique(), "seed")
    return f"{prose.count(len(pairs), 'pair')}, {seeds}"


def difference(pairs: pd.DataFrame, about: About, sign: int = 1) -> Effect:
    """Mean of treated minus control (``sign`` -1: control minus treated) over pairs."""
    values = sign * pairs["difference"].to_numpy(dtype=float)
    detectable = smallest_detectable(values, pairs["seed"])
    again = functools.partial(difference, sign=sign)
    return _effect(about, over_seeds(values, pairs["seed"]), pairs, again, detectable)


def _effect(
    about: About, ends: Ends, pairs: pd.DataFrame, again: Remake, detectable: float = math.nan
) -> Effect:
    """An effect over the seeds of pairs, which `pooled` can make anew of those of several."""
    freedom = max(pairs["seed"].nunique() - 1, 1)
    made = Effect(about, *map(float, ends), pairs_in_words(pairs), detectable, freedom)
    return replace(made, rows=pairs, remake=again)


def ratio(pairs: pd.DataFrame, about: About) -> Effect:
    """Geometric mean of control / treated over pairs of positive values: times as little."""
    logs = np.log(pairs["control"].to_numpy()) - np.log(pairs["treated"].to_numpy())
    ends = tuple(np.exp(over_seeds(logs, pairs["seed"])))
    detectable = math.exp(smallest_detectable(logs, pairs["seed"]))
    return _effect(about, ends, pairs, ratio, detectable)


def prevented(pairs: pd.DataFrame, about: About) -> Effect:
    """Net share of events prevented: (C - T) / max(C, T), for C and T trials with the event.

    C counts those of the control and T those of the treated: 1 where all are prevented, 0 where
    there are as many, -1 where only the treated have any. The interval leaves out a seed at a time;
    where the pairs in which something happened all agree it is the score interval of a difference
    of paired shares (Tango 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;
    2-B): the estimate as it would be if the share of other pairs that so many leave open had gone
    the other way.
    """
    counts = pairs.groupby("seed")[["control", "treated"]].sum().astype(float)
    total = counts.sum()
    estimate = float(_net(total.to_numpy()[None])[0])
    ends = left_out(estimate, _net((total - counts).to_numpy()))
    agree = len(counts) > 1 and not np.isfinite(ends[1:]).all()
    if agree:
        ends = _left_open(estimate, pairs[pairs[["control", "treated"]].any(axis=1)])
    made = _effect(about, (estimate, *np.clip(ends[1:], -1.0, 1.0)), pairs, prevented)
    # a score interval is one of the normal distribution
    return replace(made, freedom=math.inf) if agree else made


def saved(pairs: pd.DataFrame, about: About) -> Effect:
    """Share of a loss that is saved: 1 - (treated) / (control), sums over the pairs' losses.

    1 where nothing is lost, 0 where as much is, negative where more is. The interval leaves out a
    seed at a time.
    """
    sums = pairs.groupby("seed")[["control", "treated"]].sum().astype(float)
    without = sums.sum() - sums
    estimate = float(1 - sums["treated"].sum() / sums["control"].sum())
    ends = left_out(estimate, (1 - without["treated"] / without["control"]).to_numpy())
    return _effect(about, ends, pairs, saved)


def raised(case: Case, value: str) -> Effect | None:
    """By how many decades a level raises the rates up to which ``value`` (0 or 1) is 0.

    By seed: the decades at which it is 0 with the level less those with the baseline, of the rates
    that both were run at, each with half the way to its neighbours. None where there are not two.
    """
    rows, sides = case.rows, (case.level, case.baseline)
    rates = [set(rows.loc[rows[case.factor] == side, "learning_rate"]) for side in sides]
    shared = sorted(rates[0] & rates[1])
    if len(shared) < 2:
        return None
    places = np.log10(shared)
    middles = (places[1:] + places[:-1]) / 2
    width = pd.Series(np.diff([places[0], *middles, places[-1]]), index=shared)
    rows = rows[rows["learning_rate"].isin(shared)]
    free = (1 - rows[value].astype(float)) * rows["learning_rate"].map(width)
    pairs = paired(rows.assign(free=free), case.factor, *sides, "free")
    if pairs.empty:
        return None
    seeds = pairs.groupby("seed")["difference"]
    # a seed has each rate as often as there are other configurations
    decades = seeds.sum() * len(shared) / seeds.size()
    return difference(decades.rename("difference").reset_index(), case.about)


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


def share_of_trials(frame: pd.DataFrame, about: About, value: str) -> Effect:
    """Share of the trials of a frame in which a 0/1 column is 1, with its interval over seeds."""
    seeds = prose.count(frame["seed"].nunique(), "seed")
    basis = f"{prose.count(len(frame), 'trial')}, {seeds}"
    again = functools.partial(share_of_trials, value=value)
    return Effect(about, *share(frame[value], frame["seed"]), basis, rows=frame, remake=again)


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
