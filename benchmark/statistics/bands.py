"""Explosions by how far the learning rate lies above the best one of the trial's configuration.

A share of explosions over a map says which rates the map had; within a band of multiples of the
best rate it says something of the networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.arguments import checked
from benchmark.statistics.multiples import in_relative_arms, varying_but_rate
from benchmark.statistics.rates import chosen_rates
from benchmark.statistics.seeds import interval, mean

EARLY = 10
"""Steps within which an explosion counts as early."""
BANDS = {"at most 3.5 ×": 3.5, "3.5 to 10 ×": 10.5, "beyond 10 ×": np.inf}
"""Multiples of a configuration's best rate up to which each band reaches; rates are rounded."""
NO_RATE = "no rate trains"
"""The band of configurations that do not learn at their best rate."""


def in_bands(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with ``times``, the rate over the best one, and the ``band`` that this lies in.

    The multiple is that of the trial's arm (`in_relative_arms`), or its rate over the one that
    validation chooses for its configuration. The band is one of `BANDS`; `NO_RATE` where most seeds
    of the configuration do not learn even at its best rate; and NaN, as the multiple is, where a
    single rate was run. ``frame`` has the `outcomes` of trials over rates.

    >>> from benchmark.records import Trial
    >>> frame = pd.DataFrame([Trial(learning_rate=rate).row() for rate in (0.1, 0.5, 5.0)])
    >>> frame = frame.assign(validation=[0.9, 0.5, 0.1], objective=1.0, learned=[1, 1, 0])
    >>> in_bands(frame)["band"].tolist()
    ['at most 3.5 ×', '3.5 to 10 ×', 'beyond 10 ×']
    """
    rows = frame.reset_index(drop=True)
    keys = varying_but_rate(rows)
    chosen = rows[rows["arm"].fillna("").eq("")]
    times = in_relative_arms(rows)["times"].reindex(rows.index)
    at_best = rows[times == 1]
    if len(chosen):
        best = chosen_rates(chosen, keys)
        best = best[best["low_rate"] < best["high_rate"]][[*keys, "best_rate"]]
        rate = rows[keys].merge(best, on=keys, how="left")["best_rate"]
        times = times.fillna(rows["learning_rate"] / rate)
        at_best = rows[np.isclose(times, 1)]
    learned = at_best.groupby(keys, dropna=False)["learned"].mean().rename("at_best")
    able = rows[keys].merge(learned.reset_index(), on=keys, how="left")["at_best"] >= 0.5
    reach = [-np.inf, *BANDS.values()]
    band = pd.cut(times, reach, labels=list(BANDS)).astype(object).where(able, NO_RATE)
    return rows.assign(times=times, band=band.where(times.notna()))


@checked
def explosions_by(frame: pd.DataFrame, by: Sequence[str], early: int = EARLY) -> pd.DataFrame:
    """How explosions begin and end: a row for each group of ``by`` in which some trial exploded.

    Columns ``by``; ``trials`` and ``exploded``, how many of the group; ``share`` of all explosions
    of the ``frame``; ``early``, the share that began by that step, with its 95% interval over seeds
    ``low`` and ``high``; ``began``, the median first bad step; and ``learned``, the share that
    learned all the same. ``frame`` has the form that `outcomes` gives.

    >>> frame = pd.DataFrame({"model": "mlp", "exploded": [1, 1, 0], "seed": range(3)})
    >>> frame = frame.assign(first_bad_step=[2, 40, None], learned=[0, 0, 1])
    >>> explosions_by(frame, ["model"])[["trials", "exploded", "early"]].values.tolist()
    [[3.0, 2.0, 0.5]]
    """
    bad = frame[frame["exploded"] == 1]
    bad = bad.assign(early=bad["first_bad_step"] <= early)
    found = interval(bad, "early", by, statistic=mean)
    found = found.rename(columns={"estimate": "early", "trials": "exploded"})
    groups = bad.groupby(list(by), dropna=False)
    ended = groups.agg(learned=("learned", "mean"), began=("first_bad_step", "median"))
    trials = frame.groupby(list(by), dropna=False).size().rename("trials")
    for more in (ended, trials):
        found = found.merge(more.reset_index(), on=list(by))
    return found.assign(share=found["exploded"] / len(bad))
