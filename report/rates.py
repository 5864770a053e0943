"""Which learning rates train: ranges, range tests and the curvature of the page of rates."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.figures.numbers import between
from benchmark.statistics.rates import least_loss_rate
from benchmark.statistics.selection import differing_in, where, without_repeats
from benchmark.statistics.sharpness import sharpness_over_edge
from benchmark.statistics.spans import (
    Window,
    about_best,
    common_ranges,
    gaps_from_baseline,
    of_one_spacing,
    rate_spans,
    told_apart,
    within_window,
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


AROUND = 1.0
"""Decades to either side of the baseline's best rate, the window that is ``nearby``."""
FIXED = (0.01, 1.0)
"""The window that is ``fixed``: rates that are usual for plain SGD."""
WINDOWS = ("nearby", "fixed")
"""Windows of rates that all levels share, over which a sensitivity is a mean.

Over all rates it depends on where the grid ends; over a decade about each one's own best rate it
would depend on where the maximum of a flat curve happens to lie.
"""


@functools.lru_cache(64)
def windows(study: Evidence, factor: str) -> pd.DataFrame:
    """Columns ``model``, and of each of `WINDOWS` its least and greatest rate, a tuple.

    Where a model was not run at the baseline the window is about the best rate of all.
    """
    found = []
    for model, rows in compared(study, factor).groupby("model", sort=False):
        base = where(rows, **{factor: BASELINES[factor]})
        near = about_best(rows if base.empty else base, AROUND)
        found.append({"model": model, "nearby": near, "fixed": FIXED})
    return pd.DataFrame(found)


@functools.lru_cache(64)
def spans(study: Evidence, factor: str) -> pd.DataFrame:
    """`rate_spans` of every ``level`` of ``factor`` in each model, and the ``factor`` itself.

    With ``mark``, a dagger where the interval is one step of the grid wide, the `common_ranges`,
    in words as ``shared``, the sensitivity over each of `WINDOWS` with its interval, and the
    `gaps_from_baseline`, NaN at the baseline itself.
    """
    trials, baseline = compared(study, factor), BASELINES[factor]
    if factor == "normalization":
        # at one batch size ghost batches may be the batches themselves
        trials = without_repeats(trials)
    parts = []
    for model, *ends in windows(study, factor).itertuples(index=False):
        here, each = where(trials, model=model), dict(zip(WINDOWS, ends, strict=True))
        found = rate_spans(here, ["model", factor])
        others = [common_ranges(here, factor, baseline)]
        others += [_sensitivity(here, factor, *window) for window in each.items()]
        others.append(gaps_from_baseline(here, factor, baseline, each))
        for other in others:
            found = found.merge(other, on=factor, how="left")
        parts.append(found)
    rows = pd.concat(parts, ignore_index=True)
    good = zip(rows["common_least"], rows["common_most"], strict=True)
    words = ["none" if np.isnan(least) else between(least, most) for least, most in good]
    mark = np.where(of_one_spacing(rows), "†", "")
    return rows.rename(columns={factor: "level"}).assign(factor=factor, mark=mark, shared=words)


def _sensitivity(trials: pd.DataFrame, factor: str, name: str, window: Window) -> pd.DataFrame:
    """The sensitivity of each level over the rates of ``window``, as ``name``, with its ends."""
    ends = {f"sensitivity{end}": f"{name}{end}" for end in ("", "_low", "_high")}
    return rate_spans(within_window(trials, window), [factor])[[factor, *ends]].rename(columns=ends)


def starred(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `spans` with a star where they differ significantly from the baseline.

    ``..._star`` of ``decades`` and ``common``, ranges, by more than one step of the rates, and of
    ``sensitivity`` and each of `WINDOWS` by an interval that excludes zero (see `told_apart`).
    """
    step, nothing = rows["spacing"] + 1e-9, 0 * rows["spacing"]
    ranges = dict.fromkeys(("decades", "common"), step)
    least = ranges | dict.fromkeys(("sensitivity", *WINDOWS), nothing)
    return rows.assign(
        **{
            f"{of}_star": np.where(
                rows[f"{of}_gap_low"].gt(much) | rows[f"{of}_gap_high"].lt(-much), "*", ""
            )
            for of, much in least.items()
        }
    )


def drawn(rows: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Rows of `spans` as `benchmark.figures.span_chart` takes them: what all share, in its columns.

    The range is that by the baseline's best, a level's best rate alone where it has none, and the
    sensitivity that of the window about that rate.
    """
    columns = {f"decades{end}": rows[f"common{end}"] for end in ("", "_low", "_high")}
    columns |= {f"sensitivity{end}": rows[f"nearby{end}"] for end in ("", "_low", "_high")}
    for end, rate in (("low_rate", "common_least"), ("high_rate", "common_most")):
        columns[end] = rows[rate].fillna(rows["best_rate"])
    return rows.rename(columns={"level": factor}).assign(**columns)


def repeated_ghosts(study: Evidence) -> bool:
    """Whether ghost batch normalization was left out because it trained as the whole batch does."""
    trials = compared(study, "normalization")
    return "ghost_batch" in set(trials["normalization"]) - set(
        spans(study, "normalization")["level"]
    )


def unresolved(found: Mapping[str, Any]) -> bool:
    """Whether some range of a row of `resolved` may be wider by more than a step of the rates.

    By its own best or by the baseline's, where none is significantly wider by both.
    """
    rows = found["rows"]
    high = rows[["decades_gap_high", "common_gap_high"]].max(axis=1)
    return found["both"].empty and bool((high > rows["spacing"] + 1e-9).any())


def resolved(study: Evidence) -> list[dict[str, Any]]:
    """For each ``factor`` and ``model`` what differs from its baseline: `told_apart`.

    Each of `WINDOWS` is the same of the sensitivities over it, and ``common`` of the ranges by the
    baseline's best; ``rows`` are those of `spans`, ``both`` those whose range is wider by either
    yardstick, and ``raised`` those of the others that by the baseline's best are more than a step
    of the rates wider, significantly or not.
    """
    found = []
    for factor, baseline in BASELINES.items():
        for model, rows in spans(study, factor).groupby("model", sort=False):
            facts = told_apart(rows, "level", baseline)
            common = told_apart(rows, "level", baseline, width="common")
            if facts is None or common is None:
                continue
            facts |= {name: told_apart(rows, "level", baseline, name) for name in WINDOWS}
            wider = facts["wider"]
            both = wider[wider["level"].isin(common["wider"]["level"])]
            names = {"factor": factor, "model": model, "rows": rows, "common": common, "both": both}
            more = rows["common_gap"] > rows["spacing"] + 1e-9
            raised = rows[more & ~rows["level"].isin(both["level"])]
            found.append(facts | names | {"raised": raised})
    return found


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
