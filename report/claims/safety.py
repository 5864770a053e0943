"""Claim 13: whether optimizers, longer training and guards make training safer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from benchmark.records.rates import SHARED
from benchmark.statistics import paired, where
from benchmark.statistics.disturbances import at_one_rate, losses
from report import prose
from report.claims.effects import difference
from report.claims.frames import (
    able,
    at_best,
    at_multiples,
    by_setting,
    by_times,
    parts,
)
from report.claims.prevention import OWN_RATES, against, divergence_prevented, gained
from report.claims.records import About, Case, Effect, Found, found, nothing, pooled
from report.evidence import Evidence

NO_CLIPPING = "clipping does not vary"
POINT = 0.01
"""Test accuracy that has to be lost without a guard for there to be something to save."""
VARIANTS = ("skip_step", "rewind")
"""Clippings that are this suite's own variants of what was published: shown, but they judge none.

To return to a checkpoint is, but not the rule that says when.
"""


def reliable_optimizers(source: Evidence) -> Found:
    """Divergence of plain SGD that each optimizer prevents, both as far above their best rates."""
    cases = (
        Case((prose.phrase("optimizer", level), *about), rows, "optimizer", level, "sgd")
        for about, rows in _unguarded(source)
        for level in rows["optimizer"].drop_duplicates()
        if level != "sgd"
    )
    return divergence_prevented(cases, "no optimizer but SGD was run")


def longer_training(source: Evidence) -> Found:
    """Divergence in the shortest budget that the longest prevents, as far above the best rates."""
    return divergence_prevented(_longer(source), "the budget does not vary")


def _longer(source: Evidence) -> Iterator[Case]:
    for about, rows in _unguarded(source):
        for noun in ("epochs", "updates"):
            short, long = rows[noun].min(), rows[noun].max()
            if short < long:
                words = f"{long:,g} against {short:,g} {noun}"
                yield Case((words, *about), rows, noun, long, short)


def _unguarded(source: Evidence) -> Iterator[tuple[About, pd.DataFrame]]:
    """The rows without clipping of each setting at each multiple of the best rate."""
    return parts(where(at_multiples(source), clipping="none"), by_setting, by_times)


def guards_prevent(source: Evidence) -> Found:
    """Divergence without clipping that each guard prevents, over its comparisons (`_by_rule`).

    At one and the same rate, a multiple of the best without clipping, where that was run.
    """
    same = source.shared
    if len(same):
        bare = where(source.relative, clipping="none", times=list(same["times"].unique()))
        rows = pd.concat([bare, same], ignore_index=True)
    else:
        rows = at_multiples(source)
    frame, warm = able(rows)
    return _by_rule(divergence_prevented(_guarded(frame), NO_CLIPPING, warm))


def _guarded(frame: pd.DataFrame) -> Iterator[Case]:
    """Each clipping against none; the suite's own `VARIANTS` are only shown."""
    for case in against(frame, "clipping", "none"):
        yield replace(case, judges=case.judges and case.level not in VARIANTS)


def _by_rule(of: Found) -> Found:
    """One effect a rule, of all its comparisons that judge, which then are only shown."""
    rules: dict[str, list[Effect]] = {}
    for effect in of.effects:
        if effect.judges:
            rules.setdefault(effect.about[0], []).append(effect)
    several = {rule: effects for rule, effects in rules.items() if len(effects) > 1}
    made = [
        replace(whole, about=(rule, prose.count(len(effects), "comparison")))
        for rule, effects in several.items()
        if (whole := pooled(effects)) is not None
    ]
    alone = [replace(e, judges=e.judges and e.about[0] not in several) for e in of.effects]
    return replace(of, effects=(*made, *alone))


def guards_save(source: Evidence) -> Found:
    """How far above no guard training with each guard ends after a disturbance, in accuracy.

    Over all of its comparisons (`_by_rule`), under plain SGD, where the disturbance costs a point
    or more without a guard, at each multiple of the best rate without one at which both were run.
    What a guard costs undisturbed counts against it, because only the ends are compared; what runs
    at another rate than without a guard does not judge.
    """
    frame, warm = able(where(source.outcomes, optimizer="sgd"))
    at_one = losses(at_one_rate(frame))
    # guards that were not run at that rate, at their own
    keys = ["dataset", "model", "normalization", "clipping"]
    there = pd.MultiIndex.from_frame(at_one[keys])
    own = losses(frame[~frame["arm"].fillna("").str.startswith(SHARED)])
    own = own[~pd.MultiIndex.from_frame(own[keys]).isin(there)]
    disturbed = pd.concat([at_one, own], ignore_index=True)
    disturbed = disturbed.rename(columns={"times": "multiple"})
    effects, small = [], 0
    for case in _guarded(disturbed):
        pieces = ["disturbance", "normalization", "multiple"]
        for (disturbance, norm, times), rows in case.rows.groupby(pieces, dropna=False):
            at = "" if times != times else f"at {times:g} times the best rate"
            about = (case.about[0], prose.name(disturbance), _normalized(norm), at)
            effect = _saved(replace(case, about=(*about, *case.about[1:]), rows=rows))
            effects += [effect] if effect else []
            small += effect is None
    if not effects:
        if small:
            return nothing("no disturbance costs a point of test accuracy without a guard")
        return nothing("no clipping was disturbed beside none")
    note = f"In {prose.count(small, 'more comparison')} there is less than a point to save."
    return _by_rule(found(effects, [note if small else "", warm]))


def _saved(case: Case) -> Effect | None:
    """The points saved, at the same rate where that was run; None with less than one to save."""
    sides = case.factor, case.level, case.baseline
    at_one = len(paired(case.rows, *sides, "lost", ["arm"]))
    ignore = ["arm"] if at_one else OWN_RATES
    lost = paired(case.rows, *sides, "lost", ignore)
    if lost.empty or lost["control"].mean() < POINT:
        return None
    ends = paired(case.rows, *sides, "accuracy", ignore)
    return replace(difference(ends, case.about), judges=case.judges and at_one > 0)


def guards_cost(source: Evidence) -> Found:
    """Points of test accuracy that each guard gains over none, each at its own best rate.

    With each normalization by itself: what a guard costs without one is no average over both.
    """
    frame, warm = able(at_best(source).drop(columns="times"))
    cases = (
        replace(case, about=(case.about[0], _normalized(norm), *case.about[1:]), rows=rows)
        for case in _guarded(frame)
        for norm, rows in case.rows.groupby("normalization", sort=False)
    )
    return gained(cases, NO_CLIPPING, warm)


def _normalized(norm: object) -> str:
    """A normalization in words, after a clipping: ``no normalization``."""
    return prose.phrase("normalization", norm)
