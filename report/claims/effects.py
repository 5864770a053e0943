"""Effects from frames: paired differences, explosions prevented, shares, ratios and ranges."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics import bootstrap, mean, proportion, resample
from benchmark.statistics.rates import WITHIN
from benchmark.statistics.resampling import percentiles
from report import prose
from report.claims.records import Effect

Ends = tuple[float, float, float]
"""An estimate, and the lower and upper end of its interval."""


def pairs_in_words(pairs: pd.DataFrame) -> str:
    """How many pairs there are, on how many seeds."""
    seeds = prose.count(pairs["seed"].nunique(), "seed")
    return f"{prose.count(len(pairs), 'pair')}, {seeds}"


def over_seeds(values: np.ndarray, strata: pd.Series, seeds: pd.Series) -> Ends:
    """Mean and 95% interval of ``values``, seeds resampled within ``strata``.

    A single seed has no interval: what would be resampled is the choice of cells.
    """
    if seeds.nunique() < 2:
        return float(mean(values)), np.nan, np.nan
    return bootstrap(values, strata.to_numpy(), mean)


def difference(pairs: pd.DataFrame, label: str, sign: int = 1) -> Effect:
    """Mean of treated minus control (``sign`` -1: control minus treated) over pairs."""
    values = sign * pairs["difference"].to_numpy()
    ends = over_seeds(values, pairs["stratum"], pairs["seed"])
    return Effect(label, *ends, pairs_in_words(pairs))


def ratio(pairs: pd.DataFrame, label: str) -> Effect:
    """Geometric mean of control / treated over pairs of positive values: times as little."""
    logs = np.log(pairs["control"].to_numpy()) - np.log(pairs["treated"].to_numpy())
    estimate, low, high = np.exp(over_seeds(logs, pairs["stratum"], pairs["seed"]))
    return Effect(label, float(estimate), float(low), float(high), pairs_in_words(pairs))


def prevented(pairs: pd.DataFrame, label: str) -> Effect:
    """Net share of explosions prevented: (C - T) / max(C, T), for C and T exploded trials.

    C counts those of the control and T those of the treated: 1 where all are prevented, 0 where
    there are as many, -1 where only the treated explode.
    """
    counts = pairs[["control", "treated"]].to_numpy(dtype=float)
    estimate = float(_net(counts.sum(axis=0)[None])[0])
    if pairs["seed"].nunique() < 2:
        return Effect(label, estimate, np.nan, np.nan, pairs_in_words(pairs))
    draws = _net(counts[resample(pairs["stratum"].to_numpy())].sum(axis=1))
    # a draw in which nothing explodes says nothing
    low, high = percentiles(draws[np.isfinite(draws)])
    return Effect(label, estimate, float(low), float(high), pairs_in_words(pairs))


def _net(counts: np.ndarray) -> np.ndarray:
    most = counts.max(axis=1)
    return np.divide(
        counts[:, 0] - counts[:, 1], most, out=np.full(len(counts), np.nan), where=most > 0
    )


def share_of(groups: pd.Series, noun: str, label: str) -> Effect:
    """Share of groups (True or False each) with Wilson's interval: each counts once.

    For groups that end alike whatever the seed, so that only the choice of groups could have
    made another share.
    """
    estimate, low, high = proportion(int(groups.sum()), len(groups))
    return Effect(label, estimate, low, high, prose.count(len(groups), noun))


def share_of_trials(frame: pd.DataFrame, value: str, label: str) -> Effect:
    """Mean of a 0/1 column over the trials of a frame; seeds are resampled within cells."""
    ends = over_seeds(frame[value].to_numpy(), frame["cell"], frame["seed"])
    return Effect(label, *ends, prose.count(len(frame), "trial"))


def usable_decades(accuracy: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Decades (...) of neighbouring ``rates`` (R,) whose ``accuracy`` (..., R) is near the best.

    As `benchmark.statistics.stable_range`, for many resamples at once.
    """
    places = np.arange(len(rates))
    best = accuracy.argmax(axis=-1)[..., None]
    bad = accuracy < accuracy.max(axis=-1, keepdims=True) - WITHIN
    low = np.where(bad & (places < best), places, -1).max(axis=-1) + 1
    high = np.where(bad & (places > best), places, len(rates)).min(axis=-1) - 1
    logs = np.log10(rates)
    return logs[high] - logs[low]


def decades_gained(
    frame: pd.DataFrame, factor: str, level: object, baseline: object, label: str
) -> Effect | None:
    """How many decades wider the range of usable rates is at ``level`` than at ``baseline``.

    On the rates and seeds that both were run at, averaged over all other factors; the same
    resampled seeds for both. None where they share no two rates.
    """
    keys = [c for c in CONFIGURATION if c not in (factor, "learning_rate", "seed")]
    estimates, draws, seeds = [], [], 0
    for _, rows in frame.groupby(keys, sort=False, dropna=False):
        sides = [rows[rows[factor] == which] for which in (level, baseline)]
        tables = [_table(side) for side in sides]
        rates = tables[0].columns.intersection(tables[1].columns)
        shared = tables[0].index.intersection(tables[1].index)
        if len(rates) < 2 or shared.empty:
            continue
        arms = np.stack([t.loc[shared, rates].to_numpy() for t in tables])
        picks = np.concatenate([np.arange(len(shared))[None], resample(np.zeros(len(shared)))])
        means = arms[:, picks].mean(axis=2)
        wide, narrow = usable_decades(means, rates.to_numpy(dtype=float))
        estimates.append((wide - narrow)[0])
        draws.append((wide - narrow)[1:])
        seeds = max(seeds, len(shared))
    if not estimates:
        return None
    basis = f"{prose.count(len(estimates), 'pair')} of ranges, {prose.count(seeds, 'seed')}"
    low, high = (np.nan, np.nan) if seeds < 2 else percentiles(np.mean(draws, axis=0))
    return Effect(label, float(np.mean(estimates)), float(low), float(high), basis)


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """Validation accuracy, seeds by ascending rates; only seeds that have every rate."""
    return rows.pivot(index="seed", columns="learning_rate", values="validation").dropna()
