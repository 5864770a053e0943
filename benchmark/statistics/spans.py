"""Intervals of what is read off a whole row of learning rates: stable range and sensitivity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.rates import learning_rate_sensitivity, stable_range, usable_decades
from benchmark.statistics.seeds import Ends, left_out


def rate_spans(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """`stable_range` and `learning_rate_sensitivity` of each group, with 95% intervals.

    Columns ``by``, ``best_rate``, ``low_rate``, ``high_rate``, ``edge``; ``decades`` with
    ``decades_low`` and ``decades_high``; ``sensitivity`` (nats) with ``sensitivity_low`` and
    ``sensitivity_high``; ``rates``, how many there are, and ``spacing``, the most decades between
    neighbours. The intervals are over seeds, NaN where there is one; that of the decades reaches at
    least one spacing to either side, because a range ends somewhere between two rates.
    """
    joined = stable_range(frame, by).merge(learning_rate_sensitivity(frame, by), on=list(by))
    ends = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        accuracy, objective = (means_without(group, name) for name in ("validation", "objective"))
        rates = accuracy.columns.to_numpy(dtype=float)
        spacing = float(np.diff(np.log10(rates)).max(initial=0.0))
        wide = usable_decades(accuracy.to_numpy(), rates)
        excess = (objective.mean(axis=1) - objective.min(axis=1)).to_numpy()
        decades = at_least(left_out(wide[0], wide[1:]), spacing, seeds=len(wide) - 1)
        sensitivity = left_out(excess[0], excess[1:])
        ends.append((*key, *decades[1:], *sensitivity[1:], len(rates), spacing))
    columns = [f"{name}_{end}" for name in ("decades", "sensitivity") for end in ("low", "high")]
    columns += ["rates", "spacing"]
    return joined.merge(pd.DataFrame(ends, columns=[*by, *columns]), on=list(by))


def means_without(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean ``value`` by learning rate: of all seeds in the first row, then without each seed.

    Rates ascend along the columns; a rate that only one seed was run at is NaN without it, and
    leaves that row to what the others had.
    """
    cells = frame.groupby(["seed", "learning_rate"])[value]
    totals = cells.sum().unstack("learning_rate", fill_value=0)
    counts = cells.count().unstack("learning_rate", fill_value=0)
    everyone = (totals.sum() / counts.sum()).to_frame().T
    if len(totals) < 2:
        return everyone
    without = (totals.sum() - totals) / (counts.sum() - counts).replace(0, np.nan)
    return pd.concat([everyone, without.fillna(everyone.iloc[0])])


def at_least(ends: Ends, width: float, *, seeds: int, least: float = 0.0) -> Ends:
    """``ends`` reaching at least ``width`` to either side of the estimate, where seeds vary.

    The lower end is no less than ``least``, which a range cannot fall below.
    """
    estimate, low, high = ends
    if seeds < 2:
        return ends
    low, high = np.fmin(low, estimate - width), np.fmax(high, estimate + width)
    return estimate, max(float(low), least), float(high)
