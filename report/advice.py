"""What the studies say to do: facts for the page of decisions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.statistics import interval, mean, speed
from report.evidence import Evidence
from report.prose import name

QUESTIONS = {
    "advice-deep": "Which clipping for an unnormalised 10-layer MLP at rate 0.5?",
    "advice-nan": "My loss went NaN at step 3. What now?",
    "advice-batch": "Which batch size, and how does the rate follow?",
    "advice-batchnorm": "Does batch normalization make clipping unnecessary?",
    "advice-threshold": "Which threshold for the global norm?",
    "advice-cost": "What does each strategy cost?",
}
"""Anchor and heading of each answer."""
DEPTH, RATE = 10, 0.5
"""The case that a reader asks about; the nearest that was run stands for it."""
SOON = 10
"""Steps within which a loss counts as gone at once."""
TENTH = 0.1


def _nearest(values: pd.Series, wanted: float) -> float:
    levels = values.dropna().unique()
    return float(levels[np.abs(np.log(levels.astype(float) / wanted)).argmin()])


def deep(study: Evidence) -> pd.DataFrame:
    """Unnormalised networks nearest to the case, by clipping: accuracy, and the share exploded.

    Columns ``depth``, ``learning_rate``, ``clipping``, ``seeds``, ``accuracy``, ``low``, ``high``,
    ``exploded``; the most accurate first.
    """
    rows = study.outcomes[study.outcomes["normalization"] == "none"]
    rows = rows[rows["init_gain"] == 1]
    # a case at which only some of the clippings were run compares nothing
    case = rows.groupby(["depth", "learning_rate", "epochs", "updates"], dropna=False)["clipping"]
    rows = rows[case.transform("nunique") == rows["clipping"].nunique()]
    for column, wanted in (("depth", DEPTH), ("learning_rate", RATE)):
        rows = rows[rows[column] == _nearest(rows[column], wanted)] if len(rows) else rows
    found = interval(rows, "accuracy", ["depth", "learning_rate", "clipping"], statistic=mean)
    exploded = rows.groupby("clipping")["exploded"].mean()
    found = found.rename(columns={"estimate": "accuracy", "trials": "seeds"})
    found = found.assign(exploded=found["clipping"].map(exploded))
    return found.sort_values("accuracy", ascending=False)


def steadiest(rules: pd.DataFrame) -> dict[str, float]:
    """Of the best thresholds times their rates the median, and how many are within a tenth of it.

    ``product``, ``alike`` and ``rates``, of the rows of `percentile_rule`.
    """
    products = rules["best_threshold"] * rules["learning_rate"]
    middle = float(products.median())
    alike = np.isclose(products, middle, rtol=0.1).sum()
    return {"product": middle, "alike": int(alike), "rates": len(rules)}


def slower(study: Evidence) -> pd.DataFrame:
    """Unclipped trials at a tenth of the rate at which the same trials went bad at once."""
    frame = study.mapped[study.mapped["clipping"] == "none"]
    frame = frame.assign(rate=[float(f"{rate:.3g}") for rate in frame["learning_rate"]])
    bad = frame[(frame["exploded"] == 1) & (frame["first_bad_step"] <= SOON)]
    keys = ["dataset", "model", "depth", "init_gain", "normalization", "seed", "updates", "rate"]
    tenth = bad.assign(rate=[float(f"{TENTH * rate:.3g}") for rate in bad["learning_rate"]])
    return tenth[keys].merge(frame, on=keys)


def costs(timings: pd.DataFrame, factors: tuple[str, ...]) -> pd.DataFrame:
    """`speed.added_time` with the ``network`` in words."""
    found = speed.added_time(timings, factors)
    return found.assign(network=found["workload"].str.split("_").str[0].map(name))
