"""Who degrades at small batches, and who extends the range of rates."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import best_per_arm, paired_comparison
from benchmark.statistics.rates import with_edges
from report.evidence import Evidence, by_budget

ARM = ["model", "normalization", "batch_size"]


@functools.lru_cache(8)
def at_best_rate(study: Evidence) -> pd.DataFrame:
    """Every network, normalization and batch size at the rate that validation chooses for it."""
    best = best_per_arm(by_budget(study.outcomes), ARM)
    # the budgets of a network beside each other
    return best.sort_values("model", ascending=False, kind="stable")


@functools.lru_cache(8)
def against_none(study: Evidence) -> pd.DataFrame:
    """Each normalization against none at every batch size, paired by seed, at the best rates.

    The columns of `paired_comparison`, with ``model`` and ``batch_size``.
    """
    best, by = at_best_rate(study).sort_values("batch_size", kind="stable"), ["model", "batch_size"]
    return paired_comparison(best, "normalization", "none", by=by, ignore=["learning_rate"])


def by_size(study: Evidence) -> pd.DataFrame:
    """Mean accuracy and best rate of every normalization at each batch size."""
    groups = at_best_rate(study).groupby(ARM)
    means = groups.agg({"accuracy": "mean", "learning_rate": "first"})
    return with_edges(means.reset_index(), by_budget(study.tried), ARM)
