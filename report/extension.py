"""Custom strategies and data: what came out of custom studies."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics.pairing import every_factor_compared
from benchmark.statistics.rates import cross_fitted
from report import evidence
from report.evidence import ROOT, Evidence
from report.prose import name

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
AT_BEST, EVERY_RATE = "each at its best rate", "over all rates"
"""At which rates levels are compared."""
UNPAIRED = (
    *("dataset", "model", "depth", "width", "clipping_threshold", "batch_policy_parameter"),
    *("learning_rate", "momentum"),
)
"""Factors that are no remedy: what is compared is compared within each."""


def custom_studies() -> list[Evidence]:
    """Studies in the results folder that no script of the repository makes."""
    known = {path.stem for path in (ROOT / "studies").glob("*.py")}
    return [source for source in evidence.all_studies() if source.study not in known]


def anchor(study: Evidence) -> str:
    """Of the study's section on the page."""
    return f"custom-{study.study}".replace("_", "-").replace(".", "-").lower()


@functools.lru_cache(8)
def compare(study: Evidence) -> pd.DataFrame:
    """`every_factor_compared` of what could be a remedy, ``at`` best rates and `EVERY_RATE`.

    At best rates first: means over the rates of a study would say how far these reach. A rate is
    chosen for each configuration, on other seeds than those that are compared; with relative rates
    it is the one that was found so, and its multiples follow instead of `EVERY_RATE`. ``panel`` is
    the data set, and ``at`` where there are several.
    """
    factors = [factor for factor in study.factors if factor not in UNPAIRED]
    rows = {EVERY_RATE: study.outcomes}
    if len(study.relative):
        rows = {
            AT_BEST if times == 1 else f"each at {times} times its best rate": part
            for times, part in study.relative.groupby("times")
        }
    elif study.varies("learning_rate"):
        chosen = [factor for factor in study.factors if factor != "learning_rate"] or ["dataset"]
        rows = {AT_BEST: cross_fitted(study.outcomes, chosen)} | rows
    # where each has a rate of its own, the two of a pair may differ in it
    found = [
        every_factor_compared(
            part, factors, BASELINES, ignore=[] if at == EVERY_RATE else ["learning_rate"]
        ).assign(at=at)
        for at, part in rows.items()
        if len(part)
    ]
    every = pd.concat(found, ignore_index=True)
    if every.empty:
        return every
    several = every["at"].nunique() > 1
    panel = every["dataset"].map(name) + (", " + every["at"] if several else "")
    return every.assign(panel=panel)
