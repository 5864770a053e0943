"""What the studies say to do: facts for the page of decisions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.statistics import interval, mean, paired_comparison, share
from report import batch_updates, headline, thresholds, throughput
from report.evidence import Evidence
from report.prose import name

answers, timed = batch_updates.answers, throughput.timed
size_that_pays = batch_updates.size_that_pays
against_none, holding = headline.against_none, headline.holding
same_products = thresholds.same_products
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


def slower(study: Evidence) -> dict[str, float]:
    """What a tenth of the rate does to unclipped trials that went bad at once.

    ``trials``, and of the same trials at a tenth of the rate the share that ``learned`` with its
    interval (``low``, ``high``) and that still ``exploded``; empty without such trials.
    """
    frame = study.outcomes[study.outcomes["clipping"] == "none"]
    bad = frame[(frame["exploded"] == 1) & (frame["first_bad_step"] <= SOON)]
    keys = ["dataset", "model", "depth", "init_gain", "normalization", "seed"]
    lower = bad.assign(wanted=(TENTH * bad["learning_rate"]).map(_rounded))
    again = frame.assign(wanted=frame["learning_rate"].map(_rounded))
    pairs = lower[[*keys, "wanted"]].merge(again, on=[*keys, "wanted"])
    if pairs.empty:
        return {}
    learned, low, high = share(pairs["learned"] == 1, pairs["seed"])
    ends = {"learned": learned, "low": low, "high": high}
    return {"trials": len(pairs), "exploded": pairs["exploded"].mean(), **ends}


def fate(study: Evidence) -> dict[str, float]:
    """The share of unclipped explosions that ``learned`` all the same, with its interval.

    Empty where none exploded.
    """
    bad = study.outcomes[study.outcomes["exploded"].eq(1) & study.outcomes["clipping"].eq("none")]
    if bad.empty:
        return {}
    found = share(bad["learned"] == 1, bad["seed"])
    return dict(zip(("learned", "low", "high"), found, strict=True))


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")


def with_batch_norm(study: Evidence) -> dict[str, object]:
    """Clipping in networks with batch normalization: explosions without it, what each adds."""
    rows = study.outcomes[study.outcomes["normalization"] == "batch"]
    if rows.empty or rows["clipping"].nunique() < 2:
        return {}
    bare = rows[rows["clipping"] == "none"]["exploded"].mean()
    return {"bare": bare, "rows": paired_comparison(rows, "clipping", "none", "exploded")}


def costs(timings: pd.DataFrame, factors: tuple[str, ...] = ("clipping",)) -> pd.DataFrame:
    """Added processor time of each strategy: ``milliseconds`` a step and ``share`` of one.

    For one network alone, medians over turns with the baseline; columns ``workload``, ``network``,
    ``factor``, ``level``, ``milliseconds``, ``share``.
    """
    rows = timings[timings["what"].eq("strategies") & timings["factor"].isin(factors)]
    rows = rows[rows["trials_together"] == 1]
    step = rows["cpu_seconds"] / rows["steps"]
    base = rows["baseline_cpu_seconds"] / rows["baseline_steps"]
    rows = rows.assign(milliseconds=1e3 * (step - base), share=step / base - 1)
    by = ["workload", "factor", "arm"]
    found = rows.groupby(by, sort=False)[["milliseconds", "share"]].median().reset_index()
    found["network"] = found["workload"].str.split("_").str[0].map(name)
    return found.rename(columns={"arm": "level"})
