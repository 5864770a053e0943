"""Claims 4, 7, 9 and 10: what mini-batches prevent, solve and cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from benchmark.statistics import paired
from benchmark.statistics.budgets import ENOUGH_UPDATES, planned_updates
from report import prose
from report.claims.effects import difference, ratio
from report.claims.frames import (
    at_best,
    at_multiples,
    bare,
    by_setting,
    by_times,
    chosen,
    compared,
    only_winner,
    sized,
    sizes,
    sizes_by_budget,
)
from report.claims.prevention import divergence_prevented, gained
from report.claims.problem import budgets_in_words, few_diverge, solved, worst_against_best
from report.claims.records import Case, Found, found, nothing
from report.evidence import Evidence

FASTER = 2.0
"""How many times as fast a larger batch must be. The trials of a size share one measurement of
time, which has no interval, and trainings that are alike were timed up to 1.8-fold apart where
several shared a device."""
NO_SIZES = "the batch size does not vary"
EQUAL_EXAMPLES = "at equal examples"


def _by_budget(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Budget and setting in words, and the rows of all sizes, plain."""
    for setting, rows in by_setting(bare(sized(frame))):
        for budget, group in sizes_by_budget(rows):
            yield budget, setting, compared(group)


def _baseline(rows: pd.DataFrame, size: int) -> tuple[str, bool]:
    """How many updates the trials of a size are given, in words, and whether these are enough.

    What has hardly begun to train is no baseline: a lead over it is one of the number of updates.
    """
    updates = int(planned_updates(rows[rows["batch_size"] == size]).max())
    return f"{prose.count(updates, 'update')} of it", updates >= ENOUGH_UPDATES


def _too_few(source: Evidence) -> str:
    """That comparisons with what makes too few updates do not judge, where there are any."""
    few = [
        updates
        for budget, _, rows in _by_budget(at_multiples(source))
        if budget == EQUAL_EXAMPLES and rows["batch_size"].nunique() > 1
        if (updates := int(planned_updates(rows).min())) < ENOUGH_UPDATES
    ]
    if not few:
        return ""
    return (
        f"Shown, but not judged: largest batches of fewer than {ENOUGH_UPDATES:,} updates "
        f"({prose.listing(map(str, sorted(set(few))))})."
    )


def prevent_divergence(source: Evidence) -> Found:
    """Divergence that each mini-batch prevents against the full and the largest fixed batch."""
    return divergence_prevented(_smaller(source), NO_SIZES, _too_few(source))


def _smaller(source: Evidence) -> Iterator[Case]:
    for budget, setting, group in _by_budget(at_multiples(source)):
        for times, rows in by_times(group):
            fixed = sizes(rows[~rows["full"]])
            references = dict.fromkeys(rows.loc[rows["full"], "batch_size"], "the full batch")
            references |= {size: f"batches of {size}" for size in fixed[-1:]}
            for reference, name in references.items():
                updates, enough = _baseline(rows, reference)
                for size in fixed:
                    if size < reference:
                        words = f"batches of {size} against {name}"
                        about = (words, updates, times, budget, setting)
                        yield Case(about, rows, "batch_size", size, reference, enough)


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
        if best["full"].all():
            # a single seed has no others by which a size could be chosen
            continue
        size = best.loc[~best["full"], "batch_size"].mode().iloc[0]
        alone = only_winner(rows[~rows["full"]], "batch_size", "validation", ["learning_rate"])
        words = f"batches of {size}" if alone else "the best size"
        updates, enough = _full(rows)
        about = (words, updates, budget, setting)
        cases.append(Case(about, best, "full", False, True, enough))
    return gained(cases, NO_FULL, _too_few(source), ignore=["batch_size"])


def _full(rows: pd.DataFrame) -> tuple[str, bool]:
    """`_baseline` of the full batch."""
    words, enough = _baseline(rows, int(rows.loc[rows["full"], "batch_size"].iloc[0]))
    return words.replace(" of it", " of the full batch"), enough


def size_matters(source: Evidence) -> Found:
    """The worst mini-batch size against the best, each at its best rate."""
    effects = []
    for budget, setting, rows in _by_budget(at_best(source)):
        mini = rows[~rows["full"]]
        if len(mini) and (e := worst_against_best(mini, "none", (budget, setting))) is not None:
            effects.append(e)
    rows = bare(sized(at_best(source)))
    return found(effects, [budgets_in_words(rows[~rows["full"]])], NO_SIZES)


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
            (f"batches of {size}", _full(rows)[0], budget, setting),
            rows.assign(full=False),
            *("batch_size", size, int(rows.loc[rows["full"], "batch_size"].iloc[0])),
            judges=_full(rows)[1],
        )
        for budget, setting, rows, mini in _against_full(source)
        for size in mini
    )
    return gained(cases, NO_FULL, _too_few(source), sign=-1)
