"""Which learning rates train: ranges, range tests and the curvature of the page of rates."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.statistics.rates import least_loss_rate
from benchmark.statistics.selection import differing_in, where, without_repeats
from benchmark.statistics.sharpness import sharpness_over_edge
from benchmark.statistics.spans import (
    gaps_from_baseline,
    near_best,
    of_one_spacing,
    rate_spans,
    told_apart,
)
from report.evidence import Evidence
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
    frame = differing_in(frame[frame["schedule"] != RANGE_TEST], factor, BASELINES)
    return frame.sort_values(factor, key=lambda c: c.ne(BASELINES[factor]), kind="stable")


NEARBY = {f"sensitivity{end}": f"nearby{end}" for end in ("", "_low", "_high")}
"""The sensitivity over `AROUND` decades about each best rate, with its interval."""
AROUND = 1.0


def sensitivity_near_best(trials: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """`NEARBY` of each group of ``by``.

    Over all rates a sensitivity depends on where the grid ends; within a decade to either side of
    the best rate it does not, unless the grid ends before that.
    """
    groups = trials.groupby(list(by), sort=False)
    close = pd.concat([near_best(group, AROUND) for _, group in groups])
    return rate_spans(close, by)[[*by, *NEARBY]].rename(columns=NEARBY)


@functools.lru_cache(64)
def spans(study: Evidence, factor: str) -> pd.DataFrame:
    """`rate_spans` of every ``level`` of ``factor`` in each model, and the ``factor`` itself.

    With ``mark``, a dagger where the interval is one step of the grid wide, `NEARBY`, and the
    `gaps_from_baseline`, NaN at the baseline itself.
    """
    trials = compared(study, factor)
    if factor == "normalization":
        # at one batch size ghost batches may be the batches themselves
        trials = without_repeats(trials)
    rows = rate_spans(trials, ["model", factor])
    rows = rows.merge(sensitivity_near_best(trials, ["model", factor]))
    gaps = [
        gaps_from_baseline(group, factor, BASELINES[factor], AROUND).assign(model=model)
        for model, group in trials.groupby("model", sort=False)
    ]
    rows = rows.merge(pd.concat(gaps), on=["model", factor], how="left")
    mark = np.where(of_one_spacing(rows), "†", "")
    return rows.rename(columns={factor: "level"}).assign(factor=factor, mark=mark)


def starred(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `spans` with a star where they differ significantly from the baseline.

    ``decades_star``, ``nearby_star`` and ``sensitivity_star``: a range by more than one step of the
    rates, a sensitivity by an interval that excludes zero (see `told_apart`).
    """
    step, nothing = rows["spacing"] + 1e-9, 0 * rows["spacing"]
    least = {"decades": step, "nearby": nothing, "sensitivity": nothing}
    return rows.assign(
        **{
            f"{of}_star": np.where(
                rows[f"{of}_gap_low"].gt(much) | rows[f"{of}_gap_high"].lt(-much), "*", ""
            )
            for of, much in least.items()
        }
    )


def repeated_ghosts(study: Evidence) -> bool:
    """Whether ghost batch normalization was left out because it trained as the whole batch does."""
    trials = compared(study, "normalization")
    return "ghost_batch" in set(trials["normalization"]) - set(
        spans(study, "normalization")["level"]
    )


def resolved(study: Evidence) -> list[dict[str, Any]]:
    """For each ``factor`` and ``model`` what differs from its baseline: `told_apart`.

    ``nearby`` is the same of the sensitivities near each best rate (`sensitivity_near_best`).
    """
    return [
        {"factor": factor, "model": model, **found}
        | {"nearby": told_apart(rows, "level", baseline, "nearby")}
        for factor, baseline in BASELINES.items()
        for model, rows in spans(study, factor).groupby("model", sort=False)
        if (found := told_apart(rows, "level", baseline))
    ]


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
    tests = differing_in(study.outcomes, factor, BASELINES | {"schedule": RANGE_TEST})
    rows = study.results.history.merge(tests[["trial", "model", factor]], on="trial")
    return rows[rows["step"] > 0]


def found_by_range_tests(study: Evidence) -> pd.DataFrame:
    """Columns ``level``, ``ratio``, ``near``: a range test's rate over the grid's best."""
    parts = []
    for factor in ("clipping", "normalization"):
        rows = least_loss_rate(range_tests(study, factor), ["model", factor])
        rows = where(rows, model=study.outcomes["model"].iloc[0])
        parts.append(rows.rename(columns={factor: "level"}).merge(spans(study, factor)))
    rows = pd.concat(parts, ignore_index=True)
    # no clipping and no normalization are one and the same
    rows = rows.drop_duplicates(["level", "best_rate", "learning_rate"])
    ratio = rows["learning_rate"] / rows["best_rate"]
    return rows.assign(ratio=ratio, near=np.abs(np.log10(ratio)) <= NEAR)


@functools.lru_cache(64)
def edges(study: Evidence) -> pd.DataFrame:
    """`sharpness_over_edge` of plain gradient descent without and with batch normalization."""
    rows = where(compared(study, "normalization"), normalization=["none", "batch"], optimizer="sgd")
    return sharpness_over_edge(study.results.history, rows, ["normalization", "status"])
