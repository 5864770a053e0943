"""Claim 14: the article's own two networks, and what single changes do to them."""

from __future__ import annotations

import pandas as pd

from benchmark.statistics import paired_comparison, proportion
from report import prose
from report.claims.frames import able, by_setting
from report.claims.records import Effect, Found, found, nothing
from report.evidence import Evidence, where

POINT = 0.01

OWN: dict[str, object] = {
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 128,
    "clipping": "none",
    "normalization": "none",
    "schedule": "constant",
    "batch_policy": "fixed",
}
"""The article's own settings."""


def own(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials at the article's own settings."""
    return where(frame, **OWN)


def own_networks(source: Evidence) -> Found:
    """Trials with the article's own settings that learn."""
    rows = own(source.outcomes)
    if rows.empty:
        return nothing("there is no trial with Adam, a rate of 0.01 and batches of 128")
    effects = []
    for setting, group in by_setting(rows):
        for steps, trials in group.groupby("steps", sort=True):
            learned = proportion(int(trials["learned"].sum()), len(trials))
            about = (prose.count(int(steps), "update"), setting)
            effects.append(Effect(about, *learned, prose.count(len(trials), "seed")))
    able_rows, warm = able(source.outcomes)
    return found(effects, [_own_accuracy(rows), *_remedies(able_rows), warm])


def _own_accuracy(rows: pd.DataFrame) -> str:
    parts = [
        f"{prose.percent(float(group['accuracy'].mean()))} ({setting})"
        for setting, group in by_setting(rows)
    ]
    return f"The mean test accuracy is {prose.listing(parts)}."


def _remedies(frame: pd.DataFrame) -> list[str]:
    """Which single changes move the accuracy by a point or more, over both networks."""
    gains: dict[str, list[str]] = {"raise": [], "lower": []}
    compared = 0
    for factor, own in OWN.items():
        if frame[factor].nunique() < 2:
            continue
        rows = paired_comparison(frame, factor, own, "accuracy")
        compared += len(rows)
        for row in rows.to_dict("records"):
            words = f"{prose.name(factor)} {prose.name(row['level'])}"
            moved = f"{words} ({prose.points(row['effect'])})"
            if row["low"] >= POINT:
                gains["raise"].append(moved)
            elif row["high"] <= -POINT:
                gains["lower"].append(moved)
    if not compared:
        return []
    up = _counted("raise", "the test accuracy by a point or more", gains["raise"])
    down = _counted("lower", "it by as much", gains["lower"])
    return [f"Of {prose.count(compared, 'single change')}, {up}; {down}."]


def _counted(verb: str, what: str, moved: list[str]) -> str:
    amount = f"{len(moved) or 'none'} {verb}{'s' if len(moved) < 2 else ''} {what}"
    return f"{amount}: {prose.listing(moved)}" if moved else amount
