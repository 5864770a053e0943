"""Claims 3 and 11: what learning rates that change during training prevent and improve."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmark.statistics.selection import where
from report import prose
from report.claims.effects import decades_gained, raised
from report.claims.frames import at_best
from report.claims.prevention import against, by_rule, gained
from report.claims.records import DECADES, Case, Effect, Found, found
from report.evidence import Evidence

ONE_RATE = "the schedule does not vary at two rates or more"


def _dynamic(frame: pd.DataFrame) -> Iterator[Case]:
    """Each dynamic schedule beside the constant one, without clipping."""
    return against(where(frame, clipping="none"), "schedule", "constant", "range_test")


def prevent_divergence(source: Evidence) -> Found:
    """Decades by which each schedule raises the peak rate from which trials diverge."""
    effects, spikes = [], []
    for case in _dynamic(source.outcomes):
        if (effect := raised(case, "diverged")) is not None:
            effects.append(effect)
        if (spike := raised(case, "exploded")) is not None:
            spikes.append(f"{DECADES.words(spike.estimate)} ({case.about[0]})")
    note = f"The rate from which the loss spikes goes up by {prose.listing(spikes)}."
    return by_rule(found(effects, [note], ONE_RATE))


def raised_with(source: Evidence, schedule: str, normalization: str) -> Effect | None:
    """What `prevent_divergence` measures, of one schedule with one normalization."""
    rows = where(source.outcomes, clipping="none", normalization=normalization)
    return raised(Case((schedule,), rows, "schedule", schedule, "constant"), "diverged")


def widen(source: Evidence) -> Found:
    """Decades by which each schedule widens the range of usable peak rates.

    Usable are rates within a point of the best accuracy of the *constant* rate, with either: by its
    own best a schedule that gains at every rate would seem to widen nothing.
    """
    gains = [
        decades_gained(case.rows, case.factor, case.level, case.baseline, case.about)
        for case in _dynamic(source.outcomes)
    ]
    return by_rule(found([effect for effect in gains if effect is not None], absent=ONE_RATE))


def improve(source: Evidence) -> Found:
    """Each schedule against a constant rate in test accuracy, each at its best rate."""
    best = at_best(source).drop(columns="times")
    return by_rule(gained(_dynamic(best), "the schedule does not vary"))
