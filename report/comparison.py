"""The levels of a factor of the grid against its baseline."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import (
    best_per_arm,
    largest_stable_rate,
    learning_rate_sensitivity,
    paired_comparison,
    paired_ratio,
    stable_range,
)
from benchmark.statistics.selection import where
from report.evidence import Evidence

BASELINES = {"clipping": "none", "normalization": "none", "batch_policy": "fixed"}
AT_BEST = "at the best rates"


@functools.lru_cache(16)
def compare(study: Evidence, factor: str) -> pd.DataFrame:
    """Every level of ``factor`` against its baseline, each at its best rate.

    The columns of `paired_comparison` on test accuracy, ``panel`` and ``factor``. A learning rate
    is chosen for each configuration, all that varies but the rate itself: means over the rates of
    a grid would say how far it reaches. Empty where there is no pair.
    """
    chosen = [f for f in study.factors if f != "learning_rate"] or ["dataset"]
    best = best_per_arm(study.outcomes, chosen)
    rows = paired_comparison(best, factor, BASELINES[factor], ignore=["learning_rate"])
    return rows.assign(panel=AT_BEST, factor=factor)


def gains(rows: pd.DataFrame, panel: str) -> pd.DataFrame:
    """The levels whose interval lies above 0, the largest effect first."""
    above = rows[rows["panel"].eq(panel) & rows["low"].gt(0)]
    return above.sort_values("effect", ascending=False)


def tied(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the levels that gain, those whose interval holds the largest effect: no single winner."""
    return rows[rows["high"] >= rows["effect"].max()] if len(rows) else rows


def robustness(study: Evidence, factor: str) -> pd.DataFrame:
    """By model and level: best rate, stable range, largest rates, sensitivity.

    ``largest_rate`` is the largest at which every trial was stable, ``trained`` at which every one
    learned.
    """
    by, frame = ["model", factor], study.outcomes
    rows = stable_range(frame, by).merge(largest_stable_rate(frame, by), on=by)
    learned = largest_stable_rate(frame, by, "learned").rename(columns={"largest_rate": "learned"})
    rows = rows.merge(learned, on=by).merge(learning_rate_sensitivity(frame, by), on=by)
    return rows.rename(columns={factor: "level"}).assign(factor=factor)


def costs(study: Evidence) -> pd.DataFrame:
    """Updates of a trial that learned, of each policy, over those of the fixed batch size.

    The columns of `paired_ratio`, and ``model``. Their times say less: trials shared a device.
    """
    frame = where(study.outcomes, learned=1)
    return paired_ratio(frame, "batch_policy", "fixed", "steps", by=["model"])
