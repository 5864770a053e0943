"""Claims 3 and 11: what learning rates that change during training prevent and improve."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from report.claims.effects import decades_gained
from report.claims.frames import at_best, at_multiples, unclipped
from report.claims.prevention import Case, against, explosions_prevented, gained
from report.claims.records import Found, found
from report.evidence import Evidence


def _dynamic(frame: pd.DataFrame) -> Iterator[Case]:
    """Each dynamic schedule beside the constant one, without clipping."""
    return against(unclipped(frame), "schedule", "constant", "range_test")


def prevent_explosions(source: Evidence) -> Found:
    """Explosions of a constant rate that each schedule prevents, both as far above their best."""
    return explosions_prevented(_dynamic(at_multiples(source)), "the schedule does not vary")


def widen(source: Evidence) -> Found:
    """Decades by which each schedule widens the range of usable peak rates."""
    gains = [
        decades_gained(case.rows, case.factor, case.level, case.baseline, case.about)
        for case in _dynamic(source.outcomes)
    ]
    known = [effect for effect in gains if effect is not None]
    return found(known, absent="the schedule does not vary at two rates or more")


def improve(source: Evidence) -> Found:
    """Each schedule against a constant rate in test accuracy, each at its best rate."""
    best = at_best(source).drop(columns="times")
    return gained(_dynamic(best), "the schedule does not vary")
