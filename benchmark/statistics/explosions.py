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


def breaking_rate(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``rate``: the least learning rate from which on more than half explode.

    At it and at every larger rate; NaN where at most half of the trials explode at the largest one.

    >>> frame = pd.DataFrame(
    ...     {"model": "mlp", "learning_rate": [0.1, 1.0, 10.0], "exploded": [1, 0, 1]}
    ... )
    >>> breaking_rate(frame, ["model"])["rate"].tolist()
    [10.0]
    """
    shares = frame.groupby([*by, "learning_rate"])["exploded"].mean().reset_index()
    shares = shares.sort_values("learning_rate", ascending=False, kind="stable")
    broken = (shares["exploded"] > 0.5).groupby([shares[c] for c in by]).cummin()
    rates = shares.assign(rate=shares["learning_rate"].where(broken))
    return rates.groupby(list(by))["rate"].min().reset_index()


def broken_beside(
    frame: pd.DataFrame, factor: str, baseline: object, keys: Sequence[str]
) -> pd.DataFrame:
    """Columns ``factor``, ``trials``, ``broke``: which levels stop being finite on their own.

    ``trials`` counts those whose fellow at the ``baseline`` of ``factor``, with the same ``keys``,
    stayed finite, and ``broke`` how many of them did not. Empty without the baseline.

    >>> frame = pd.DataFrame(
    ...     {"precision": ["float32", "float16"], "seed": 0, "status": ["stable", "nonfinite"]}
    ... )
    >>> broken_beside(frame, "precision", "float32", ["seed"]).values.tolist()
    [['float16', 1, 1]]
    """
    ended = frame.assign(nonfinite=frame["status"].eq("nonfinite").astype(float)).pivot_table(
        "nonfinite", list(keys), factor, aggfunc="max", sort=False
    )
    if baseline not in ended:
        return pd.DataFrame()
    whole = ended[ended[baseline] == 0].drop(columns=baseline)
    counts = pd.DataFrame({"trials": whole.count(), "broke": whole.sum().astype(int)})
    return counts.rename_axis(factor).reset_index()


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
