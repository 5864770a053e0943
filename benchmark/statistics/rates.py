"""What the learning rate does: the best one, the range that is stable, the sensitivity to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmark.statistics.arguments import checked
from benchmark.statistics.seeds import DECIMALS

WITHIN = 0.01
"""Accuracy (0..1) within which a learning rate counts as good as the best: one point."""
AS_GOOD = 0.005
"""Validation accuracy (0..1) below the best rate's, up to which another is as good."""


def rate_scores(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``learning_rate``, ``validation``, ``objective``: what a rate is chosen by.

    The mean validation accuracy and capped loss of each group at each of its rates.
    """
    return _by_level(frame, by, ["learning_rate"])


@checked
def chosen_rates(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``best_rate``, ``low_rate``, ``high_rate``, ``edge``: each group's best rate.

    ``best_rate`` is the one that `best_per_arm` chooses; ``low_rate`` and ``high_rate`` are the
    smallest and the largest that were tried. ``edge`` is ``low`` or ``high`` where the best is one
    of these two, so that a better one may lie beyond, and empty where it lies between others.
    ``frame`` has the `outcomes` of trials over rates: for a study of relative rates, of those
    whose arm is ``select``.

    >>> frame = pd.DataFrame(
    ...     {
    ...         "clipping": "none",
    ...         "learning_rate": [0.1, 1.0, 10.0],
    ...         "validation": [0.7, 0.8, 0.1],
    ...         "objective": [0.9, 0.6, 2.3],
    ...     }
    ... )
    >>> chosen_rates(frame, ["clipping"])[["best_rate", "edge"]].values.tolist()
    [[1.0, '']]
    """
    levels = rate_scores(frame, by)
    order = levels.groupby(list(by), sort=False, dropna=False).ngroup()
    ranked = _ranked(levels, ["learning_rate"])
    ranked = ranked.loc[order.loc[ranked.index].sort_values(kind="stable").index]
    groups = ranked.groupby(list(by), sort=False, dropna=False)["learning_rate"]
    columns = {"best_rate": groups.first(), "low_rate": groups.min(), "high_rate": groups.max()}
    out = pd.DataFrame(columns).reset_index()
    low, high = (out["best_rate"] == out[f"{end}_rate"] for end in ("low", "high"))
    return out.assign(edge=np.select([low, high], ["low", "high"], default=""))


@checked
def rates_as_good(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``learning_rate``, ``best_rate``: the rates of each group that are as good.

    Within `AS_GOOD` of the best in mean validation accuracy, itself among them. Optima are flat,
    and a multiple of one of two rates that are as good is not that of the other.

    >>> frame = pd.DataFrame({"clipping": "none", "learning_rate": [0.1, 0.3, 1.0]})
    >>> frame = frame.assign(validation=[0.848, 0.85, 0.5], objective=[0.5, 0.4, 2.3])
    >>> rates_as_good(frame, ["clipping"])[["learning_rate", "best_rate"]].values.tolist()
    [[0.1, 0.3], [0.3, 0.3]]
    """
    levels = rate_scores(frame, by)
    top = levels.groupby(list(by), dropna=False)["validation"].transform("max")
    good = levels.loc[levels["validation"] >= top - AS_GOOD, [*by, "learning_rate"]]
    return good.merge(chosen_rates(frame, by)[[*by, "best_rate"]], on=list(by))


def _ranked(levels: pd.DataFrame, over: Sequence[str]) -> pd.DataFrame:
    """Levels with the best of each group first."""
    keys = ["validation", "objective", *over]
    return levels.sort_values(keys, ascending=[False] + [True] * (len(keys) - 1), kind="stable")


def _by_level(frame: pd.DataFrame, by: Sequence[str], over: Sequence[str]) -> pd.DataFrame:
    """Mean validation accuracy and loss of each level: groups as they appear, levels ascending.

    Rounded, so that the last bits of two means, which hinge on the order of the trials, do not
    decide which of them is the better.
    """
    groups = frame.groupby([*by, *over], sort=False, dropna=False)
    means = groups[["validation", "objective"]].mean().round(DECIMALS).reset_index()
    order = means.groupby(list(by), sort=False, dropna=False).ngroup()
    ordered = means.assign(_order=order).sort_values(["_order", *over]).drop(columns="_order")
    return ordered.reset_index(drop=True)


@checked
def best_per_arm(
    frame: pd.DataFrame, by: Sequence[str], over: Sequence[str] = ("learning_rate",)
) -> pd.DataFrame:
    """Rows of ``frame`` at the level of ``over`` that validation chooses within each group ``by``.

    The level with the highest mean validation accuracy over the group's trials; among equals the
    lowest mean loss, then the smallest level. What is reported of those rows is their test
    accuracy. The same level for all seeds: a choice for each seed would fit its noise.
    """
    levels = _by_level(frame, by, over)
    chosen = _ranked(levels, over).drop_duplicates(list(by))[[*by, *over]]
    return frame.merge(chosen, on=[*by, *over], how="inner")


@checked
def cross_fitted(
    frame: pd.DataFrame, by: Sequence[str], over: Sequence[str] = ("learning_rate",)
) -> pd.DataFrame:
    """Rows of ``frame`` at levels of ``over`` that were chosen on other seeds than their own.

    For each seed the level that `best_per_arm` takes from all the other seeds of its group ``by``:
    a level that was chosen and is reported on the same seeds flatters itself. A group with one
    seed has no row. The levels of a group's seeds may differ.
    """
    scores = ["validation", "objective"]
    marks = frame[["seed", *scores]].assign(
        group=frame.groupby(list(by), sort=False, dropna=False).ngroup(),
        level=frame.groupby(list(over), sort=True, dropna=False).ngroup(),
        trials=1,
    )
    own = marks.groupby(["group", "level", "seed"])[[*scores, "trials"]].sum()
    every = own.groupby(["group", "level"]).sum().reset_index()
    # every seed of a group beside every level of it, whether it was run there or not
    seeds = marks[["group", "seed"]].drop_duplicates()
    pairs = seeds.merge(every, on="group").set_index(["group", "level", "seed"])
    others = pairs - own.reindex(pairs.index, fill_value=0)
    others = others[others["trials"] > 0]
    # of equal means the first is taken, which their last bits must not decide
    means = others[scores].div(others["trials"], axis=0).round(DECIMALS).reset_index()
    best = _ranked(means, ["level"]).drop_duplicates(["group", "seed"])
    keys = ["group", "level", "seed"]
    chosen = pd.MultiIndex.from_frame(marks[keys]).isin(pd.MultiIndex.from_frame(best[keys]))
    return frame[chosen].reset_index(drop=True)


@checked
def stable_range(frame: pd.DataFrame, by: Sequence[str], within: float = WITHIN) -> pd.DataFrame:
    """Columns ``by``, ``best_rate``, ``low_rate``, ``high_rate``, ``edge``, ``decades``.

    The run of neighbouring learning rates about the best one whose mean validation accuracy is
    within ``within`` of the best; decades = log10(high_rate / low_rate), 0 for a single rate.
    ``edge`` says that the best rate is the smallest or the largest of the grid, so that a better
    one may lie outside: it is then no best rate.
    """
    rows = []
    levels = _by_level(frame, by, ["learning_rate"])
    for key, group in levels.groupby(list(by), sort=False, dropna=False):
        rates, accuracy = group["learning_rate"].to_numpy(), group["validation"].to_numpy()
        best, (low, high) = int(accuracy.argmax()), plateau(accuracy, within)
        edge = best in (0, len(rates) - 1)
        decades = np.log10(rates[high] / rates[low])
        rows.append((*key, rates[best], rates[low], rates[high], edge, decades))
    columns = ["best_rate", "low_rate", "high_rate", "edge", "decades"]
    return pd.DataFrame(rows, columns=[*by, *columns])


def plateau(
    accuracy: np.ndarray, within: float = WITHIN, reference: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """First and last place (...) of the neighbours of the best ``accuracy`` (..., R) near it.

    Near is within ``within`` (0..1), and just so far counts; the first of equal bests counts. With
    a ``reference`` (...), the best accuracy of something else, near is whatever is no more than
    that below it; where the best itself is not, the last place comes before the first.

    >>> first, last = plateau(np.array([0.5, 0.8, 0.795, 0.1, 0.8]))
    >>> int(first), int(last)
    (1, 2)
    >>> first, last = plateau(np.array([0.5, 0.8, 0.795, 0.1]), reference=np.array(0.5))
    >>> int(first), int(last)
    (0, 2)
    """
    accuracy = np.round(accuracy, DECIMALS)
    places = np.arange(accuracy.shape[-1])
    best = accuracy.argmax(axis=-1)[..., None]
    top = accuracy.max(axis=-1) if reference is None else np.asarray(reference)
    bad = np.round(top[..., None] - accuracy, DECIMALS) > within
    first = np.where(bad & (places <= best), places, -1).max(axis=-1) + 1
    last = np.where(bad & (places >= best), places, len(places)).min(axis=-1) - 1
    return first, last


def usable_decades(
    accuracy: np.ndarray, rates: np.ndarray, reference: np.ndarray | None = None
) -> np.ndarray:
    """Decades (...) of the ``rates`` (R,) on the `plateau` of ``accuracy`` (..., R).

    With a ``reference`` (...) those no more than a point below that accuracy; 0 where there are
    none, as where there is one.
    """
    low, high = plateau(accuracy, reference=reference)
    logs, none = np.log10(rates), high < low
    # where none is near, ``low`` may lie beyond the last rate
    low, high = np.where(none, 0, low), np.where(none, 0, high)
    return logs[high] - logs[low]


@checked
def largest_stable_rate(
    frame: pd.DataFrame, by: Sequence[str], outcome: str | None = None
) -> pd.DataFrame:
    """Columns ``by``, ``largest_rate``: the largest rate at which every trial was ``stable``.

    With the name of an ``outcome`` (``learned``, say), at which every trial had that. NaN where
    there is no such rate.
    """
    stable = frame["status"].eq("stable")
    good = frame.assign(good=stable if outcome is None else frame[outcome].eq(1))
    groups = good.groupby([*by, "learning_rate"], sort=False, dropna=False)
    whole = groups["good"].all().reset_index()
    whole["largest_rate"] = whole["learning_rate"].where(whole["good"])
    largest = whole.groupby(list(by), sort=False, dropna=False)["largest_rate"].max()
    return largest.reset_index()


@checked
def learning_rate_sensitivity(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``sensitivity`` (nats): mean over rates of the capped loss, minus the best.

    E_eta[min(loss(eta), initial loss)] - min_eta loss(eta), the rates being a log grid and the
    loss at each the mean over its trials (Wortsman et al. 2023, 2309.14322).
    """
    levels = _by_level(frame, by, ["learning_rate"])
    loss = levels.groupby(list(by), sort=False, dropna=False)["objective"]
    return (loss.mean() - loss.min()).rename("sensitivity").reset_index()


def least_loss_rate(history: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``learning_rate``: where the median training loss of range tests is least.

    ``history`` has the checkpoints of runs during which the rate rises (Smith 2017, 1506.01186);
    losses that are not finite are left out.

    >>> history = pd.DataFrame(
    ...     {"model": "mlp", "learning_rate": [0.1, 1.0, 10.0], "train_loss": [2.0, 1.0, np.inf]}
    ... )
    >>> least_loss_rate(history, ["model"])["learning_rate"].tolist()
    [1.0]
    """
    finite = history[np.isfinite(history["train_loss"].astype(float))]
    losses = finite.groupby([*by, "learning_rate"], sort=False)["train_loss"].median()
    least = losses.reset_index().sort_values("train_loss", kind="stable").drop_duplicates(list(by))
    return least[[*by, "learning_rate"]]


def with_edges(rows: pd.DataFrame, tried: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """``rows`` with ``edge``: ``low`` or ``high`` where a better rate may lie beyond, else empty.

    That is where a row's ``learning_rate`` is the smallest or the largest, or beyond, of those that
    its group ``by`` was ``tried`` at; a group that was tried at one rate has no edge.

    >>> tried = pd.DataFrame({"model": "mlp", "learning_rate": [0.1, 1.0]})
    >>> with_edges(tried, tried, ["model"])["edge"].tolist()
    ['low', 'high']
    """
    rates = tried.groupby(list(by), dropna=False)["learning_rate"].agg(["min", "max"])
    ends = rows[list(by)].merge(rates.reset_index(), on=list(by), how="left")
    rate = rows["learning_rate"].to_numpy(dtype=float)
    several = ends["min"] < ends["max"]
    low, high = several & (rate <= ends["min"]), several & (rate >= ends["max"])
    return rows.assign(edge=np.select([low, high], ["low", "high"], default=""))


def rate_ratios(
    frame: pd.DataFrame,
    factor: str,
    baseline: object,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Columns ``by``, ``level``, ``least``, ``most``: a level's rate over that of the ``baseline``.

    The smallest and the largest ratio of all data sets, in which both have one learning rate: their
    best, say. Levels without such a pair have no row, nor has the baseline.

    >>> frame = pd.DataFrame({"dataset": [*"aabb"], "clipping": ["none", "value"] * 2})
    >>> frame = frame.assign(learning_rate=[1.0, 3.0, 1.0, 10.0])
    >>> rate_ratios(frame, "clipping", "none").values.tolist()
    [['value', 3.0, 10.0]]
    """
    rows = frame[[*by, "dataset", factor, "learning_rate"]].drop_duplicates()
    base = rows[rows[factor] == baseline].drop(columns=factor)
    both = rows[rows[factor] != baseline].merge(base, on=[*by, "dataset"], suffixes=("", "_base"))
    ratios = both.assign(ratio=both["learning_rate"] / both["learning_rate_base"])
    groups = ratios.groupby([*by, factor], sort=False)["ratio"]
    found = groups.agg(least="min", most="max").reset_index()
    return found.rename(columns={factor: "level"})


class Choice(NamedTuple):
    """How surely the best rates are known: what each seed would have chosen alone."""

    seeds: int
    configurations: int
    same: float
    """Share of the configurations where every seed alone chooses the same rate."""
    near: float
    """Share where they choose rates at most a quarter-decade apart."""
    most: float
    """The largest ratio of two choices."""


def choices_of_single_seeds(frame: pd.DataFrame, by: Sequence[str]) -> Choice:
    """How far the best rates of each group lie apart that its seeds choose alone.

    ``frame`` has the `outcomes` of trials over rates, as `chosen_rates` takes them.
    """
    alone = [chosen_rates(rows, by) for _, rows in frame.groupby("seed")]
    rates = pd.concat(alone).groupby(list(by))["best_rate"].agg(["min", "max"])
    apart = np.log10(rates["max"] / rates["min"])
    same, near = (float((apart < limit).mean()) for limit in (0.01, 0.26))
    return Choice(len(alone), len(apart), same, near, float(10 ** apart.max()))
