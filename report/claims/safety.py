"""Claim 13: whether optimizers, longer training and guards make training safer."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics import paired
from report import prose
from report.claims.effects import difference
from report.claims.frames import (
    able,
    at_best,
    at_multiples,
    by_setting,
    by_times,
    unclipped,
)
from report.claims.prevention import Case, explosions_prevented
from report.claims.records import Found, found, nothing
from report.evidence import Evidence

NO_CLIPPING = "clipping does not vary"


def reliable_optimizers(source: Evidence) -> Found:
    """Explosions of plain SGD that each optimizer prevents, both as far above their best rates."""
    cases = (
        Case((prose.phrase("optimizer", level), times, setting), trials, "optimizer", level, "sgd")
        for setting, rows in by_setting(unclipped(at_multiples(source)))
        for times, trials in by_times(rows)
        for level in rows["optimizer"].drop_duplicates()
        if level != "sgd"
    )
    return explosions_prevented(cases, "no optimizer but SGD was run")


def longer_training(source: Evidence) -> Found:
    """Explosions of the shortest budget that the longest prevents, as far above the best rates."""
    return explosions_prevented(_longer(source), "the budget does not vary, or nothing exploded")


def _longer(source: Evidence) -> Iterator[Case]:
    for setting, rows in by_setting(unclipped(at_multiples(source))):
        for times, trials in by_times(rows):
            for noun in ("epochs", "updates"):
                short, long = trials[noun].min(), trials[noun].max()
                if short < long:
                    words = f"{long:,g} against {short:,g} {noun}"
                    yield Case((words, times, setting), trials, noun, long, short)


def _guarded(frame: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Words and name of each clipping, its setting, and the rows of all clippings."""
    for setting, rows in by_setting(frame):
        for level in rows["clipping"].drop_duplicates():
            if level != "none" and "none" in set(rows["clipping"]):
                yield prose.phrase("clipping", level), level, setting, rows


def guards_prevent(source: Evidence) -> Found:
    """Explosions without clipping that each guard prevents, as far above the best rates."""
    frame, warm = able(at_multiples(source))
    cases = (
        Case((name, times, setting), trials, "clipping", level, "none")
        for name, level, setting, rows in _guarded(frame)
        for times, trials in by_times(rows)
    )
    return explosions_prevented(cases, NO_CLIPPING, warm)


def guards_save(source: Evidence) -> Found:
    """Points of test accuracy by which less is lost to a disturbance with a guard than without."""
    frame, warm = able(source.outcomes)
    keys = [c for c in CONFIGURATION if c != "disturbance"]
    calm = frame.loc[frame["disturbance"] == "none", [*keys, "accuracy"]]
    disturbed = frame[frame["disturbance"] != "none"]
    disturbed = disturbed.merge(calm, on=keys, suffixes=("", "_calm"))
    disturbed = disturbed.assign(lost=disturbed["accuracy_calm"] - disturbed["accuracy"])
    effects = []
    for name, level, setting, rows in _guarded(disturbed):
        for disturbance, trials in rows.groupby("disturbance", sort=False):
            pairs = paired(trials, "clipping", level, "none", "lost", ["learning_rate"])
            if len(pairs):
                about = (name, prose.name(disturbance), setting)
                effects.append(difference(pairs, about, -1))
    return found(effects, [warm]) if effects else nothing("no clipping was disturbed beside none")


def guards_cost(source: Evidence) -> Found:
    """Points of test accuracy that each guard gains over none, each at its own best rate."""
    frame, warm = able(at_best(source))
    effects = []
    for name, level, setting, rows in _guarded(frame):
        pairs = paired(rows, "clipping", level, "none", "accuracy", ["learning_rate"])
        if len(pairs):
            effects.append(difference(pairs, (name, setting)))
    return found(effects, [warm]) if effects else nothing(NO_CLIPPING)
