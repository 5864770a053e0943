"""Claim 13: whether optimizers, longer training and guards make training safer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmark.records import CONFIGURATION
from report import prose
from report.claims.frames import (
    able,
    at_best,
    at_multiples,
    by_setting,
    by_times,
    unclipped,
)
from report.claims.prevention import Case, against, explosions_prevented, gained
from report.claims.records import Found
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


def guards_prevent(source: Evidence) -> Found:
    """Explosions without clipping that each guard prevents, as far above the best rates."""
    frame, warm = able(at_multiples(source))
    return explosions_prevented(against(frame, "clipping", "none"), NO_CLIPPING, warm)


def guards_save(source: Evidence) -> Found:
    """Points of test accuracy by which less is lost to a disturbance with a guard than without."""
    frame, warm = able(source.outcomes)
    keys = [c for c in CONFIGURATION if c != "disturbance"]
    calm = frame.loc[frame["disturbance"] == "none", [*keys, "accuracy"]]
    disturbed = frame[frame["disturbance"] != "none"]
    disturbed = disturbed.merge(calm, on=keys, suffixes=("", "_calm"))
    disturbed = disturbed.assign(lost=disturbed["accuracy_calm"] - disturbed["accuracy"])
    cases = (
        replace(case, about=(case.about[0], prose.name(disturbance), *case.about[1:]), rows=rows)
        for case in against(disturbed, "clipping", "none")
        for disturbance, rows in case.rows.groupby("disturbance", sort=False)
    )
    return gained(cases, "no clipping was disturbed beside none", warm, value="lost", sign=-1)


def guards_cost(source: Evidence) -> Found:
    """Points of test accuracy that each guard gains over none, each at its own best rate."""
    frame, warm = able(at_best(source).drop(columns="times"))
    return gained(against(frame, "clipping", "none"), NO_CLIPPING, warm)
