"""Effects from frames: paired differences, explosions prevented, shares, ratios and ranges.

Intervals are over seeds (`benchmark.statistics.seeds`). Where all seeds agree to the last digit a
mean has none; a share, and a difference of shares, then have what so many seeds leave open.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmark.statistics import (
    over_seeds,
    paired,
    share,
    share_of_groups,
    smallest_detectable,
    spans,
    unanimous,
)
from benchmark.statistics.failing_rates import TWO_LIMITS, decades_of
from benchmark.statistics.seeds import RELATIVE_ZERO, Ends, left_out
from benchmark.statistics.spans import at_least
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
    estimate, low, high = map(float, ends)
    freedom = _freedom(pairs["seed"].nunique())
    basis = pairs_in_words(pairs)
    made = Effect(about, estimate, low, high, basis, detectable, freedom=freedom)
    return replace(made, rows=pairs, remake=again)


def _freedom(seeds: int) -> int:
    """Degrees of freedom of an interval over so many seeds; a single one has no interval."""
    return max(seeds - 1, 1)


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
    the other way. Where nothing happened nothing is known.
    """
    counts = pairs.groupby("seed")[["control", "treated"]].sum().astype(float)
    total = counts.sum()
    estimate = float(_net(total.to_numpy()[None])[0])
    ends = left_out(estimate, _net((total - counts).to_numpy()))
    agree = math.isfinite(estimate) and len(counts) > 1 and not np.isfinite(ends[1:]).all()
    if agree:
        events = pairs[pairs[["control", "treated"]].any(axis=1)]
        ends = unanimous(estimate, len(events), events["seed"].nunique())
    made = _effect(about, (estimate, *np.clip(ends[1:], -1.0, 1.0)), pairs, prevented)
    # a score interval is one of the normal distribution
    return replace(made, freedom=math.inf, unanimous=True) if agree else made


def raised(case: Case, value: str, *, stepwise: bool = False) -> Effect | None:
    """By how many decades a level raises the rates up to which ``value`` (0 or 1) is 0.

    By seed: the decades at which it is 0 with the level less those with the baseline, of the rates
    that both were run at, each with half the way to its neighbours. None where there are not two.
    ``stepwise``: the interval is no narrower than what the steps between the rates leave open,
    although all seeds agree (`benchmark.statistics.failing_rates`).
    """
    rows, sides = case.rows, (case.level, case.baseline)
    rates = [set(rows.loc[rows[case.factor] == side, "learning_rate"]) for side in sides]
    shared = sorted(rates[0] & rates[1])
    if len(shared) < 2:
        return None
    width = decades_of(shared)
    rows = rows[rows["learning_rate"].isin(shared)]
    free = (1 - rows[value].astype(float)) * rows["learning_rate"].map(width)
    pairs = paired(rows.assign(free=free), case.factor, *sides, "free")
    if pairs.empty:
        return None
    seeds = pairs.groupby("seed")["difference"]
    # a seed has each rate as often as there are other configurations
    decades = (seeds.sum() * len(shared) / seeds.size()).rename("difference").reset_index()
    if not stepwise:
        return difference(decades, case.about)
    step = float(np.diff(np.log10(shared)).max())
    return _stepwise(decades.assign(stratum=", ".join(case.about), step=step), case.about)


def _stepwise(pairs: pd.DataFrame, about: About) -> Effect:
    """`difference` of limits that may lie anywhere in their ``step`` of the rates.

    Of several that share a baseline the errors of all but its own cancel out in part.
    """
    found = difference(pairs, about)
    compared = pairs["stratum"].nunique()
    least = TWO_LIMITS * float(pairs["step"].max()) * math.sqrt((1 + 1 / compared) / 2)
    ends, seeds = (found.estimate, found.low, found.high), pairs["seed"].nunique()
    _, low, high = at_least(ends, least, seeds=seeds, least=-math.inf)
    return replace(found, low=low, high=high, remake=_stepwise)


def _net(counts: np.ndarray) -> np.ndarray:
    most = counts.max(axis=1)
    return np.divide(
        counts[:, 0] - counts[:, 1], most, out=np.full(len(counts), np.nan), where=most > 0
    )


def share_of_configurations(
    frame: pd.DataFrame, about: About, which: Callable[[pd.DataFrame], pd.Series]
) -> Effect:
    """Share of configurations that are so, by all of their seeds, with its interval over seeds.

    Of the rows of trials ``which`` says of each configuration whether it is, once each. It is asked
    again without each seed in turn: an interval says nothing about other configurations, which
    were chosen, and are no sample.
    """
    whole, seeds = which(frame), frame["seed"].unique()
    without = np.array([which(frame[frame["seed"] != seed]).mean() for seed in seeds])
    ends = share_of_groups(float(whole.mean()), without, len(whole))
    basis = f"{prose.count(len(whole), 'configuration')}, {prose.count(len(seeds), 'seed')}"
    # where no seed moves the share its interval is one of the normal distribution
    alike = bool(np.ptp(without) < RELATIVE_ZERO)
    freedom = math.inf if alike else _freedom(len(seeds))
    again = functools.partial(share_of_configurations, which=which)
    return Effect(about, *ends, basis, freedom=freedom, rows=frame, remake=again)


def share_of_trials(frame: pd.DataFrame, about: About, value: str) -> Effect:
    """Share of the trials of a frame in which a 0/1 column is 1, with its interval over seeds."""
    seeds = prose.count(frame["seed"].nunique(), "seed")
    basis = f"{prose.count(len(frame), 'trial')}, {seeds}"
    again = functools.partial(share_of_trials, value=value)
    # where every seed has the same share no spread is estimated, and the interval is a normal one
    alike = bool(np.ptp(frame.groupby("seed")[value].mean()) < RELATIVE_ZERO)
    freedom = math.inf if alike else _freedom(frame["seed"].nunique())
    ends = share(frame[value], frame["seed"])
    return Effect(about, *ends, basis, freedom=freedom, rows=frame, remake=again)


def decades_gained(
    frame: pd.DataFrame, factor: str, level: object, baseline: object, about: About
) -> Effect | None:
    """What `benchmark.statistics.spans.decades_gained` says; None where that is None."""
    found = spans.decades_gained(frame, factor, level, baseline)
    if found is None:
        return None
    ends, pairs, seeds = found
    basis = f"{prose.count(pairs, 'pair')} of ranges, {prose.count(seeds, 'seed')}"
    return Effect(about, *ends, basis, freedom=_freedom(seeds))
