"""Which trials explode: from which rate on, what a test for NaN misses, and what prevents it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchmark.statistics.seeds import interval, mean


def least_exploding_rate(
    frame: pd.DataFrame, by: Sequence[str], share: float = 0.5
) -> pd.DataFrame:
    """Columns ``by``, ``rate``: the least learning rate at which a ``share`` of trials explodes.

    NaN where there is none. ``frame`` has the `outcomes` of trials over rates.

    >>> frame = pd.DataFrame(
    ...     {"depth": 5, "learning_rate": [0.1, 1.0, 1.0, 10.0], "exploded": [0, 0, 1, 1]}
    ... )
    >>> least_exploding_rate(frame, ["depth"])["rate"].tolist()
    [1.0]
    """
    shares = frame.groupby([*by, "learning_rate"], sort=False)["exploded"].mean().reset_index()
    rates = shares.assign(rate=shares["learning_rate"].where(shares["exploded"] >= share))
    return rates.groupby(list(by), sort=False)["rate"].min().reset_index()


def missed_by_nan_test(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``exploded``, ``share``, ``low``, ``high``, ``missed``, ``trials``.

    Of how many of the group's ``trials`` explode, how many of these end in finite numbers, so that
    a test for NaN and infinity would have ``missed`` them, and what ``share`` that is, with its 95%
    interval over seeds. Groups without an explosion have no row.

    >>> frame = pd.DataFrame(
    ...     {"model": "mlp", "status": ["dead", "nonfinite"], "exploded": 1, "seed": [0, 1]}
    ... )
    >>> missed_by_nan_test(frame, ["model"])[["missed", "exploded", "share"]].values.tolist()
    [[1.0, 2.0, 0.5]]
    """
    bad = frame[frame["exploded"] == 1]
    bad = bad.assign(finite=bad["status"].ne("nonfinite"))
    counts = {
        "missed": bad.groupby(list(by))["finite"].sum(),
        "trials": frame.groupby(list(by)).size(),
    }
    found = interval(bad, "finite", by, statistic=mean)
    found = found.rename(columns={"estimate": "share", "trials": "exploded"})
    joined = found.merge(pd.DataFrame(counts).reset_index(), on=list(by))
    return joined.astype({"missed": int})
