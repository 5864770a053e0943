"""Claim 14: the article's own two networks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from benchmark.statistics import proportion
from benchmark.statistics.selection import where
from report import prose
from report.claims.frames import by_setting, parts
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
    effects, accuracies = [], []
    for (updates, setting), trials in parts(rows, by_setting, _by_updates):
        learned = proportion(int(trials["learned"].sum()), len(trials))
        basis = prose.count(len(trials), "seed")
        # Wilson's interval is one of the normal distribution
        effects.append(Effect((updates, setting), *learned, basis, freedom=math.inf))
        accuracy = prose.percent(float(trials["accuracy"].mean()))
        accuracies.append(f"{accuracy} ({setting}, {updates})")
    return found(effects, [f"The mean test accuracy is {prose.listing(accuracies, ';')}."])


def _by_updates(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each number of updates, which are trainings of their own."""
    for _, rows in frame.groupby("steps", sort=True):
        yield prose.count(int(rows["steps"].iloc[0]), "update"), rows
