"""Comparisons of a level with a baseline: divergence that it prevents, accuracy that it gains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from benchmark.statistics import copies, idle, paired
from report import prose
from report.claims.effects import difference, prevented
from report.claims.frames import by_setting, by_times, parts
from report.claims.records import Case, Effect, Found, found, nothing, pooled

OWN_RATES = ("learning_rate", "arm")
"""What does not pair the sides of a comparison, each of which is at its own best rate."""


def against(frame: pd.DataFrame, factor: str, baseline: str, *not_judged: str) -> Iterator[Case]:
    """Each level of ``factor`` beside its baseline, by setting and, where there are, multiples.

    Clippings that acted on no step (`idle`), or trained as another one did (`copies`), are no
    comparison: they are none, or one rule with two names.
    """
    clips = factor == "clipping"
    splits = (by_setting, by_times) if "times" in frame else (by_setting,)
    for about, rows in parts(frame, *splits):
        levels = list(rows[factor].drop_duplicates())
        same = [*copies(rows, factor, baseline), *idle(rows)] if clips else []
        for level in levels if baseline in levels else ():
            if level not in (baseline, *not_judged, *same):
                yield Case((prose.setting(factor, level), *about), rows, factor, level, baseline)


def gained(
    cases: Iterable[Case],
    absent: str,
    *notes: str,
    value: str = "accuracy",
    ignore: Sequence[str] = (),
    sign: int = 1,
) -> Found:
    """What each case's level gains in ``value`` over the baseline (``sign`` -1: costs), by seed.

    Each side is at its own rate, and at its own choice of what else is in ``ignore``.
    """
    effects = []
    for case in cases:
        sides = case.factor, case.level, case.baseline
        pairs = paired(case.rows, *sides, value, [*OWN_RATES, *ignore])
        if len(pairs):
            effects.append(replace(difference(pairs, case.about, sign), judges=case.judges))
    return found(effects, notes, absent)


def divergence_prevented(
    cases: Iterable[Case], absent: str, *notes: str, value: str = "diverged"
) -> Found:
    """The net share of the trials that diverge that each case's level prevents, paired by seed.

    Each side is at its own rate, and the same comparison at several multiples of it judges at the
    lowest at which a trial of either side diverges: higher up all may diverge, whatever is done.
    Where none diverges there is nothing to prevent. ``absent`` says why there is no comparison.
    With another ``value``, such as the accuracy lost, the net share of its sum, at the same
    multiples.
    """
    effects, calm, begun = [], 0, set()
    for case in cases:
        sides = case.factor, case.level, case.baseline
        pairs = paired(case.rows, *sides, "diverged", OWN_RATES)
        if pairs[["treated", "control"]].to_numpy().any():
            same = tuple(piece for piece in case.about if "the best rate" not in piece)
            judges = case.judges and same not in begun
            begun.add(same)
            if value != "diverged":
                pairs = paired(case.rows, *sides, value, OWN_RATES)
            effects.append(replace(prevented(pairs, case.about), judges=judges))
        elif len(pairs):
            calm += 1
    if not effects:
        return nothing("no trial diverged on either side of a comparison" if calm else absent)
    note = f"In {prose.count(calm, 'more comparison')} no trial diverged on either side."
    return found(effects, [note if calm else "", *notes])


def by_rule(of: Found, beside: str = "") -> Found:
    """One effect a rule, of all its comparisons that judge, which then are only shown.

    Those that are about what stands ``beside`` those that judge stay as they are.
    """
    rules: dict[str, list[Effect]] = {}
    for effect in of.effects:
        if effect.judges and not (beside and beside in effect.about):
            rules.setdefault(effect.about[0], []).append(effect)
    several = {rule: effects for rule, effects in rules.items() if len(effects) > 1}
    made = [
        replace(whole, about=(rule, prose.count(len(effects), "comparison")))
        for rule, effects in several.items()
        if (whole := pooled(effects)) is not None
    ]
    merged = {id(effect) for effects in several.values() for effect in effects}
    alone = [replace(e, judges=e.judges and id(e) not in merged) for e in of.effects]
    return replace(of, effects=(*made, *alone))
