"""The map: how trials of the grid end, when explosion begins, and at which rates levels train."""

from __future__ import annotations

import pandas as pd

from benchmark.figures.phrases import setting
from benchmark.statistics import (
    breaking_rate,
    explosion_onset,
    stable_range,
)
from benchmark.statistics.selection import where
from report import comparison
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


def hopeless_from(study: Evidence) -> pd.DataFrame:
    """By model the ``rate`` from which on no trial without clipping learns, where there is one."""
    rows = where(study.outcomes, clipping="none")
    learned = rows.groupby(["model", "learning_rate"], sort=False)["learned"].max().reset_index()
    last = learned[learned["learned"] > 0].groupby("model")["learning_rate"].max()
    beyond = learned[learned["learning_rate"] > learned["model"].map(last).fillna(0.0)]
    found = beyond.groupby("model", sort=False)["learning_rate"].min()
    return found.rename("rate").reset_index()


def factors(study: Evidence) -> list[str]:
    """The factors beside the learning rate and the network of which the grid has several levels."""
    return [factor for factor in comparison.BASELINES if study.varies(factor)]


def across_rates(study: Evidence) -> pd.DataFrame:
    """`comparison.robustness` of each of the `factors`."""
    rows = [comparison.robustness(study, factor) for factor in factors(study)]
    return pd.concat(rows or [pd.DataFrame()], ignore_index=True)


def reaching_farther(rows: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Of `across_rates` by model the level of ``factor`` up to whose highest rate all learn.

    Beside it the baseline in words, ``bare``, and its ``bare_learned``; without the models in which
    no level reaches farther than the baseline.
    """
    rows = where(rows, factor=factor).dropna(subset=["learned"])
    if rows.empty:
        return rows
    bare = where(rows, level=comparison.BASELINES[factor])[["model", "learned"]]
    best = rows.loc[rows.groupby("model", sort=False)["learned"].idxmax()]
    found = best.merge(bare.rename(columns={"learned": "bare_learned"}), on="model")
    found = found[found["learned"] > found["bare_learned"]]
    return found.assign(bare=setting(factor, comparison.BASELINES[factor]))


def at_best(study: Evidence) -> pd.DataFrame:
    """`comparison.compare` of each of the `factors`."""
    rows = [comparison.compare(study, factor) for factor in factors(study)]
    return pd.concat(rows or [pd.DataFrame()], ignore_index=True)


def baselines(rows: pd.DataFrame) -> list[str]:
    """What the levels in `at_best` are compared with, as a sentence has it."""
    found = rows["factor"].drop_duplicates()
    return [setting(factor, comparison.BASELINES[factor]) for factor in found]
