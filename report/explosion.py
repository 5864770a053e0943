"""When training explodes, and what gradients do before it."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics.explosions import least_exploding_rate
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


def boundary(study: Evidence) -> pd.DataFrame:
    """`least_exploding_rate` without clipping, by normalization, depth and gain."""
    keys = ["normalization", "depth", "init_gain"]
    first = least_exploding_rate(where(mapped(study), clipping="none"), keys)
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
