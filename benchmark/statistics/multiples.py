"""Trials at multiples of each configuration's own best learning rate.

Two configurations at one and the same rate differ in how far it lies from their best one; shares of
explosions, above all, mean little without it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.records.rates import SHARED, multiple_of
from benchmark.statistics.pairing import paired_comparison
from benchmark.statistics.rates import best_per_arm, cross_fitted
from benchmark.statistics.selection import CELL

MULTIPLES = (1.0, 3.0, 10.0)
"""Of a configuration's own best learning rate, at which shares of explosions are stated."""
NEAR = 0.15
"""Decades that a rate of a grid may lie from a multiple of the best and stand for it."""


def varying(frame: pd.DataFrame) -> list[str]:
    """Configuration columns with more than one level, the seed and the arm apart."""
    return [c for c in CELL if frame[c].nunique(dropna=False) > 1]


def varying_but_rate(frame: pd.DataFrame) -> list[str]:
    """What `varying` gives without the learning rate, or the data set where nothing else does."""
    return [c for c in varying(frame) if c != "learning_rate"] or ["dataset"]


def in_relative_arms(frame: pd.DataFrame, prefix: str = "") -> pd.DataFrame:
    """The rows at a multiple of a rate that other trials had found, with ``times``, the multiple.

    With a ``prefix`` those of the arms that begin with it.

    >>> frame = pd.DataFrame({"arm": ["x3", "sharedx3", "", None]})
    >>> in_relative_arms(frame)["times"].tolist(), len(in_relative_arms(frame, "shared"))
    ([3.0], 1)
    """
    arms = frame["arm"].fillna("")
    read = {arm: multiple_of(arm) for arm in arms.unique()}
    times = arms.map({arm: pair[1] for arm, pair in read.items() if pair and pair[0] == prefix})
    rows = times.notna()
    return frame[rows].assign(times=times[rows].astype(float))


def _is_lent(arms: pd.Series) -> pd.Series:
    """Which arms are at a multiple of another configuration's best rate: no map of rates."""
    read = {arm: multiple_of(arm) for arm in arms.fillna("").unique()}
    return arms.isin([arm for arm, pair in read.items() if pair and pair[0].endswith("_")])


def at_own_and_same_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows in arms at 1, 3 and 10 times a best rate, with ``times`` and ``same_rate``.

    Two questions: what a clipping does at multiples of its own best rate, and what it does at the
    ``same_rate`` as all others, a multiple of the best without clipping. Trials without clipping
    answer both, and are there twice.

    >>> arms = {"arm": ["x3", "x3", "shared_x3"], "clipping": ["none", "value", "value"]}
    >>> at_own_and_same_rates(pd.DataFrame(arms))[["clipping", "same_rate"]].values.tolist()
    [['none', False], ['value', False], ['value', True], ['none', True]]
    """
    own, same = in_relative_arms(frame), in_relative_arms(frame, SHARED)
    bare = own[(own["clipping"] == "none") & own["times"].isin(same["times"])]
    same = pd.concat([same, bare])
    rows = pd.concat([own.assign(same_rate=False), same.assign(same_rate=True)])
    return rows[rows["times"].isin(MULTIPLES)].astype({"times": int})


def misplaced_best_rates(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Where a multiple of a best rate is significantly better than that rate: it was chosen badly.

    ``frame`` has ``times``, as `in_relative_arms` gives it; in each group of ``by``, columns of
    `benchmark.statistics.pairing.paired_comparison`, whose ``level`` is the multiple and
    ``effect`` what is gained there, on the seeds that had no part in the choice.

    >>> frame = pd.DataFrame({"times": [1.0, 3.0] * 3, "seed": [0, 0, 1, 1, 2, 2], "model": "rnn"})
    >>> frame["accuracy"] = [0.5, 0.75, 0.5, 0.8, 0.5, 0.7]
    >>> misplaced_best_rates(frame, ["model"])[["model", "level", "effect"]].values.tolist()
    [['rnn', 3.0, 0.25]]
    """
    found = paired_comparison(frame, "times", 1.0, by=by, ignore=["arm", "learning_rate"])
    return found[(found["level"] > 1) & (found["low"] > 0)].reset_index(drop=True)


def at_multiples(frame: pd.DataFrame) -> pd.DataFrame:
    """The `outcomes` at 1, 3 and 10 times each configuration's own best rate, with ``times``.

    A study that looked for the best rates first has them as arms, on other seeds than those that
    chose. In any other study the best rate of a trial's configuration is the one that validation
    chooses on all other seeds, and a multiple is the nearest rate that was run, where one lies
    within `NEAR` decades. A single seed has no others, and chooses for itself. Where a
    configuration has both, the rates of its map are left out, as are trials at multiples of
    another's best rate.
    """
    arms = in_relative_arms(frame)
    lent = _is_lent(frame["arm"])
    found, rest = [arms], _without(frame[~lent].drop(arms.index), arms)
    if len(rest):
        keys = varying_but_rate(rest)
        several = rest["seed"].nunique() > 1
        best = (cross_fitted if several else best_per_arm)(rest, keys)
        best = best[[*keys, "seed", "learning_rate"]].drop_duplicates()
        best = best.rename(columns={"learning_rate": "best_rate"})
        rows = rest.merge(best, on=[*keys, "seed"])
        above = np.log10(rows["learning_rate"] / rows["best_rate"])
        for times in MULTIPLES:
            distance = (above - np.log10(times)).abs()
            near = rows.assign(times=times, _distance=distance)[distance <= NEAR]
            near = near.sort_values("_distance", kind="stable")
            found.append(near.drop_duplicates([*keys, "seed"]).sort_index())
    out = pd.concat(found, ignore_index=True)
    out = out.drop(columns=["best_rate", "_distance"], errors="ignore")
    return out[out["times"].isin(MULTIPLES)].reset_index(drop=True)


def _without(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The rows of configurations, apart from rate, seed and arm, that no other row has."""
    if rows.empty or others.empty:
        return rows
    both = pd.concat([rows, others])
    group = both.groupby(varying_but_rate(both), dropna=False).ngroup().to_numpy()
    return rows[~np.isin(group[: len(rows)], group[len(rows) :])]
