"""How trials of the grid end, when explosion begins and what decides the accuracy."""

from __future__ import annotations

import pandas as pd

from benchmark.statistics import (
    breaking_rate,
    explosion_onset,
    fanova,
    main_effects,
    ped_anova,
    stable_range,
)
from report.evidence import Evidence

EARLY = 10
"""Steps within which an explosion counts as early."""
EXACT, FOREST, BEST_TENTH = "main effects, grid", "fANOVA, search", "PED-ANOVA, search"
UNTAUGHT = ("random", "quasi-random")
"""Samplers that do not learn from their trials, which importance needs."""


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
    bad = study.outcomes.dropna(subset=["first_bad_step"])
    early = (bad["first_bad_step"] <= EARLY).groupby(bad["model"]).mean()
    return rows[rows["exploded"] > 0].assign(early=lambda r: r["model"].map(early))


def evaluators(study: Evidence, search: Evidence | None) -> pd.DataFrame:
    """Main-effect shares of the grid's factors, the largest first, with a ``panel``.

    Beside them the importance on the searches that do not learn from their trials, where there are.
    """
    exact = main_effects(study.outcomes, study.factors, "accuracy")
    parts = [exact.sort_values("estimate", ascending=False).assign(panel=EXACT)]
    rows = pd.DataFrame() if search is None else search.outcomes
    if len(rows):
        rows = rows[rows["arm"].isin(UNTAUGHT)]
        rows = rows.assign(error=1 - rows["accuracy"])
    factors = [f for f in study.factors if f in rows and rows[f].nunique() > 1]
    if factors:
        parts.append(fanova(rows, factors, "error").assign(panel=FOREST))
        parts.append(ped_anova(rows, factors, "error").assign(panel=BEST_TENTH))
    return pd.concat(parts, ignore_index=True)
