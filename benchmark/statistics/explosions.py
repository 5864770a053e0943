"""Which trials explode: from which rate on, what a test for NaN misses, and what prevents it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchmark.statistics.arguments import checked
from benchmark.statistics.budgets import update_size
from benchmark.statistics.seeds import interval, mean
from benchmark.statistics.selection import CELL

LATER = (
    *("schedule", "learning_rate_scaling", "batch_policy", "batch_policy_parameter"),
    *("epochs", "updates", "disturbance"),
)
"""Factors that need not have acted when a trial explodes, because they act in its course."""


@checked
def least_exploding_rate(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``rate``: the least learning rate at which half of the trials explode.

    NaN where there is none. ``frame`` has the `outcomes` of trials over rates.

    >>> frame = pd.DataFrame(
    ...     {"depth": 5, "learning_rate": [0.1, 1.0, 1.0, 10.0], "exploded": [0, 0, 1, 1]}
    ... )
    >>> least_exploding_rate(frame, ["depth"])["rate"].tolist()
    [1.0]
    """
    shares = frame.groupby([*by, "learning_rate"], sort=False)["exploded"].mean().reset_index()
    rates = shares.assign(rate=shares["learning_rate"].where(shares["exploded"] >= 0.5))
    return rates.groupby(list(by), sort=False)["rate"].min().reset_index()


@checked
def breaking_rate(
    frame: pd.DataFrame, by: Sequence[str], outcome: str = "exploded"
) -> pd.DataFrame:
    """Columns ``by``, ``rate``: the least learning rate from which on more than half explode.

    At it and at every larger rate; NaN where at most half of the trials explode at the largest one.
    With the name of another ``outcome`` (``diverged``, say), from which more than half have that.

    >>> frame = pd.DataFrame(
    ...     {"model": "mlp", "learning_rate": [0.1, 1.0, 10.0], "exploded": [1, 0, 1]}
    ... )
    >>> breaking_rate(frame, ["model"])["rate"].tolist()
    [10.0]
    """
    shares = frame.groupby([*by, "learning_rate"])[outcome].mean().reset_index()
    shares = shares.sort_values("learning_rate", ascending=False, kind="stable")
    broken = (shares[outcome] > 0.5).groupby([shares[c] for c in by]).cummin()
    rates = shares.assign(rate=shares["learning_rate"].where(broken))
    return rates.groupby(list(by))["rate"].min().reset_index()


@checked
def largest_safe_rate(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``safe``: the largest learning rate up to which no trial diverged.

    At it and at every smaller rate; NaN where a trial diverged at the smallest one.

    >>> frame = pd.DataFrame(
    ...     {"model": "mlp", "learning_rate": [0.1, 1.0, 10.0], "diverged": [0, 1, 0]}
    ... )
    >>> largest_safe_rate(frame, ["model"])["safe"].tolist()
    [0.1]
    """
    worst = frame.groupby([*by, "learning_rate"])["diverged"].max().reset_index()
    calm = worst["diverged"].eq(0).groupby([worst[c] for c in by]).cummin()
    rates = worst.assign(safe=worst["learning_rate"].where(calm))
    return rates.groupby(list(by), sort=False)["safe"].max().reset_index()


def one_of_each(frame: pd.DataFrame) -> pd.DataFrame:
    """The exploded trials of ``frame``, each network, seed and rate once.

    Trials that are alike but for what acts `LATER` may break in one and the same way: a schedule
    has hardly begun after two steps, and of two budgets the longer one comes too late. So one
    stands for all of them, whichever studies they are from: that at a constant rate, and otherwise
    the first. A full batch is its size, and no policy. ``frame`` is as `outcomes` gives it.

    >>> from benchmark.records import Trial
    >>> alike = [Trial(schedule="cosine"), Trial(updates=500), Trial(), Trial(batch_size=8)]
    >>> frame = pd.DataFrame([trial.row() for trial in alike]).assign(examples=1000, exploded=1)
    >>> one_of_each(frame)[["schedule", "updates", "batch_size"]].values.tolist()
    [['constant', 500.0, 32], ['constant', nan, 8]]
    """
    bad = frame[frame["exploded"] == 1]
    first = bad.assign(_size=update_size(bad), _later=bad["schedule"].ne("constant"))
    first = first.sort_values("_later", kind="stable").drop_duplicates(
        [*(c for c in CELL if c not in (*LATER, "batch_size")), "seed", "_size"]
    )
    return bad.loc[bad.index.isin(first.index)]


def exploding_alike(frame: pd.DataFrame, factor: str) -> dict[str, list[str]]:
    """The levels of ``factor`` by the first of those under which the same trials explode.

    The same are trials alike in all else and in the step at which they explode. Levels that were
    not run on the same trials are apart. ``frame`` has the form that `outcomes` gives.

    >>> from benchmark.records import Trial
    >>> made = [Trial(schedule=name) for name in ("constant", "step", "cosine")]
    >>> frame = pd.DataFrame([trial.row() for trial in made]).assign(exploded=1)
    >>> exploding_alike(frame.assign(first_bad_step=[2, 2, 9]), "schedule")
    {'constant': ['constant', 'step'], 'cosine': ['cosine']}
    """
    alike = frame.groupby([*(c for c in CELL if c != factor), "seed"], dropna=False).ngroup()
    steps = frame["first_bad_step"].where(frame["exploded"].eq(1), -1).astype(int)
    found: dict[frozenset[tuple[int, int]], list[str]] = {}
    for level, own in frame.assign(_alike=alike, _step=steps).groupby(factor, sort=False):
        trials = frozenset(zip(own["_alike"], own["_step"], strict=True))
        found.setdefault(trials, []).append(str(level))
    return {levels[0]: levels for levels in found.values()}


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


@checked
def missed_by_nan_test(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """By group ``trials``, ``healed``, ``diverged``, ``missed``, ``share``, ``low`` and ``high``.

    How many of the group's ``trials`` diverge, how many of these end in finite numbers, so that a
    test for NaN and infinity would have ``missed`` them, and what ``share`` that is, with its 95%
    interval over seeds. A trial that ``healed`` (exploded, and learned all the same) is no loss,
    and is rightly let through: it is counted apart. Groups without an explosion have no row; where
    every explosion healed, the share is NaN.

    >>> frame = pd.DataFrame(
    ...     {"model": "mlp", "status": ["dead", "nonfinite", "recovered"], "seed": [0, 1, 1]}
    ... )
    >>> frame = frame.assign(exploded=1, diverged=[1, 1, 0])
    >>> missed_by_nan_test(frame, ["model"])[["missed", "diverged", "healed"]].values.tolist()
    [[1, 2, 1]]
    """
    bad = frame[frame["exploded"] == 1]
    bad = bad.assign(healed=bad["diverged"].ne(1), finite=bad["status"].ne("nonfinite"))
    lost = bad[~bad["healed"]]
    groups = bad.groupby(list(by))
    counts = pd.DataFrame(
        {
            "missed": (bad["finite"] & ~bad["healed"]).groupby([bad[c] for c in by]).sum(),
            "healed": groups["healed"].sum(),
            "trials": frame.groupby(list(by)).size(),
        }
    )
    found = interval(lost, "finite", by, statistic=mean)
    found = found.rename(columns={"estimate": "share", "trials": "diverged"})
    joined = counts.loc[groups.size().index].reset_index().merge(found, on=list(by), how="left")
    whole = ["diverged", "missed", "healed", "trials"]
    return joined.fillna({"diverged": 0}).astype(dict.fromkeys(whole, int))
