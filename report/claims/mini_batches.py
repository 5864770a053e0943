"""Claims 4, 7, 9 and 10: what mini-batches prevent, solve and cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from benchmark.statistics import paired, where
from benchmark.statistics.budgets import ENOUGH_UPDATES, planned_updates
from report import prose
from report.claims.effects import difference, raised
from report.claims.frames import (
    PLAIN,
    at_best,
    at_multiples,
    by_setting,
    by_times,
    chosen,
    compared,
    only_winner,
    parts,
    sized,
    sizes,
    sizes_by_budget,
)
from report.claims.prevention import gained
from report.claims.problem import few_diverge, solved, worst_against_best
from report.claims.records import DECADES, About, Case, Found, found
from report.evidence import Evidence

NO_SIZES = "the batch size does not vary"
EQUAL_EXAMPLES = "at equal examples"


def _by_budget(frame: pd.DataFrame) -> Iterator[tuple[About, pd.DataFrame]]:
    """Budget and setting in words, and the rows of all sizes, plain."""
    for about, rows in parts(where(sized(frame), **PLAIN), by_setting, sizes_by_budget):
        yield about, compared(rows)


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
        for about, rows in _by_budget(at_multiples(source))
        if about[0] == EQUAL_EXAMPLES and rows["batch_size"].nunique() > 1
        if (updates := int(planned_updates(rows).min())) < ENOUGH_UPDATES
    ]
    if not few:
        return ""
    return (
        f"Shown, but not judged: largest batches of fewer than {ENOUGH_UPDATES:,} updates "
        f"({prose.listing(map(str, sorted(set(few))))})."
    )


def _why_none(source: Evidence, cases: Sequence[Case]) -> str:
    """`_too_few` where for that reason no comparison judges."""
    return "" if any(case.judges for case in cases) else _too_few(source)


SHARED_RATES = "no two batch sizes were run at two rates that they share"


def _at_shared_rates(source: Evidence) -> Iterator[tuple[About, pd.DataFrame]]:
    """Budget and setting in words, and the rows of all sizes, plain, at rates that are the same."""
    yield from parts(where(sized(source.mapped), **PLAIN), by_setting, sizes_by_budget)


def below_full(source: Evidence) -> Found:
    """Decades by which rates without divergence reach farther than with the full batch."""
    cases: list[Case] = []
    for about, rows in _at_shared_rates(source):
        for full in sizes(where(rows, full=True)):
            cases += _smaller(rows, about, full, "the full batch")
    return _reaching(cases, source)


def below_largest(source: Evidence) -> Found:
    """The same of smaller fixed sizes against the largest of them."""
    cases: list[Case] = []
    for about, rows in _at_shared_rates(source):
        fixed = where(rows, full=False)
        for largest in sizes(fixed)[-1:]:
            cases += _smaller(fixed, about, largest, f"batches of {largest}")
    return _reaching(cases, source)


def _smaller(rows: pd.DataFrame, about: About, larger: int, name: str) -> Iterator[Case]:
    """Each fixed size below a ``larger`` one, beside it."""
    for size in sizes(where(rows, full=False)):
        if size < larger:
            words = f"batches of {size}", f"against {name}"
            yield Case((*words, *about), rows, "batch_size", size, larger)


def _reaching(cases: list[Case], source: Evidence) -> Found:
    """By how many decades the smaller size of each case may have a higher rate than the larger.

    At one and the same rate: that the sizes have other best rates plays no part. Training diverges
    in its first updates, so that a larger batch that makes few of them is compared as well.
    """
    effects = [raised(case, "diverged", stepwise=True) for case in cases]
    spikes = [raised(case, "exploded", stepwise=True) for case in cases]
    known = [spike.estimate for spike in spikes if spike is not None]
    ends = [DECADES.words(end) for end in sorted({min(known, default=0), max(known, default=0)})]
    spiking = (
        f"The rate from which the loss spikes goes up by {' to '.join(ends)}." if known else ""
    )
    notes = [spiking, _soon(source)]
    return found([effect for effect in effects if effect is not None], notes, SHARED_RATES)


def _soon(source: Evidence) -> str:
    """How many divergences begin within the updates of the largest batch, which makes the fewest.

    So that it is said whether the others diverge because they make more of them.
    """
    rows = where(sized(source.mapped), **PLAIN)
    fewest = int(planned_updates(rows).min()) if len(rows) else 0
    lost = rows[rows["diverged"].eq(1) & rows["first_bad_step"].notna()]
    if lost.empty:
        return ""
    early = int((lost["first_bad_step"] <= fewest).sum())
    return (
        f"Of {prose.count(len(lost), 'divergence')} {early} begin within {fewest:,} updates, which "
        "every size makes."
    )


NO_FULL = "the full batch was not run beside a mini-batch"


def _against_full(source: Evidence) -> Iterator[tuple[About, pd.DataFrame]]:
    """Mini-batches beside the full batch, at their best rates."""
    for about, rows in _by_budget(at_best(source)):
        if rows["full"].any() and not rows["full"].all():
            yield about, rows


def beat_full(source: Evidence) -> Found:
    """Test accuracy at the mini-batch size that validation chooses, minus the full batch's."""
    cases = []
    for about, rows in _against_full(source):
        best = chosen(rows, ["full"], ["batch_size"])
        if best["full"].all():
            # a single seed has no others by which a size could be chosen
            continue
        size = best.loc[~best["full"], "batch_size"].mode().iloc[0]
        alone = only_winner(where(rows, full=False), "batch_size", "validation", ["learning_rate"])
        words = f"batches of {size}" if alone else "the best size"
        updates, enough = _full(rows)
        cases.append(Case((words, updates, *about), best, "full", False, True, enough))
    return gained(cases, NO_FULL, _why_none(source, cases), ignore=["batch_size"])


