"""How trials of the grid end, when explosion begins and what decides the accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.statistics import (
    explosion_onset,
    fanova,
    main_effects,
    ped_anova,
    stable_range,
    status_shares,
)
from benchmark.status import STATUSES
from report.evidence import Evidence

EARLY = 10
"""Steps within which an explosion counts as early."""
EXACT, FOREST, BEST_TENTH = "main effects, grid", "fANOVA, search", "PED-ANOVA, search"
UNTAUGHT = ("random", "quasi-random")
"""Samplers that do not learn from their trials, which importance needs."""


def endings(study: Evidence) -> pd.DataFrame:
    """How many trials ended how: ``status``, ``meaning``, ``count``, ``share``."""
    shares = status_shares(study.results.trials, ["study"])
    return shares.assign(meaning=shares["status"].map(STATUSES))


def breaking_rate(shares: pd.Series) -> float:
    """Smallest rate from which on more than half of the trials explode.

    ``shares`` are shares of exploded trials, indexed by learning rate; NaN where at most half
    explode at the largest rate.
    """
    broken = np.nan
    for rate, share in shares.sort_index(ascending=False).items():
        if share <= 0.5:
            break
        broken = float(rate)
    return broken


def best_rates(study: Evidence) -> pd.DataFrame:
    """Without clipping, by model: the best rate and that from which on most trials explode."""
    frame = study.outcomes[study.outcomes["clipping"] == "none"]
    if frame.empty:
        return pd.DataFrame()
    broken = [
        breaking_rate(rows.groupby("learning_rate")["exploded"].mean())
        for _, rows in frame.groupby("model", sort=False)
    ]
    return stable_range(frame, ["model"]).assign(broken=broken)


def onsets(study: Evidence) -> pd.DataFrame:
    """By model: when the first bad step falls, and the share of those that is ``early``."""
    rows = explosion_onset(study.results.trials, ["model"])
    bad = study.outcomes.dropna(subset=["first_bad_step"])
    early = (bad["first_bad_step"] <= EARLY).groupby(bad["model"]).mean()
    return rows[rows["exploded"] > 0].assign(early=lambda r: r["model"].map(early))


def plain(study: Evidence) -> pd.DataFrame:
    """The trials without normalization at a fixed batch size."""
    frame = study.outcomes
    return frame[frame["normalization"].eq("none") & frame["batch_policy"].eq("fixed")]


def importance(study: Evidence) -> pd.DataFrame:
    """Main-effect shares of the grid's factors, the largest first."""
    effects = main_effects(study.outcomes, study.factors, "accuracy")
    return effects.sort_values("estimate", ascending=False)


def evaluators(study: Evidence, search: Evidence | None) -> pd.DataFrame:
    """`importance`, and that on the searches that do not learn, with the ``panel`` of each."""
    parts = [importance(study).assign(panel=EXACT)]
    rows = pd.DataFrame() if search is None else search.outcomes
    if len(rows):
        rows = rows[rows["arm"].isin(UNTAUGHT)]
        rows = rows.assign(error=1 - rows["accuracy"])
    factors = [f for f in study.factors if f in rows and rows[f].nunique() > 1]
    if factors:
        parts.append(fanova(rows, factors, "error").assign(panel=FOREST))
        parts.append(ped_anova(rows, factors, "error").assign(panel=BEST_TENTH))
    return pd.concat(parts, ignore_index=True)
