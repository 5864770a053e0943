"""Which level of a factor is best: ties, ranks, and winners reported where they were not chosen.

The largest of many means is large by chance as well: levels that the data cannot tell apart share
their rank, and what a winner gains is told on data that had no part in choosing it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.arguments import checked
from benchmark.statistics.pairing import paired_comparison, verdicts
from benchmark.statistics.seeds import DECIMALS


@checked
def tied_with_best(
    frame: pd.DataFrame, factor: str, value: str = "accuracy", *, ignore: Sequence[str] = ()
) -> list[object]:
    """Levels of ``factor`` that cannot be told from the best one, which comes first.

    The best has the highest mean ``value``. Another ties with it unless their paired comparison
    says that it is worse (`verdicts`), or no pair compares them. A winner is a list of one.
    """
    means = frame.groupby(factor, sort=False)[value].mean().round(DECIMALS)
    best, *others = means.sort_values(ascending=False, kind="stable").index
    worse = _worse(frame, factor, best, value, ignore)
    return [best, *(level for level in others if level not in worse)]


def _worse(
    frame: pd.DataFrame, factor: str, best: object, value: str, ignore: Sequence[str]
) -> set[object]:
    """The levels of ``factor`` that can be told from the best one."""
    against = paired_comparison(frame, factor, best, value, ignore=ignore)
    return set(against.loc[verdicts(against) == "worse", "level"])


@checked
def tied_ranks(
    frame: pd.DataFrame, factor: str, order: Sequence[object], *, ignore: Sequence[str] = ()
) -> list[int]:
    """The rank (from 1) of each level of ``order``, which begins with the best one.

    A level shares the rank of the best one before it from which it cannot be told: unless the
    paired comparison of their accuracies with all that follow says that it is worse (`verdicts`).

    >>> scores = {"a": [0.9, 0.8], "b": [0.8, 0.9], "c": [0.1, 0.2]}
    >>> rows = [(level, seed, x) for level, own in scores.items() for seed, x in enumerate(own)]
    >>> frame = pd.DataFrame(rows, columns=["rule", "seed", "accuracy"])
    >>> tied_ranks(frame, "rule", ["a", "b", "c"])
    [1, 1, 1]
    """
    places: list[int] = []
    while len(places) < len(order):
        place = len(places)
        first, rest = order[place], order[place:]
        rows = frame[frame[factor].isin(rest)]
        worse = _worse(rows, factor, first, "accuracy", ignore)
        tied = [level not in worse for level in rest]
        places += [place + 1] * (tied.index(False) if False in tied else len(tied))
    return places


def with_ranks(
    rows: pd.DataFrame,
    frame: pd.DataFrame,
    factor: str,
    by: Sequence[str],
    *,
    ignore: Sequence[str] = (),
) -> pd.DataFrame:
    """``rows``, one a group of ``by`` and ``level``, the best first, with ``place``: `tied_ranks`.

    ``frame`` has the trials of all groups.

    >>> trials = pd.DataFrame({"times": 3, "rule": [*"ab"] * 8, "accuracy": [0.9, 0.2] * 8})
    >>> trials = trials.assign(seed=[n // 2 for n in range(16)])
    >>> rows = pd.DataFrame({"times": 3, "level": ["a", "b"]})
    >>> with_ranks(rows, trials, "rule", ["times"])["place"].tolist()
    [1, 2]
    """
    keys = list(by)
    trials = dict(iter(frame.groupby(keys, sort=False, dropna=False)))
    places = []
    for key, part in rows.groupby(keys, sort=False, dropna=False):
        order = part["level"].tolist()
        ranks = tied_ranks(trials[key], factor, order, ignore=ignore)
        places.append(pd.Series(ranks, part.index))
    return rows.assign(place=pd.concat(places) if places else [])


def mean_effects(effects: pd.DataFrame, by: Sequence[str], name: str = "effect") -> pd.DataFrame:
    """Over all other columns (data sets, say) the mean ``effect`` of each group of ``by``.

    Columns ``by``, ``name``, ``name_low`` and ``name_high``, the means of the effects and of the
    ends of their intervals, and ``name_sure``: a star where all intervals lie on one side of zero.

    >>> effects = pd.DataFrame({"level": [*"aabb"], "effect": [0.5, 0.25, 0.5, -0.25]})
    >>> effects = effects.assign(low=effects["effect"] - 0.125, high=effects["effect"] + 0.125)
    >>> mean_effects(effects, ["level"], "saved").drop(columns="saved_high").values.tolist()
    [['a', 0.375, 0.25, '*'], ['b', 0.125, 0.0, '']]
    """
    sure = (effects["low"] > 0) | (effects["high"] < 0)
    signs = np.sign(effects["effect"]).groupby([effects[c] for c in by])
    groups = effects.assign(sure=sure & signs.transform("nunique").eq(1)).groupby(
        list(by), sort=False
    )
    names = {"effect": name, "low": f"{name}_low", "high": f"{name}_high"}
    found = groups[list(names)].mean().rename(columns=names)
    found[f"{name}_sure"] = groups["sure"].all().map({True: "*", False: ""})
    return found.reset_index()


def cross_chosen(frame: pd.DataFrame, factor: str, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``chosen_on``, ``dataset``, ``level``: the best level, chosen on other data.

    For each group of ``by`` and each data set, ``chosen_on``, the level of ``factor`` with the
    highest mean test accuracy there, and every other ``dataset``, on which it is to be reported.
    With a single one it is chosen by validation accuracy, and reported on itself.

    >>> frame = pd.DataFrame({"dataset": [*"aabb"], "rule": [*"xyxy"], "model": "mlp"})
    >>> frame = frame.assign(accuracy=[0.9, 0.5, 0.5, 0.9])
    >>> cross_chosen(frame, "rule", ["model"]).values.tolist()
    [['mlp', 'a', 'b', 'x'], ['mlp', 'b', 'a', 'y']]
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        sets = list(group["dataset"].unique())
        value = "accuracy" if len(sets) > 1 else "validation"
        for chosen_on in sets:
            there = group[group["dataset"] == chosen_on]
            best = there.groupby(factor, sort=False)[value].mean().round(DECIMALS).idxmax()
            others = [other for other in sets if other != chosen_on] or sets
            rows += [(*key, chosen_on, other, best) for other in others]
    return pd.DataFrame(rows, columns=[*by, "chosen_on", "dataset", "level"])