def _full(rows: pd.DataFrame) -> tuple[str, bool]:
    """`_baseline` of the full batch."""
    words, enough = _baseline(rows, int(where(rows, full=True)["batch_size"].iloc[0]))
    return words.replace(" of it", " of the full batch"), enough


def size_matters(source: Evidence) -> Found:
    """The worst mini-batch size against the best, each at its best rate."""
    effects = (
        worst_against_best(where(rows, full=False), "none", about)
        for about, rows in _by_budget(at_best(source))
    )
    return found(filter(None, effects), [], NO_SIZES)


def hardly_diverge(source: Evidence) -> Found:
    """Trials with mini-batches that do not diverge, over all sizes."""
    effects = []
    for about, group in _by_budget(at_multiples(source)):
        for times, rows in by_times(group):
            mini, full = where(rows, full=False), where(rows, full=True)
            if mini["batch_size"].nunique() > 1 or len(full):
                effects.append(few_diverge(mini, full, (times, *about)))
    return solved(effects, NO_SIZES)


def faster_costs(source: Evidence) -> Found:
    """Points of test accuracy that the largest size costs against the smallest.

    Faster is what passes over the same examples in fewer updates. By the clock it is as much faster
    as the machine allows, and trials that share a processor tell little of that. That the largest
    makes few updates is what it costs, and no reason against it; the largest that makes
    `ENOUGH_UPDATES` is shown beside it.
    """
    effects = []
    for about, rows in _by_budget(at_best(source)):
        mini = where(rows, full=False)
        makes = planned_updates(mini).groupby(mini["batch_size"]).max()
        smallest, *rest = sizes(mini) or [0]
        enough = [size for size in rest if makes[size] >= ENOUGH_UPDATES]
        for size in dict.fromkeys([*rest[-1:], *enough[-1:]]):
            pairs = paired(mini, "batch_size", size, smallest, "accuracy", ["learning_rate"])
            many, most = int(makes[size]), int(makes[smallest])
            updates = f"{many:,} updates in place of {most:,}" if many < most else ""
            words = f"batches of {size} against {smallest}", updates
            if len(pairs):
                effect = difference(pairs, (*words, *about), -1)
                effects.append(replace(effect, judges=size == rest[-1]))
    return found(effects, [], NO_SIZES)


def cost(source: Evidence) -> Found:
    """Points of test accuracy that each mini-batch size costs against the full batch."""
    cases = []
    for about, rows in _against_full(source):
        updates, enough = _full(rows)
        full = int(where(rows, full=True)["batch_size"].iloc[0])
        same = rows.assign(full=False)
        for size in sizes(where(rows, full=False)):
            words = f"batches of {size}", updates
            cases.append(Case((*words, *about), same, "batch_size", size, full, enough))
    return gained(cases, NO_FULL, _why_none(source, cases), sign=-1)
