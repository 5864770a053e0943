"""Custom strategies and data: what came out of custom studies."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import interval, mean, paired_comparison
from report import evidence
from report.evidence import ROOT, Evidence

EXAMPLE = ROOT / "docs" / "examples" / "custom_strategies.py"
COMMAND = "python -m benchmark run custom_strategies --scale quick"
BASELINES = {
    "clipping": "none",
    "normalization": "none",
    "batch_policy": "fixed",
    "schedule": "constant",
    "optimizer": "sgd",
    "learning_rate_scaling": "none",
    "precision": "float32",
    "disturbance": "none",
}
"""What the levels of a factor are compared with; of another factor, its first level."""
UNPAIRED = (
    *("dataset", "model", "depth", "width", "clipping_threshold", "batch_policy_parameter"),
    *("learning_rate", "momentum"),
)
"""Factors that are no remedy: what is compared is compared within each."""


def custom_studies() -> list[Evidence]:
    """Studies in the results folder that no script of the repository makes."""
    known = {path.stem for path in (ROOT / "studies").glob("*.py")}
    return [source for source in evidence.all_studies() if source.study not in known]


@functools.lru_cache(8)
def compare(study: Evidence) -> pd.DataFrame:
    """Every level of every factor against its baseline, paired, within each data set.

    The columns of `paired_comparison`, with ``factor``, ``panel`` (the data set) and the level's
    mean ``accuracy``.
    """
    parts = []
    for factor in (f for f in study.factors if f not in UNPAIRED):
        baseline = BASELINES.get(factor, study.outcomes[factor].iloc[0])
        means = interval(study.outcomes, "accuracy", ["dataset", factor], statistic=mean)
        means = means.rename(columns={factor: "level", "estimate": "accuracy"})
        found = paired_comparison(study.outcomes, factor, baseline, by=["dataset"])
        found = found.merge(means[["dataset", "level", "accuracy"]], on=["dataset", "level"])
        parts.append(found.assign(factor=factor, panel=found["dataset"]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
