"""Which rates train with batch normalization, with clipping and with both, at rates all share."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics import (
    breaking_rate,
    interval,
    largest_safe_rate,
    mean,
    outcome_means,
    paired_comparison,
    stable_range,
)
from report.evidence import Evidence, where
from report.prose import phrase

KEYS = ["model", "normalization", "clipping"]
NEITHER, NORMALIZED, BOTH = "neither", "batch normalization", "both"
LIMITS = ["good", "safe", "lost"]


@functools.lru_cache(8)
def trials(study: Evidence) -> pd.DataFrame:
    """The trials by ``remedy``, in words: neither, clipping, batch normalization or both."""
    rows = study.outcomes
    rows = where(rows, normalization=["none", "batch"])
    return rows.assign(remedy=[_remedy(*pair) for pair in rows[KEYS[1:]].itertuples(index=False)])


def _remedy(normalization: str, clipping: str) -> str:
    if normalization == "none":
        return NEITHER if clipping == "none" else phrase("clipping", clipping)
    return NORMALIZED if clipping == "none" else BOTH


@functools.lru_cache(8)
def rate_limits(study: Evidence) -> pd.DataFrame:
    """How far up the learning rate may go: a row a ``model`` and ``remedy``.

    ``good``, the largest rate of those about the best one whose mean validation accuracy is within
    a point of it, and ``good_edge``, whether none larger was run; ``safe``, the largest up to which
    no trial diverged; ``lost``, the least from which on more than half diverge, NaN where they do
    not. Each with ``..._times``, over that with neither remedy.
    """
    rows, by = trials(study), [*KEYS, "remedy"]
    found = stable_range(rows, by).rename(columns={"high_rate": "good"})[[*by, "good"]]
    found = found.merge(largest_safe_rate(rows, by), on=by)
    found = found.merge(breaking_rate(rows, by, "diverged").rename(columns={"rate": "lost"}), on=by)
    largest = rows.groupby("model")["learning_rate"].max()
    found = found.assign(good_edge=found["good"].eq(found["model"].map(largest)))
    bare = where(found, remedy=NEITHER).set_index("model")
    return found.assign(**{f"{c}_times": found[c] / found["model"].map(bare[c]) for c in LIMITS})


def spacing(study: Evidence) -> float:
    """The largest ratio of neighbouring learning rates: no limit is known any better."""
    rates = np.sort(trials(study)["learning_rate"].unique())
    return float((rates[1:] / rates[:-1]).max())


@functools.lru_cache(8)
def moved(study: Evidence) -> pd.DataFrame:
    """By ``model`` how many times as high each limit is as with neither remedy.

    ``normalized_good`` with batch normalization, ``clipped_good`` with clipping and ``both_good``
    with both, and the same with ``_safe`` and ``_lost``; and ``apart``, whether batch normalization
    raises the largest good rate by more than one step of the grid, and by more than clipping does.
    """
    rows = rate_limits(study)
    roles = rows["remedy"].map({NORMALIZED: "normalized", BOTH: "both", NEITHER: ""})
    rows = rows.assign(role=roles.fillna("clipped"))
    wide = rows[rows["role"] != ""].pivot(
        index="model", columns="role", values=[f"{c}_times" for c in LIMITS]
    )
    wide.columns = [f"{role}_{c.removesuffix('_times')}" for c, role in wide.columns]
    found = wide.reindex(rows["model"].unique()).reset_index()
    raised = found["normalized_good"] > 1.1 * spacing(study)
    return found.assign(apart=raised & (found["normalized_good"] > found["clipped_good"]))


def by_rate(study: Evidence, value: str) -> pd.DataFrame:
    """Mean ``value`` of each ``remedy`` at each rate, with its interval; of diverged, the share."""
    rows = trials(study)
    if value == "diverged":
        rows = rows.assign(diverged=rows["diverged"].astype(bool))
    return interval(rows, value, ["model", "remedy", "learning_rate"], statistic=mean)


def at_the_loss(study: Evidence, remedy: str) -> pd.DataFrame:
    """What the remedies give at the rate from which on most trials with ``remedy`` diverge.

    `outcome_means` by ``model``, ``learning_rate`` and each ``remedy`` there.
    """
    lost = where(rate_limits(study), remedy=remedy).dropna(subset=["lost"])
    rates = lost[["model", "lost"]].rename(columns={"lost": "learning_rate"})
    rows = trials(study).merge(rates, on=["model", "learning_rate"])
    return outcome_means(rows, ["model", "learning_rate", "remedy"])


def saved_beyond(study: Evidence) -> pd.DataFrame:
    """What clipping saves beside batch normalization where most networks with that diverge.

    By ``model`` and ``learning_rate`` the columns of `paired_comparison`, and the ``accuracy`` with
    both.
    """
    there = at_the_loss(study, NORMALIZED)
    keys = ["model", "learning_rate"]
    rows = where(trials(study), normalization="batch").merge(there[keys].drop_duplicates())
    found = paired_comparison(rows, "clipping", "none", by=keys)
    return found.merge(where(there, remedy=BOTH)[[*keys, "accuracy"]], on=keys)
