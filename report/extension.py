"""Custom strategies and data: what came out of custom studies."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics.pairing import every_factor_compared
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
    """`every_factor_compared` of what could be a remedy; ``panel`` is the data set."""
    factors = [factor for factor in study.factors if factor not in UNPAIRED]
    found = every_factor_compared(study.outcomes, factors, BASELINES)
    return found.assign(panel=found["dataset"]) if len(found) else found
