"""Who degrades at small batches, and who extends the range of rates."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import best_per_arm, paired_comparison
from report.evidence import Evidence, by_budget, with_edges

ARM = ["model", "normalization", "batch_size"]


@functools.lru_cache(8)
def at_best_rate(study: Evidence) -> pd.DataFrame:
    """Every network, normalization and batch size at the rate that validation chooses for it."""
    return best_per_arm(by_budget(study.outcomes), ARM)


@functools.lru_cache(8)
def against_none(study: Evidence) -> pd.DataFrame:
    """Each normalization against none at every batch size, paired by seed, at the best rates.

    The columns of `paired_comparison`, with ``model`` and ``batch_size``.
    """
    best = at_best_rate(study).sort_values("batch_size", kind="stable")
    parts = [
        paired_comparison(rows, "normalization", "none", ignore=["learning_rate"]).assign(
            model=model, batch_size=size
        )
        for (model, size), rows in best.groupby(["model", "batch_size"], sort=False)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def ends(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What is measurably ``worse`` at the smallest and ``better`` at the largest batch; both."""
    small, large = (
        rows[rows["batch_size"] == rows["batch_size"].agg(end)] for end in ("min", "max")
    )
    worse, better = small[small["high"] < 0], large[large["low"] > 0]
    return {"worse": worse, "better": better, "both": worse[worse["level"].isin(better["level"])]}


def by_size(study: Evidence) -> pd.DataFrame:
    """Accuracy (%) and best rate of every normalization, a column for each batch size."""
    groups = at_best_rate(study).groupby(ARM, sort=False)
    means = groups.agg({"accuracy": "mean", "learning_rate": "first"})
    rows = with_edges(means.reset_index(), by_budget(study.tried), ARM)
    texts = [
        f"{100 * accuracy:.1f} ({best:g}{', edge' if edge else ''})"
        for accuracy, best, edge in rows[["accuracy", "learning_rate", "edge"]].itertuples(
            index=False
        )
    ]
    wide = rows.assign(text=texts).set_index(ARM)["text"].unstack()
    return wide[sorted(wide.columns)].rename(columns=str).reset_index().fillna("–")


def skipped(study: Evidence) -> pd.DataFrame:
    """Pairs that are not defined, with their reasons and how many ``trials`` they are."""
    trials = study.results.trials
    rows = trials[trials["status"] == "skipped"]
    groups = rows.groupby(["model", "normalization", "status_reason"], sort=False)
    return groups.size().rename("trials").reset_index()
