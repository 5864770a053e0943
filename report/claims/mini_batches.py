"""Claims 4, 7, 9 and 10: what mini-batches prevent, solve and cost."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmark.statistics import paired
from report import prose
from report.claims.effects import difference, ratio
from report.claims.frames import at_best, at_rates_of, bare, by_setting, sized, sizes
from report.claims.problem import few_explosions, solved, worst_against_best
from report.claims.records import Found, found, nothing
from report.evidence import Evidence

FASTER = 1.1
"""How many times as fast a larger batch must be; the trials of a size share one measurement of
time, which has no interval."""


def prevent_explosions(source: Evidence) -> Found:
    """Points by which each mini-batch explodes less than the full and the largest fixed batch."""
    effects, calm = [], []
    for setting, rows in by_setting(bare(sized(source.outcomes))):
        fixed = sizes(rows[~rows["full"]])
        references = dict.fromkeys(rows.loc[rows["full"], "batch_size"], "the full batch")
        references |= {size: f"batches of {size}" for size in fixed[-1:]}
        for reference, name in references.items():
            for size in fixed:
                if size >= reference:
                    continue
                pairs = paired(rows, "batch_size", size, reference, "exploded")
                if pairs.empty:
                    continue
                label = f"batches of {size} against {name}, {setting}"
                if pairs[["treated", "control"]].to_numpy().any():
                    effects.append(difference(pairs, label, -1))
                else:
                    calm.append(label)
    if not effects:
        reason = "nothing exploded at a rate that two batch sizes share"
        return nothing(reason if calm else "the batch size does not vary")
    note = f"Nothing exploded on either side for {prose.listing(calm, ';')}." if calm else ""
    return found(effects, [note])


def _against_full(source: Evidence) -> Iterator[tuple[str, int, pd.DataFrame, pd.DataFrame]]:
    """Setting, size of the full batch, and the rows of mini-batches and of it at equal rates."""
    for setting, rows in by_setting(bare(sized(source.outcomes))):
        full = rows[rows["full"]]
        mini = at_rates_of(rows[~rows["full"]], full)
        if len(mini):
            yield setting, int(full["batch_size"].iloc[0]), mini, at_rates_of(full, mini)


NO_FULL = "the full batch was not run at a rate that a mini-batch was run at"


def beat_full(source: Evidence) -> Found:
    """Test accuracy at the mini-batch size that validation chooses, minus the full batch's."""
    effects = []
    for setting, _, mini, full in _against_full(source):
        best = pd.concat(
            [at_best(mini, ["learning_rate", "batch_size"], ["full"]), at_best(full, by=["full"])]
        )
        pairs = paired(best, "full", False, True, "accuracy", ["learning_rate", "batch_size"])
        if len(pairs):
            size = int(best.loc[~best["full"], "batch_size"].iloc[0])
            effects.append(difference(pairs, f"batches of {size}, {setting}"))
    return found(effects) if effects else nothing(NO_FULL)


def size_matters(source: Evidence) -> Found:
    """The worst mini-batch size against the best, each at its best rate."""
    effects = []
    for setting, rows in by_setting(bare(sized(source.outcomes))):
        mini = rows[~rows["full"]]
        if len(mini) and (effect := worst_against_best(mini, "none", setting)) is not None:
            effects.append(effect)
    return found(effects) if effects else nothing("the batch size does not vary")


def hardly_explode(source: Evidence) -> Found:
    """Trials with mini-batches that do not explode, over all sizes and rates."""
    effects = []
    for setting, rows in by_setting(bare(sized(source.outcomes))):
        mini, full = rows[~rows["full"]], rows[rows["full"]]
        if mini["batch_size"].nunique() > 1 or len(full):
            effects.append(few_explosions(mini, full, setting))
    return solved(effects, "the batch size does not vary")


def _larger(source: Evidence) -> Iterator[tuple[str, int, int, pd.DataFrame]]:
    """Setting, smallest size, a larger one, and the rows of all sizes at their best rates."""
    for setting, rows in by_setting(bare(sized(source.outcomes))):
        mini = rows[~rows["full"]]
        if mini.empty:
            continue
        best = at_best(mini, by=["batch_size"])
        smallest, *rest = sizes(best)
        for size in rest:
            yield setting, smallest, size, best


def faster_costs(source: Evidence) -> Found:
    """Points of test accuracy that each faster size costs against the smallest."""
    effects, slower = [], []
    for setting, smallest, size, best in _larger(source):
        label = f"batches of {size} against {smallest}, {setting}"
        seconds = paired(best, "batch_size", size, smallest, "seconds", ["learning_rate"])
        pairs = paired(best, "batch_size", size, smallest, "accuracy", ["learning_rate"])
        if pairs.empty:
            continue
        speed = ratio(seconds, label).estimate
        if speed >= FASTER:
            faster = f"batches of {size}, {speed:.1f} times as fast as {smallest}, {setting}"
            effects.append(difference(pairs, faster, -1))
        else:
            slower.append(label)
    if not effects:
        reason = f"no larger batch is {FASTER:g} times as fast as the smallest"
        return nothing(reason if slower else "the batch size does not vary")
    note = f"Not as much faster, and left out: {prose.listing(slower, ';')}." if slower else ""
    return found(effects, [note])


def cost(source: Evidence) -> Found:
    """Points of test accuracy that each mini-batch size costs against the full batch."""
    effects = []
    for setting, whole, mini, full in _against_full(source):
        best = at_best(pd.concat([mini, full]), by=["batch_size"]).assign(full=False)
        for size in sizes(mini):
            pairs = paired(best, "batch_size", size, whole, "accuracy", ["learning_rate"])
            if len(pairs):
                effects.append(difference(pairs, f"batches of {size}, {setting}", -1))
    return found(effects) if effects else nothing(NO_FULL)
