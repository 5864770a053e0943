"""Claims 4, 7, 9 and 10: what mini-batches prevent, solve and cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from benchmark.statistics import paired
from report import prose
from report.claims.effects import difference, ratio
from report.claims.frames import (
    at_best,
    at_multiples,
    bare,
    by_budget,
    by_setting,
    by_times,
    chosen,
    compared,
    only_winner,
    sized,
    sizes,
)
from report.claims.prevention import divergence_prevented, gained
from report.claims.problem import few_diverge, seen_at_equal_updates, solved, worst_against_best
from report.claims.records import Case, Found, found, nothing
from report.evidence import Evidence

FASTER = 1.1
"""How many times as fast a larger batch must be; the trials of a size share one measurement of
time, which has no interval."""
NO_SIZES = "the batch size does not vary"


def _by_budget(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Budget and setting in words, and the rows of all sizes, plain."""
    for setting, rows in by_setting(bare(sized(frame))):
        for budget, group in by_budget(rows):
            yield budget, setting, compared(group)


def prevent_divergence(source: Evidence) -> Found:
    """Divergence that each mini-batch prevents against the full and the largest fixed batch."""
    return divergence_prevented(_smaller(source), NO_SIZES)


def _smaller(source: Evidence) -> Iterator[Case]:
    for budget, setting, group in _by_budget(at_multiples(source)):
        for times, rows in by_times(group):
            fixed = sizes(rows[~rows["full"]])
            references = dict.fromkeys(rows.loc[rows["full"], "batch_size"], "the full batch")
            references |= {size: f"batches of {size}" for size in fixed[-1:]}
            for reference, name in references.items():
                for size in fixed:
                    if size < reference:
                        words = f"batches of {size} against {name}"
                        about = (words, times, budget, setting)
                        yield Case(about, rows, "batch_size", size, reference)


NO_FULL = "the full batch was not run beside a mini-batch"


def _against_full(source: Evidence) -> Iterator[tuple[str, str, pd.DataFrame, list[int]]]:
    """Budget, setting, rows and mini-batch sizes, beside the full batch, at their best rates."""
    for budget, setting, rows in _by_budget(at_best(source)):
        if rows["full"].any() and not rows["full"].all():
            yield budget, setting, rows, sizes(rows[~rows["full"]])


def beat_full(source: Evidence) -> Found:
    """Test accuracy at the mini-batch size that validation chooses, minus the full batch's."""
    cases = []
    for budget, setting, rows, _ in _against_full(source):
        best = chosen(rows, ["full"], ["batch_size"])
        size = best.loc[~best["full"], "batch_size"].mode().iloc[0]
        alone = only_winner(rows[~rows["full"]], "batch_size", "validation", ["learning_rate"])
        words = f"batches of {size}" if alone else "the best size"
        cases.append(Case((words, budget, setting), best, "full", False, True))
    return gained(cases, NO_FULL, ignore=["batch_size"])


def size_matters(source: Evidence) -> Found:
    """The worst mini-batch size against the best, each at its best rate."""
    effects = []
    for budget, setting, rows in _by_budget(at_best(source)):
        mini = rows[~rows["full"]]
        if len(mini) and (e := worst_against_best(mini, "none", (budget, setting))) is not None:
            effects.append(e)
    rows = bare(sized(at_best(source)))
    return found(effects, [seen_at_equal_updates(rows[~rows["full"]])], NO_SIZES)


def hardly_diverge(source: Evidence) -> Found:
    """Trials with mini-batches that do not diverge, over all sizes."""
    effects = []
    for budget, setting, group in _by_budget(at_multiples(source)):
        for times, rows in by_times(group):
            mini, full = rows[~rows["full"]], rows[rows["full"]]
            if mini["batch_size"].nunique() > 1 or len(full):
                effects.append(few_diverge(mini, full, (times, budget, setting)))
    return solved(effects, NO_SIZES)


def faster_costs(source: Evidence) -> Found:
    """Points of test accuracy that each faster size costs against the smallest."""
    effects, slower = [], 0
    for budget, setting, rows in _by_budget(at_best(source)):
        mini = rows[~rows["full"]]
        if mini.empty:
            continue
        pace = mini["seconds"].astype(float) / mini["samples"].astype(float)
        mini = mini.assign(pace=pace.where(mini["status"] != "nonfinite"))
        smallest, *rest = sizes(mini)
        for size in rest:
            sides = ("batch_size", size, smallest)
            pairs = paired(mini, *sides, "accuracy", ["learning_rate"])
            times = paired(mini, *sides, "pace", ["learning_rate"]).dropna()
            if pairs.empty or times.empty:
                continue
            speed = ratio(times, ()).estimate
            if speed >= FASTER:
                about = (f"batches of {size} against {smallest}", budget, setting)
                effect = difference(pairs, about, -1)
                basis = f"{effect.basis}, {speed:.1f} times as fast"
                effects.append(replace(effect, basis=basis))
            else:
                slower += 1
    if not effects:
        reason = f"no larger batch is {FASTER:g} times as fast as the smallest"
        return nothing(reason if slower else NO_SIZES)
    note = f"Left out: {prose.count(slower, 'larger size')}, not as much faster." if slower else ""
    return found(effects, [note])


def cost(source: Evidence) -> Found:
    """Points of test accuracy that each mini-batch size costs against the full batch."""
    cases = (
        Case(
            (f"batches of {size}", budget, setting),
            rows.assign(full=False),
            *("batch_size", size, int(rows.loc[rows["full"], "batch_size"].iloc[0])),
        )
        for budget, setting, rows, mini in _against_full(source)
        for size in mini
    )
    return gained(cases, NO_FULL, sign=-1)
