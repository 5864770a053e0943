"""How many explosions a remedy prevents, over many comparisons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from benchmark.statistics import paired
from report import prose
from report.claims.effects import prevented
from report.claims.records import About, Found, found, nothing


@dataclass(frozen=True)
class Case:
    """One comparison: a level of a factor that is to prevent explosions, and the baseline."""

    about: About
    rows: pd.DataFrame
    factor: str
    level: object
    baseline: object


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
