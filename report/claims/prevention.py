"""Comparisons of a level with a baseline: explosions that it prevents, accuracy that it gains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark.statistics import paired
from report import prose
from report.claims.effects import difference, prevented
from report.claims.frames import by_setting, by_times
from report.claims.records import About, Found, found, nothing


@dataclass(frozen=True)
class Case:
    """One comparison: a level of a factor that is to help, and the baseline."""

    about: About
    rows: pd.DataFrame
    factor: str
    level: object
    baseline: object


def against(frame: pd.DataFrame, factor: str, baseline: str, *not_judged: str) -> Iterator[Case]:
    """Each level of ``factor`` beside its baseline, by setting and, where there are, multiples."""
    for setting, rows in by_setting(frame):
        levels = list(rows[factor].drop_duplicates())
        for level in levels if baseline in levels else ():
            if level not in (baseline, *not_judged):
                name = prose.setting(factor, level)
                for times, trials in by_times(rows) if "times" in rows else [("", rows)]:
                    about = tuple(piece for piece in (name, times, setting) if piece)
                    yield Case(about, trials, factor, level, baseline)


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
        pairs = paired(case.rows, *sides, value, ["learning_rate", *ignore])
        if len(pairs):
            effects.append(difference(pairs, case.about, sign))
    return found(effects, notes, absent)


def explosions_prevented(cases: Iterable[Case], absent: str, *notes: str) -> Found:
    """The net share of explosions that each case's level prevents, paired by seed.

    Each side is at its own rate. Comparisons in which nothing exploded on either side are counted,
    not judged; ``absent`` says why there is none at all.
    """
    effects, calm = [], 0
    for case in cases:
        pairs = paired(
            case.rows, case.factor, case.level, case.baseline, "exploded", ["learning_rate"]
        )
        if pairs[["treated", "control"]].to_numpy().any():
            effects.append(prevented(pairs, case.about))
        elif len(pairs):
            calm += 1
    if not effects:
        return nothing("nothing exploded on either side of a comparison" if calm else absent)
    note = f"In {prose.count(calm, 'more comparison')} nothing exploded on either side."
    return found(effects, [note if calm else "", *notes])
