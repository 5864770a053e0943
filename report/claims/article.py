"""Claim 14: the article's own two networks."""

from __future__ import annotations

import pandas as pd

from benchmark.statistics import proportion
from benchmark.statistics.selection import where
from report import prose
from report.claims.frames import by_setting
from report.claims.records import Effect, Found, found, nothing
from report.evidence import Evidence

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
    return found(effects, [_own_accuracy(rows)])


def _own_accuracy(rows: pd.DataFrame) -> str:
    """Mean test accuracy by network and number of updates, which are two trainings."""
    parts = [
        f"{prose.percent(float(trials['accuracy'].mean()))} ({setting}, "
        f"{prose.count(int(steps), 'update')})"
        for setting, group in by_setting(rows)
        for steps, trials in group.groupby("steps", sort=True)
    ]
    return f"The mean test accuracy is {prose.listing(parts, ';')}."
