"""What lets a deep plain network train at a rate that is too high for it."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics import (
    against_reference,
    chosen_rates,
    largest_safe_rate,
    outcome_means,
    rate_scores,
    single_changes,
    tied_with_best,
)
from benchmark.statistics.explosions import exploding_alike
from benchmark.statistics.selection import where
from report.evidence import Evidence
from report.prose import DASH, listing, names, setting

PLAIN = {"clipping": "none", "schedule": "constant", "normalization": "none"}
"""The network without a remedy; each remedy changes one of these."""
NOTHING = "no remedy"
MOST = 0.5
"""Share of diverged trials from which a rate counts as too high."""
KEYS = ["factor", "level", "remedy"]
FEW = 3
"""Trials of which each one's step is told instead of their median."""


@functools.lru_cache(8)
def remedies(study: Evidence, depth: float | None = None) -> pd.DataFrame:
    """`single_changes` of one ``depth`` (the least, unless given), with the ``remedy`` in words.

    Remedies of one kind stand together, whenever they were run.
    """
    rows, kinds = study.outcomes, ["", *PLAIN]
    rows = where(rows, depth=float(rows["depth"].min()) if depth is None else depth)
    rows = single_changes(rows, PLAIN)
    rows = rows.sort_values("factor", key=lambda names: names.map(kinds.index), kind="stable")
    pairs = zip(rows["factor"], rows["level"], strict=True)
    return rows.assign(remedy=[setting(*pair) if pair[0] else NOTHING for pair in pairs])


def depths(study: Evidence) -> list[float]:
    """The depths that were run, the least first."""
    return sorted(study.outcomes["depth"].unique())


def first_steps(began: pd.Series) -> str:
    """Steps in words: each where there are at most `FEW`, else their median; NaN is none.

    >>> first_steps(pd.Series([728.0, None])), first_steps(pd.Series([3.0, 2.0, 2.0, 2.0]))
    ('728', '2 (median of 4)')
    """
    steps = sorted(int(step) for step in began.dropna())
    if not steps:
        return DASH
    if len(steps) <= FEW:
        return listing(f"{step:,}" for step in steps)
    return f"{np.median(steps):,.0f} (median of {len(steps)})"


@functools.lru_cache(8)
def cells(study: Evidence, depth: float | None = None) -> pd.DataFrame:
    """`outcome_means` by remedy and rate, with ``clipping_threshold``.

    And ``began``, the median first bad step of those that diverged, ``lost`` how many these are and
    ``steps`` the same in words, each step where a median of so few would be none of them.
    """
    rows, by = remedies(study, depth), [*KEYS, "learning_rate"]
    began = rows["first_bad_step"].where(rows["diverged"].eq(1)).astype(float)
    groups = rows.assign(began=began).groupby(by, sort=False)
    more = groups.agg(
        clipping_threshold=("clipping_threshold", "first"),
        began=("began", "median"),
        lost=("diverged", "sum"),
        steps=("began", first_steps),
    )
    return outcome_means(rows, by).merge(more.reset_index(), on=by)


def too_high(study: Evidence) -> float:
    """The smallest rate at which most plain trials diverge; NaN where none does."""
    rows = where(cells(study), factor="")
    return float(rows.loc[rows["diverged"] >= MOST, "learning_rate"].min())


@functools.lru_cache(8)
def best_rates(study: Evidence, depth: float | None = None) -> pd.DataFrame:
    """By remedy its best rate by validation, the accuracy there, and up to where it trains.

    Columns of `cells` at that rate, the mean ``validation`` accuracy, ``edge`` where it is the
    least or the largest that was run, and ``safe``, the largest up to which no trial diverged.
    """
    rows, by = remedies(study, depth), [*KEYS, "learning_rate"]
    chosen = chosen_rates(rows, KEYS).rename(columns={"best_rate": "learning_rate"})[[*by, "edge"]]
    found = chosen.merge(rate_scores(rows, KEYS)[[*by, "validation"]], on=by)
    return found.merge(cells(study, depth), on=by).merge(largest_safe_rate(rows, KEYS), on=KEYS)


def plain_best(study: Evidence) -> pd.Series:
    """The row of `best_rates` without a remedy: what a lower rate gives."""
    return where(best_rates(study), factor="").iloc[0]


@functools.lru_cache(32)
def at_rate(study: Evidence, rate: float) -> pd.DataFrame:
    """Every remedy at one ``rate``, the most accurate first, and how far below a lower rate.

    Columns of `cells`; ``effect``, ``low`` and ``high``: its accuracy less that of the plain
    network at its best rate, paired by seed; ``best_rate``, ``edge`` and ``safe`` of `best_rates`.
    """
    rows = remedies(study)
    lower = where(rows, factor="", learning_rate=float(plain_best(study)["learning_rate"]))
    ignore = ["learning_rate", "clipping_threshold", *PLAIN]
    effects = against_reference(where(rows, learning_rate=rate), lower, "remedy", ignore=ignore)
    effects = effects.rename(columns={"level": "remedy"})[["remedy", "effect", "low", "high"]]
    own = best_rates(study).rename(columns={"learning_rate": "best_rate"})
    found = where(cells(study), learning_rate=rate).merge(effects, on="remedy", how="left")
    found = found.merge(own[["remedy", "best_rate", "edge", "safe"]], on="remedy")
    return found.sort_values("accuracy", ascending=False, kind="stable", ignore_index=True)


def leaders(study: Evidence, rate: float) -> pd.DataFrame:
    """The clippings of `at_rate` that cannot be told from the most accurate, which comes first.

    Of those under which no trial diverged, as `benchmark.statistics.tied_with_best` tells them.
    """
    rows = where(at_rate(study, rate), factor="clipping", diverged=0)
    if rows.empty:
        return rows
    trials = where(remedies(study), learning_rate=rate, remedy=list(rows["remedy"]))
    return where(rows, level=tied_with_best(trials, "clipping"))


def by_schedule(study: Evidence) -> pd.DataFrame:
    """`cells` of the schedules, the constant rate first, at rates at which some trial exploded."""
    rows = cells(study)
    rows = rows[rows["factor"].isin(["", "schedule"])]
    rows = rows.assign(schedule=rows["level"].where(rows["factor"] != "", "constant"))
    some = rows.groupby("learning_rate")["exploded"].transform("max") > 0
    return rows[some]


def alike_in_one_row(study: Evidence) -> pd.DataFrame:
    """`by_schedule` with a row for all schedules under which the same trials explode.

    At the same steps, at every rate; ``schedules`` names them.
    """
    trials = remedies(study)
    trials = trials[trials["factor"].isin(["", "schedule"])]
    told = exploding_alike(trials, "schedule")
    rows = where(by_schedule(study), schedule=list(told))
    return rows.assign(schedules=rows["schedule"].map(told).map(names))
