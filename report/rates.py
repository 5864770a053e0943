"""Which learning rates train: ranges, range tests and the curvature of the page of rates."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd

from benchmark.statistics.rates import least_loss_rate
from benchmark.statistics.sharpness import sharpness_over_edge
from benchmark.statistics.spans import rate_spans
from report.evidence import Evidence, where
from report.prose import name, setting

RANGE_TEST = "range_test"
BASELINES = {"clipping": "none", "normalization": "none", "schedule": "constant"}
"""The factors that are compared, each with the others at their baselines."""
NEAR = 0.5
"""Decades within which the rate of a range test counts as having found the grid's best."""


@functools.lru_cache(64)
def compared(study: Evidence, factor: str) -> pd.DataFrame:
    """The trials that differ in ``factor`` alone, apart from rate and seed; the baseline first."""
    frame = study.outcomes
    frame = frame[frame["schedule"] != RANGE_TEST]
    frame = where(frame, **{c: level for c, level in BASELINES.items() if c != factor})
    return frame.sort_values(factor, key=lambda c: c.ne(BASELINES[factor]), kind="stable")


@functools.lru_cache(64)
def spans(study: Evidence, factor: str) -> pd.DataFrame:
    """`rate_spans` of every ``level`` of ``factor`` in each model, and the ``factor`` itself."""
    rows = rate_spans(compared(study, factor), ["model", factor])
    return rows.rename(columns={factor: "level"}).assign(factor=factor)


def widest(study: Evidence) -> list[dict[str, object]]:
    """For each factor and model: the ``base``, the ``widest`` level and the ``calmest`` one."""
    found = []
    for factor, baseline in BASELINES.items():
        for model, rows in spans(study, factor).groupby("model", sort=False):
            base, others = where(rows, level=baseline), rows[rows["level"] != baseline]
            if len(base) and len(others):
                wide = others.sort_values("decades", kind="stable").iloc[-1]
                calm = others.sort_values("sensitivity", kind="stable").iloc[0]
                ends = {"base": base.iloc[0], "widest": wide, "calmest": calm}
                found.append({"factor": factor, "model": model, **ends})
    return found


def resolved(study: Evidence) -> list[dict[str, Any]]:
    """For each factor and model what the intervals tell apart from the baseline.

    ``base``, its row of `spans`; ``calmer`` and ``wider``, the rows whose sensitivity is surely
    lower and whose range is surely wider, the furthest first; ``least``, those of ``calmer`` whose
    interval overlaps that of the lowest; ``others``, how many there are besides the baseline.
    """
    found = []
    for factor, baseline in BASELINES.items():
        for model, rows in spans(study, factor).groupby("model", sort=False):
            base, others = where(rows, level=baseline), rows[rows["level"] != baseline]
            if len(base) and len(others):
                first = base.iloc[0]
                calmer = others[others["sensitivity_high"] < first["sensitivity_low"]]
                calmer = calmer.sort_values("sensitivity", kind="stable")
                wider = others[others["decades_low"] > first["decades_high"]]
                lowest = calmer["sensitivity_high"].iloc[:1].max()
                found.append(
                    {
                        "factor": factor,
                        "model": model,
                        "base": first,
                        "others": len(others),
                        "calmer": calmer,
                        "least": calmer[calmer["sensitivity_low"] <= lowest],
                        "wider": wider.sort_values("decades", ascending=False, kind="stable"),
                    }
                )
    return found


def floored(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` of `spans` with ``mark``: a dagger where an interval is one step of the grid wide.

    The seeds then agree on a range whose ends are known no better than that.
    """
    ends = (rows["decades"] - rows["decades_low"], rows["decades_high"] - rows["decades"])
    least = [np.isclose(end, rows["spacing"]) for end in ends]
    return rows.assign(mark=np.where(least[0] | least[1], "†", ""))


def schedules(study: Evidence) -> pd.DataFrame:
    """The trials by schedule, without clipping, in a ``panel`` for each network as normalized."""
    rows = where(study.outcomes, clipping="none", normalization=["none", "batch"])
    rows = rows[rows["schedule"] != RANGE_TEST]
    panels = [
        f"{name(model)}, {setting('normalization', level)}"
        for model, level in zip(rows["model"], rows["normalization"], strict=True)
    ]
    return rows.assign(panel=panels)


@functools.lru_cache(64)
def range_tests(study: Evidence, factor: str) -> pd.DataFrame:
    """History of the range tests that differ in ``factor`` alone; empty without any."""
    levels = BASELINES | {"schedule": RANGE_TEST}
    tests = where(study.outcomes, **{c: level for c, level in levels.items() if c != factor})
    rows = study.results.history.merge(tests[["trial", "model", factor]], on="trial")
    return rows[rows["step"] > 0]


def found_by_range_tests(study: Evidence) -> pd.DataFrame:
    """Columns ``level``, ``ratio``, ``near``: a range test's rate over the grid's best."""
    parts = []
    model = study.outcomes["model"].iloc[0]
    for factor in ("clipping", "normalization"):
        rows = range_tests(study, factor)
        found = least_loss_rate(rows[rows["model"] == model], [factor])
        found = found.rename(columns={factor: "level"})
        best = spans(study, factor)
        parts.append(found.merge(best[best["model"] == model], on="level"))
    rows = pd.concat(parts, ignore_index=True)
    # no clipping and no normalization are one and the same
    rows = rows.drop_duplicates(["level", "best_rate", "learning_rate"])
    ratio = rows["learning_rate"] / rows["best_rate"]
    return rows.assign(ratio=ratio, near=np.abs(np.log10(ratio)) <= NEAR)


@functools.lru_cache(64)
def edges(study: Evidence) -> pd.DataFrame:
    """`sharpness_over_edge` of plain gradient descent without and with batch normalization."""
    chosen = where(
        compared(study, "normalization"), normalization=["none", "batch"], optimizer="sgd"
    )
    return sharpness_over_edge(study.results.history, chosen, ["normalization", "status"])
