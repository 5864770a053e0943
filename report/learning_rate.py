"""How trials of the grid end, and when explosion begins."""

from __future__ import annotations

import pandas as pd

from benchmark.statistics import (
    breaking_rate,
    explosion_onset,
    stable_range,
)
from benchmark.statistics.selection import where
from report.evidence import Evidence

EARLY = 10
"""Steps within which an explosion counts as early."""


def best_rates(study: Evidence) -> pd.DataFrame:
    """Without clipping, by model: the best rate and that from which on most trials explode."""
    frame = study.outcomes[study.outcomes["clipping"] == "none"]
    if frame.empty:
        return pd.DataFrame()
    broken = breaking_rate(frame, ["model"]).rename(columns={"rate": "broken"})
    return stable_range(frame, ["model"]).merge(broken, on="model")


def onsets(study: Evidence) -> pd.DataFrame:
    """By model: when the first bad step falls, and the share of those that is ``early``."""
    rows = explosion_onset(study.results.trials, ["model"])
    bad = where(study.outcomes, exploded=1)
    early = (bad["first_bad_step"] <= EARLY).groupby(bad["model"]).mean()
    return rows[rows["exploded"] > 0].assign(early=lambda r: r["model"].map(early))
