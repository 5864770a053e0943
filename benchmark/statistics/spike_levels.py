"""What explosions would be if the level of a spike were another: how far results hang on it.

A spike is a training loss above max(10, 4 times the initial loss), two numbers that were chosen.
The history has the largest loss between checkpoints, so that other levels need no other trials.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.status import SPIKE_FACTOR, SPIKE_LOSS

Level = tuple[float, float]
"""A least loss, and a multiple of the initial loss: a spike is a loss above the larger."""
LEVELS: tuple[Level, ...] = ((5.0, 2.0), (SPIKE_LOSS, SPIKE_FACTOR), (20.0, 4.0), (20.0, 8.0))
STRICTEST = LEVELS[-1]


def at_spike_level(frame: pd.DataFrame, history: pd.DataFrame, level: Level) -> pd.DataFrame:
    """``frame`` with ``exploded``, ``overshoot`` and ``diverged`` as another ``level`` makes them.

    ``frame`` is of the form that `benchmark.statistics.outcomes` gives, ``history`` has its trials.
    What did not stay finite exploded at any level. Disturbed trials stay as they are, because the
    loss of a disturbed batch is no spike, and the history has it.

    >>> frame = pd.DataFrame({"trial": ["a"], "status": ["recovered"], "learned": [1.0]})
    >>> frame = frame.assign(initial_loss=2.5, disturbance="none", exploded=1.0, diverged=0.0)
    >>> history = pd.DataFrame({"trial": ["a"], "train_loss_max": [15.0]})
    >>> at_spike_level(frame, history, (20.0, 4.0))["exploded"].item()
    0.0
    """
    least, factor = level
    peaks = history.groupby("trial")["train_loss_max"].max().astype(float)
    limit = np.maximum(least, factor * frame["initial_loss"].astype(float))
    spiked = frame["trial"].map(peaks).gt(limit) | frame["status"].eq("nonfinite")
    same = frame["disturbance"].ne("none")
    exploded = spiked.astype(float).where(~same, frame["exploded"])
    learned = frame["learned"].eq(1)
    return frame.assign(
        exploded=exploded,
        overshoot=exploded.where(learned, 0.0),
        diverged=exploded.where(~learned, 0.0),
    )


def spike_level_sensitivity(
    frame: pd.DataFrame,
    history: pd.DataFrame,
    by: Sequence[str] = ("model",),
    levels: Sequence[Level] = LEVELS,
) -> pd.DataFrame:
    """Columns ``by``, ``least``, ``factor``, ``trials``, ``exploded``, ``diverged``.

    The shares of the trials of each group that explode and that diverge, by `at_spike_level`, where
    a spike is a loss above max(``least``, ``factor`` times the initial loss).
    """
    tables = []
    for least, factor in levels:
        rows = at_spike_level(frame, history, (least, factor))
        groups = rows.groupby(list(by), sort=False, dropna=False)
        shares = groups[["exploded", "diverged"]].mean()
        tables.append(shares.assign(trials=groups.size(), least=least, factor=factor).reset_index())
    columns = [*by, "least", "factor", "trials", "exploded", "diverged"]
    return pd.concat(tables, ignore_index=True)[columns]
