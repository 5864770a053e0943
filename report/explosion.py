"""When training explodes, and what gradients do before it."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import share
from benchmark.statistics.onset import aligned_at_onset, growth_before_onset
from report.evidence import Evidence

EARLY = 10
"""Steps within which an explosion counts as early."""
LATE = 100
"""Steps after which an explosion counts as late."""
WINDOW = 5
"""Checkpoints on either side of the first bad step that are drawn."""
GREW = 2.0
"""Times its first value by which a norm counts as having grown."""
ENDINGS = {
    "recovered": "recovered and learned",
    "damaged": "left chance, but did not learn",
    "collapsed": "learned, then fell to chance",
    "dead": "never left chance",
    "nonfinite": "ended in numbers that are not finite",
}


def exploded(study: Evidence) -> pd.DataFrame:
    """The trials that exploded."""
    return study.outcomes[study.outcomes["exploded"] == 1]


def mapped(study: Evidence) -> pd.DataFrame:
    """The trials of the map: those of the budget that most have."""
    rows = study.outcomes
    budget = rows.groupby(["epochs", "updates"], dropna=False)["trial"].transform("size")
    return rows[budget == budget.max()]


def longer(study: Evidence) -> pd.DataFrame:
    """The trials that were given more updates than those of the map, to see what comes late."""
    rows = study.outcomes
    of_maps = rows["arm"].fillna("").eq("")
    return rows[of_maps & (rows["updates"] > mapped(study)["updates"].max())]


def by_clipping(study: Evidence) -> pd.DataFrame:
    """The share of explosions of each clipping, over the networks that were run with all."""
    rows = mapped(study)
    networks = ["normalization", "depth", "init_gain", "learning_rate"]
    levels = rows.groupby(networks)["clipping"].transform("nunique")
    alike = rows[levels == rows["clipping"].nunique()]
    return alike.groupby("clipping", sort=False)["exploded"].mean().reset_index()


def endings(rows: pd.DataFrame) -> list[dict[str, object]]:
    """How many of the exploded trials ended how, in the order of `ENDINGS`."""
    counts = rows["status"].value_counts()
    return [{"count": int(counts[s]), "ended": said} for s, said in ENDINGS.items() if s in counts]


def missed(rows: pd.DataFrame) -> dict[str, float]:
    """The share of the exploded ``rows`` that a test for NaN misses, with its interval."""
    found = share(rows["status"].ne("nonfinite"), rows["seed"])
    return dict(zip(("share", "low", "high"), found, strict=True))


def plain_and_aided(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ``rows`` without normalization and clipping, and those with either."""
    plain = rows["normalization"].eq("none") & rows["clipping"].eq("none")
    return rows[plain], rows[~plain]


def missed_by_setting(study: Evidence) -> list[dict[str, object]]:
    """`missed` by normalization and clipping, with ``exploded``, ``trials`` and ``missed``."""
    by = ["normalization", "clipping"]
    counts = study.outcomes.groupby(by).size()
    return [
        {
            **dict(zip(by, key, strict=True)),
            "exploded": len(rows),
            "trials": int(counts[key]),
            "missed": int(rows["status"].ne("nonfinite").sum()),
            **missed(rows),
        }
        for key, rows in exploded(study).groupby(by, sort=False)
    ]


def boundary(study: Evidence) -> pd.DataFrame:
    """Without clipping: the least rate at which half explode, by normalization, depth and gain."""
    frame = mapped(study)
    frame = frame[frame["clipping"] == "none"]
    keys = ["normalization", "depth", "init_gain"]
    shares = frame.groupby([*keys, "learning_rate"], sort=False)["exploded"].mean().reset_index()
    rate = shares["learning_rate"].where(shares["exploded"] >= 0.5)
    first = shares.assign(rate=rate).groupby(keys, sort=False)["rate"].min().unstack()
    rows = first[sorted(first.columns)].rename(columns=lambda gain: f"{gain:g}").reset_index()
    place = {name: i for i, name in enumerate(rows["normalization"].unique())}
    by = ["normalization", "depth"]
    return rows.sort_values(by, key=lambda c: c.map(place) if c.name == by[0] else c)


def boundaries(study: Evidence) -> list[dict[str, object]]:
    """By normalization the ``least`` and ``most`` of the rates in `boundary`, where there are."""
    rows = boundary(study)
    numbers = rows.drop(columns=["normalization", "depth"])
    ends = pd.DataFrame({"least": numbers.min(axis=1), "most": numbers.max(axis=1)})
    ends = ends.assign(normalization=rows["normalization"]).dropna()
    found = ends.groupby("normalization", sort=False).agg({"least": "min", "most": "max"})
    return [dict(row) for row in found.reset_index().to_dict("records")]


def batch_and_plain(study: Evidence) -> dict[str, dict[str, object]]:
    """The rows of `boundaries` ``batch`` and ``none``; empty unless both are there."""
    found = {str(row["normalization"]): row for row in boundaries(study)}
    return found if {"batch", "none"} <= found.keys() else {}


@functools.lru_cache(8)
def ahead(study: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Checkpoints about the first bad step with how it ended, and the growth ahead of it."""
    aligned = aligned_at_onset(study.results.history, study.outcomes)
    columns = ["trial", "status", "normalization", "clipping"]
    growth = growth_before_onset(aligned).merge(study.outcomes[columns], on="trial")
    return aligned.merge(study.outcomes[columns], on="trial"), growth
