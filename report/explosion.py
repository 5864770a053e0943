"""When training explodes, and what gradients do before it."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import interval, mean
from benchmark.statistics.onset import aligned_at_onset, growth_before_onset
from report.evidence import Evidence, share_of, where

EARLY = 10
"""Steps within which an explosion counts as early."""
LATE = 100
"""Steps after which an explosion counts as late."""
WINDOW = 5
"""Checkpoints on either side of the first bad step that are drawn."""
GREW = 2.0
"""Times its first value by which a norm counts as having grown."""


def mapped(study: Evidence) -> pd.DataFrame:
    """The trials of the map: those of the budget that most have."""
    rows = study.outcomes
    budget = rows.groupby(["epochs", "updates"], dropna=False)["trial"].transform("size")
    return rows[budget == budget.max()]


def longer(study: Evidence) -> pd.DataFrame:
    """The trials that were given more updates than those of the map, to see what comes late."""
    return study.mapped[study.mapped["updates"] > mapped(study)["updates"].max()]


def by_clipping(study: Evidence) -> pd.DataFrame:
    """The share of explosions of each clipping, over the networks that were run with all."""
    rows = mapped(study)
    networks = ["normalization", "depth", "init_gain", "learning_rate"]
    levels = rows.groupby(networks)["clipping"].transform("nunique")
    alike = rows[levels == rows["clipping"].nunique()]
    return alike.groupby("clipping", sort=False)["exploded"].mean().reset_index()


def missed(rows: pd.DataFrame) -> dict[str, float]:
    """The share of the exploded ``rows`` that a test for NaN misses, with its interval."""
    return share_of(rows["status"].ne("nonfinite"), rows["seed"])


def plain_and_aided(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ``rows`` without normalization and clipping, and those with either."""
    plain = rows["normalization"].eq("none") & rows["clipping"].eq("none")
    return rows[plain], rows[~plain]


def missed_by_setting(study: Evidence) -> pd.DataFrame:
    """`missed` by normalization and clipping, with ``exploded``, ``trials`` and ``missed``."""
    by, bad = ["normalization", "clipping"], where(study.outcomes, exploded=1)
    bad = bad.assign(finite=bad["status"].ne("nonfinite"))
    counts = {
        "missed": bad.groupby(by)["finite"].sum(),
        "trials": study.outcomes.groupby(by).size(),
    }
    found = interval(bad, "finite", by, statistic=mean)
    found = found.rename(columns={"estimate": "share", "trials": "exploded"})
    return found.merge(pd.DataFrame(counts).reset_index(), on=by).astype({"missed": int})


def boundary(study: Evidence) -> pd.DataFrame:
    """Without clipping: the least ``rate`` at which half explode, by normalization, depth and gain.

    NaN where there is none; ``init_gain`` is the gain.
    """
    frame = where(mapped(study), clipping="none")
    keys = ["normalization", "depth", "init_gain"]
    shares = frame.groupby([*keys, "learning_rate"], sort=False)["exploded"].mean().reset_index()
    rate = shares["learning_rate"].where(shares["exploded"] >= 0.5)
    first = shares.assign(rate=rate).groupby(keys, sort=False)["rate"].min().reset_index()
    place = {name: i for i, name in enumerate(first["normalization"].unique())}
    by = ["normalization", "depth"]
    return first.sort_values(by, key=lambda c: c.map(place) if c.name == by[0] else c)


def boundaries(rows: pd.DataFrame) -> pd.DataFrame:
    """By normalization the ``least`` and ``most`` of the rates of `boundary`, where there are."""
    rates = rows.dropna(subset=["rate"]).groupby("normalization", sort=False)["rate"]
    return rates.agg(least="min", most="max").reset_index()


@functools.lru_cache(8)
def ahead(study: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Checkpoints about the first bad step with how it ended, and the growth ahead of it."""
    aligned = aligned_at_onset(study.results.history, study.outcomes)
    columns = ["trial", "status", "normalization", "clipping"]
    growth = growth_before_onset(aligned).merge(study.outcomes[columns], on="trial")
    return aligned.merge(study.outcomes[columns], on="trial"), growth
