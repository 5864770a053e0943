"""Claims 3 and 11: what learning rates that change during training prevent and improve."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmark.statistics import paired
from report import prose
from report.claims.effects import decades_gained, difference
from report.claims.frames import at_best, at_multiples, by_setting, by_times, unclipped
from report.claims.prevention import Case, explosions_prevented
from report.claims.records import Found, found, nothing
from report.evidence import Evidence

NOT_DYNAMIC = ("constant", "range_test")
"""Schedules that are no dynamic rate: the second is a probe, not a way to train."""


def _dynamic(frame: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Words and name of each dynamic schedule, its setting, and the rows of all schedules."""
    for setting, rows in by_setting(unclipped(frame)):
        for level in rows["schedule"].drop_duplicates():
            if level not in NOT_DYNAMIC:
                yield prose.setting("schedule", level), level, setting, rows


def prevent_explosions(source: Evidence) -> Found:
    """Explosions of a constant rate that each schedule prevents, both as far above their best."""
    cases = (
        Case((name, times, setting), trials, "schedule", level, "constant")
        for name, level, setting, rows in _dynamic(at_multiples(source))
        for times, trials in by_times(rows)
    )
    return explosions_prevented(cases, "the schedule does not vary")


def widen(source: Evidence) -> Found:
    """Decades by which each schedule widens the range of usable peak rates."""
    gains = [
        decades_gained(rows, "schedule", level, "constant", (name, setting))
        for name, level, setting, rows in _dynamic(source.outcomes)
    ]
    known = [effect for effect in gains if effect is not None]
    return found(known) if known else nothing("the schedule does not vary at two rates or more")


def improve(source: Evidence) -> Found:
    """Each schedule against a constant rate in test accuracy, each at its best rate."""
    effects = []
    for name, level, setting, rows in _dynamic(at_best(source)):
        pairs = paired(rows, "schedule", level, "constant", "accuracy", ["learning_rate"])
        if len(pairs):
            effects.append(difference(pairs, (name, setting)))
    return found(effects) if effects else nothing("the schedule does not vary")
