"""Who degrades at small batches, and who extends the range of rates."""

from __future__ import annotations

import functools
import math
from typing import Any

import pandas as pd

from benchmark.statistics import best_per_arm, paired_comparison
from benchmark.statistics.pairing import verdicts
from benchmark.statistics.rates import with_edges
from benchmark.statistics.selection import without_repeats
from report.evidence import Evidence, by_budget

UPDATES = " at equal updates"
ARM = ["model", "normalization", "batch_size"]


@functools.lru_cache(8)
def at_best_rate(study: Evidence) -> pd.DataFrame:
    """Every network, normalization and batch size at the rate that validation chooses for it."""
    kept = without_repeats(study.outcomes).index
    best = best_per_arm(by_budget(study.outcomes).loc[kept], ARM)
    # the budgets of a network beside each other
    return best.sort_values("model", ascending=False, kind="stable")


def at_equal_examples(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows with the budget in the name of their ``model`` those that count; all without any."""
    return rows[~rows["model"].str.endswith(UPDATES)]


@functools.lru_cache(8)
def against_none(study: Evidence) -> pd.DataFrame:
    """Each normalization against none at every batch size, paired by seed, at the best rates.

    The columns of `paired_comparison`, with ``model`` and ``batch_size``; corrected for the
    normalizations that are compared at that size, and with its ``verdict``.
    """
    best, by = at_best_rate(study).sort_values("batch_size", kind="stable"), ["model", "batch_size"]
    rows = paired_comparison(best, "normalization", "none", by=by, ignore=["learning_rate"])
    return rows.assign(verdict=verdicts(rows))


@functools.lru_cache(8)
def from_best_size(study: Evidence) -> pd.DataFrame:
    """Each batch size against the ``best`` one by validation, of every network and normalization.

    The columns of `paired_comparison` with ``model`` and ``normalization``; ``level`` is a size.
    """
    arms = ["model", "normalization"]
    found = []
    for key, rows in at_best_rate(study).groupby(arms, sort=False):
        best: Any = rows.groupby("batch_size")["validation"].mean().idxmax()
        apart = paired_comparison(rows, "batch_size", best, ignore=["learning_rate"])
        named: dict[str, Any] = dict(zip(arms, key, strict=True))
        found.append(apart.assign(**named, best=best))
    return pd.concat(found, ignore_index=True).sort_values("level", kind="stable")


def examples_seen(study: Evidence) -> float:
    """How many times as many examples the largest batch sees as the smallest, at equal updates."""
    rows = study.outcomes[study.outcomes["updates"].notna()]
    return float(rows["batch_size"].max() / rows["batch_size"].min()) if len(rows) else math.nan


def by_size(study: Evidence) -> pd.DataFrame:
    """Mean accuracy and best rate of every normalization at each batch size."""
    groups = at_best_rate(study).groupby(ARM)
    means = groups.agg({"accuracy": "mean", "learning_rate": "first"})
    return with_edges(means.reset_index(), by_budget(study.tried), ARM)
