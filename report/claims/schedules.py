"""Claims 3 and 11: what learning rates that change during training prevent and improve."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmark.statistics import paired
from report import prose
from report.claims.effects import decades_gained, difference, prevented
from report.claims.frames import at_best, by_setting, unclipped
from report.claims.records import Found, found, nothing
from report.evidence import Evidence

NOT_DYNAMIC = ("constant", "range_test")
"""Schedules that are no dynamic rate: the second is a probe, not a way to train."""


def _dynamic(source: Evidence) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Label and name of each dynamic schedule, and the rows of all schedules."""
    for setting, rows in by_setting(unclipped(source.outcomes)):
        for level in rows["schedule"].drop_duplicates():
            if level not in NOT_DYNAMIC:
                yield f"{prose.phrase('schedule', level)}, {setting}", level, rows


def prevent_explosions(source: Evidence) -> Found:
    """Explosions of a constant rate that each schedule prevents at the same peak rate."""
    effects, calm = [], []
    for label, level, rows in _dynamic(source):
        pairs = paired(rows, "schedule", level, "constant", "exploded")
        if pairs[["treated", "control"]].to_numpy().any():
            effects.append(prevented(pairs, label))
        elif len(pairs):
            calm.append(label)
    if not effects:
        return nothing(
            "nothing exploded under any schedule" if calm else "the schedule does not vary"
        )
    note = f"Nothing exploded, with or without, for {prose.listing(calm, ';')}." if calm else ""
    return found(effects, [note])


def widen(source: Evidence) -> Found:
    """Decades by which each schedule widens the range of usable peak rates."""
    gains = [
        decades_gained(rows, "schedule", level, "constant", label)
        for label, level, rows in _dynamic(source)
    ]
    known = [effect for effect in gains if effect is not None]
    return found(known) if known else nothing("the schedule does not vary at two rates or more")


def improve(source: Evidence) -> Found:
    """Each schedule against a constant rate in test accuracy, each at its best rate."""
    effects = []
    for label, level, rows in _dynamic(source):
        pairs = paired(at_best(rows), "schedule", level, "constant", "accuracy", ["learning_rate"])
        if len(pairs):
            effects.append(difference(pairs, label))
    return found(effects) if effects else nothing("the schedule does not vary")
