"""Intervals over seeds: what another draw of seeds would have given.

All cells of a study are run on the same seeds, and a seed (its initial weights, its order of the
data) can be good or bad for every cell at once. Trials of different cells are then not
independent, and a bootstrap that resamples them as if they were gives intervals that are too
narrow; so does any percentile bootstrap of three seeds. Here a seed is left out with all its
trials, whichever their cells, and the spread of what is left is held against Student's
t distribution with one degree of freedom fewer than there are seeds: exact for means of normal
values, whatever the cells have in common, and close to that for smooth statistics (the jackknife:
Efron and Tibshirani 1993, chapter 11; whole clusters: Cameron and Miller 2015,
doi:10.3368/jhr.50.2.317).

The cells are what they are: an interval says nothing about other learning rates or other networks.
Where the cells themselves are a sample, `over_cells_and_seeds` leaves out cells as well.

A spread of zero is no certainty: where all seeds agree to the last digit there is no interval (its
ends are NaN), and a share has Wilson's, which has a width then.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.statistics.arguments import checked

CONFIDENCE = 0.95
SEED_SHARE = 0.3
"""Share of the variance that is a seed's in all cells, where the data cannot tell."""
POWER = 0.8
"""Chance with which the smallest detectable difference would be found."""
RELATIVE_ZERO = 1e-12
"""Spread, relative to the values, up to which it is rounding."""
DECIMALS = 12
"""To which scores are compared: 0.3 - 0.2 and 0.2 - 0.1 are equal, and so are the means of the same
numbers in another order, whatever their last bit."""

Statistic = Callable[[np.ndarray], np.ndarray]
Ends = tuple[float, float, float]
"""An estimate, and the lower and upper end of its 95% interval; NaN where there is none."""


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half of ``values`` (..., n) along the last axis.

    A quarter of the n values, rounded down, is cut at either end; below n = 4 it is the mean.

    >>> float(interquartile_mean(np.array([1, 2, 3, 4, 5, 6, 7, 800])))
    4.5
    """
    return np.asarray(stats.trim_mean(np.asarray(values, dtype=float), 0.25, axis=-1))


def mean(values: np.ndarray) -> np.ndarray:
    """Mean of ``values`` (..., n) along the last axis."""
    return np.asarray(values, dtype=float).mean(axis=-1)


@functools.lru_cache
def t_quantile(freedom: float, share: float = (1 + CONFIDENCE) / 2) -> float:
    """Of Student's t distribution at ``share``, that of both sides' 95% intervals unless given.

    >>> round(t_quantile(2), 3)
    4.303
    """
    return float(stats.t.ppf(share, freedom))


def over_seeds(
    values: np.ndarray, seeds: np.ndarray | pd.Series, statistic: Statistic = mean
) -> Ends:
    """``statistic`` of ``values`` (n,) with its 95% interval over ``seeds`` (n,).

    The mean of one value a seed has Student's interval:

    >>> [round(end, 2) for end in over_seeds(np.array([1.0, 2.0, 3.0]), np.arange(3))]
    [2.0, -0.48, 4.48]
    """
    values = np.asarray(values, dtype=float)
    estimate, variance, count = jackknife(values, np.asarray(seeds), statistic)
    return _ends(estimate, variance, count - 1)


def over_cells_and_seeds(
    values: np.ndarray, cells: np.ndarray | pd.Series, seeds: np.ndarray | pd.Series
) -> Ends:
    """The mean of ``values`` (n,) with a 95% interval over ``seeds`` (n,) and ``cells`` (n,).

    For what is said of cells in general, of which those that were run are a sample. The variances
    of both jackknives add up, which counts what only a trial has twice, so that the interval is
    rather too wide; degrees of freedom after Welch and Satterthwaite.
    """
    values = np.asarray(values, dtype=float)
    found = [jackknife(values, np.asarray(groups), mean) for groups in (cells, seeds)]
    variances = [(variance, count - 1) for _, variance, count in found if count > 1]
    total = sum(variance for variance, _ in variances)
    squares = sum(variance**2 / freedom for variance, freedom in variances)
    freedom = total**2 / squares if squares > 0 else math.nan
    return _ends(found[0][0], total, freedom)


def jackknife(
    values: np.ndarray, groups: np.ndarray, statistic: Statistic
) -> tuple[float, float, int]:
    """``statistic`` of ``values`` (n,), its variance over ``groups`` (n,), and how many there are.

    Each group is left out once with all its values. A single group has no variance (NaN).
    """
    estimate = float(statistic(values))
    names, places = np.unique(groups, return_inverse=True)
    count = len(names)
    if count < 2:
        return estimate, math.nan, count
    without = (
        _means_without(values, places, count)
        if statistic is mean
        else np.array([float(statistic(values[places != place])) for place in range(count)])
    )
    scale = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    return estimate, variance_of(without, max(abs(estimate), scale)), count


def _means_without(values: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """Mean of ``values`` (n,) without those of each of ``count`` groups, in time that grows with n.

    The sums of the groups before and after it are added: to subtract a group's own from the whole
    would lose what is small beside it.
    """
    sums = np.bincount(places, values, count)
    sizes = np.bincount(places, minlength=count)
    before = np.concatenate([[0.0], sums.cumsum()[:-1]])
    after = np.concatenate([sums[::-1].cumsum()[::-1][1:], [0.0]])
    return (before + after) / (len(values) - sizes)


def variance_of(without: np.ndarray, scale: float = 1.0) -> float:
    """Jackknife variance of an estimate from those ``without`` each of its groups (groups,).

    (G - 1) / G times the sum of squares about their mean; zero where what differs is rounding of
    numbers of the size ``scale``.
    """
    count = len(without)
    variance = (count - 1) / count * float(((without - without.mean()) ** 2).sum())
    return 0.0 if math.sqrt(variance) <= RELATIVE_ZERO * scale else variance


def left_out(estimate: float, without: np.ndarray) -> Ends:
    """``estimate`` with its 95% interval, from the estimates ``without`` each seed (seeds,)."""
    if len(without) < 2:
        return estimate, math.nan, math.nan
    return _ends(estimate, variance_of(without, abs(estimate)), len(without) - 1)


def jackknifed(frame: pd.DataFrame, statistic: Callable[[pd.DataFrame], float]) -> Ends:
    """Any ``statistic`` of a frame of trials, with its 95% interval over the column ``seed``.

    Each seed is left out with all its rows. Where the statistic is positive, with and without each
    seed, the interval is that of its logarithm: its ends are then positive too, and lie about it by
    one factor, as suits a ratio.

    >>> frame = pd.DataFrame({"seed": [0, 1], "loss": [1.0, 4.0]})
    >>> jackknifed(frame, lambda rows: rows["loss"].mean())[0]
    2.5
    """
    seeds = frame["seed"].unique()
    without = [statistic(frame[frame["seed"] != s]) for s in seeds] if len(seeds) > 1 else []
    whole = float(statistic(frame))
    if not min(whole, *without, math.inf) > 0:
        return left_out(whole, np.array(without))
    _, low, high = map(math.exp, left_out(math.log(whole), np.log(without)))
    return whole, low, high


def _ends(estimate: float, variance: float, freedom: float) -> Ends:
    if not (math.isfinite(variance) and variance > 0 and freedom > 0):
        return estimate, math.nan, math.nan
    half = t_quantile(freedom) * math.sqrt(variance)
    return estimate, estimate - half, estimate + half


def share(events: np.ndarray | pd.Series, seeds: np.ndarray | pd.Series) -> Ends:
    """Share of ``events`` (n,) that are true, with a 95% interval over ``seeds`` (n,).

    Wilson's score interval with an effective number of events: as many independent ones as would
    vary from seed to seed as these do, at least one a seed and at most all of them, reduced for
    the few degrees of freedom (Korn and Graubard 1998; for Wilson's interval Franco et al. 2019,
    doi:10.1093/jssam/smy019). Where every seed has the same share, `independent` says how many. So
    it has a width where all events agree; a single seed has none.

    >>> [round(end, 2) for end in share(np.ones(10), np.arange(10))]
    [1.0, 0.72, 1.0]
    """
    events = np.asarray(events, dtype=float)
    found, variance, count = jackknife(events, np.asarray(seeds), mean)
    return _share(found, variance, len(events), count)


def share_of_groups(found: float, without: np.ndarray, groups: int) -> Ends:
    """The share ``found`` of ``groups`` with its 95% interval, from those ``without`` each seed.

    For groups that are told by the outcomes of all of their seeds, such as configurations that
    learn on every seed. The interval is that of `share`, over the seeds (seeds,): it says how much
    would change with other seeds, and not with other groups, which are what they are. Groups that
    are fewer than the seeds count as many events as these, on which each of them rests.

    >>> [round(end, 2) for end in share_of_groups(0.9, np.array([0.8, 0.9, 0.9, 1.0]), 20)]
    [0.9, 0.33, 0.99]
    """
    count = len(without)
    variance = variance_of(without, found) if count else math.nan
    return _share(found, variance, max(groups, count), count)


def _share(found: float, variance: float, events: int, seeds: int) -> Ends:
    """The interval of `share`, of so many events on so many seeds."""
    if seeds < 2 or not math.isfinite(variance):
        return found, math.nan, math.nan
    if variance == 0:
        return wilson(found, independent(events, seeds))
    effective = min(max(found * (1 - found) / variance, seeds), events)
    return wilson(found, effective * (t_quantile(events - 1) / t_quantile(seeds - 1)) ** 2)


def independent(events: int, seeds: int) -> float:
    """As how many independent events ``events`` count that agree on all of ``seeds``.

    As many as if a seed had `SEED_SHARE` of the variance: nothing is seen of what they share.

    >>> independent(10, 10), round(independent(120, 10), 1)
    (10.0, 27.9)
    """
    return events / (1 + SEED_SHARE * (events / seeds - 1))


def left_open(events: int, seeds: int) -> float:
    """Upper end of the 95% interval of the share of other outcomes where all ``events`` agreed.

    >>> round(left_open(10, 10), 3)
    0.278
    """
    return wilson(0.0, independent(events, seeds))[2]


def unanimous(estimate: float, events: int, seeds: int) -> Ends:
    """The 95% interval of a difference of shares, from -1 to 1, that is the same in all ``events``.

    The score interval of a difference of paired shares (Tango 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B): the ``estimate`` as it
    would be if the share of others that so many events leave open had gone the other way.

    >>> [round(end, 2) for end in unanimous(1.0, 10, 10)]
    [1.0, 0.44, 1.0]
    """
    other = left_open(events, seeds)
    return estimate, estimate - other * (estimate + 1), estimate + other * (1 - estimate)


def proportion(successes: int, total: int) -> Ends:
    """Share of ``total`` independent events, with Wilson's 95% score interval.

    >>> [round(end, 3) for end in proportion(10, 10)]
    [1.0, 0.722, 1.0]

    Raises
    ------
    ValueError
        If ``0 <= successes <= total`` and ``total > 0`` do not hold.
    """
    if not 0 <= successes <= total or total <= 0:
        raise ValueError(
            "`0 <= successes <= total` and `total > 0` must hold, "
            f"but got (successes={successes}, total={total})"
        )
    found = stats.binomtest(successes, total).proportion_ci(CONFIDENCE, method="wilson")
    return successes / total, float(found.low), float(found.high)


def wilson(share: float, events: float) -> Ends:
    """Wilson's 95% score interval of a ``share`` of ``events``, which need not be a whole number.

    For whole numbers it is scipy's; that one takes no others.
    """
    square = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) ** 2
    centre = (share + square / (2 * events)) / (1 + square / events)
    spread = math.sqrt(square * (share * (1 - share) / events + square / (4 * events**2)))
    half = spread / (1 + square / events)
    return share, max(centre - half, 0.0), min(centre + half, 1.0)


@checked
def interval(
    frame: pd.DataFrame,
    value: str,
    by: Sequence[str],
    *,
    statistic: Statistic = interquartile_mean,
) -> pd.DataFrame:
    """Columns ``by``, ``trials``, ``estimate``, ``low``, ``high``: ``value`` by group, over seeds.

    The ``estimate`` is the interquartile mean unless another ``statistic`` is named: without the
    best and the worst quarter of a group's trials, so that over several learning rates those that
    exploded may be among what is left out. For means, as `outcome_means` and `paired_comparison`
    have them, name `mean`. A column of True and False gets the interval of a share.

    >>> frame = pd.DataFrame({"rule": "a", "seed": range(4), "accuracy": [0.0, 0.75, 0.75, 1.0]})
    >>> interval(frame, "accuracy", ["rule"])["estimate"].tolist()
    [0.75]
    >>> interval(frame, "accuracy", ["rule"], statistic=mean)["estimate"].tolist()
    [0.625]
    """
    events = pd.api.types.is_bool_dtype(frame[value])
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        values, seeds = group[value].to_numpy(), group["seed"].to_numpy()
        found = share(values, seeds) if events else over_seeds(values, seeds, statistic)
        rows.append((*key, len(group), *found))
    return pd.DataFrame(rows, columns=[*by, "trials", "estimate", "low", "high"])


@checked
def performance_profile(
    frame: pd.DataFrame,
    value: str,
    by: Sequence[str],
    thresholds: Sequence[float] | np.ndarray,
) -> pd.DataFrame:
    """Columns ``by``, ``threshold``, ``estimate``, ``low``, ``high``: the share above a threshold.

    For each group the share of runs whose ``value`` exceeds the threshold, first within each
    cell and then averaged over the cells, so that every cell counts the same whatever its
    number of seeds (Agarwal et al. 2021, 2108.13264, eq. 1); the intervals are pointwise, over
    seeds.
    """
    levels = np.asarray(thresholds, dtype=float)
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        above = group[value].to_numpy(dtype=float)[:, None] > levels
        labels, seeds = group["cell"], group["seed"].to_numpy()
        weights = (1 / labels.map(labels.value_counts()) / labels.nunique()).to_numpy()
        estimates = weights @ above
        # cells of unlike numbers of seeds weigh otherwise than trials do
        moved = estimates - above.mean(axis=0)
        ends = np.array([share(column, seeds)[1:] for column in above.T]) + moved[:, None]
        # a share above a higher threshold is no larger, and neither are its ends
        ends = np.minimum.accumulate(ends.clip(0.0, 1.0)[np.argsort(levels)])[_ranks(levels)]
        for found in zip(levels, estimates, *ends.T, strict=True):
            rows.append((*key, *map(float, found)))
    return pd.DataFrame(rows, columns=[*by, "threshold", "estimate", "low", "high"])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Place of each of ``values`` (n,) in ascending order."""
    return np.argsort(np.argsort(values))


def smallest_detectable(differences: np.ndarray, seeds: np.ndarray | pd.Series) -> float:
    """Smallest true difference that a comparison like this one finds four times out of five.

    (t(0.975) + t(0.8)) standard errors of the mean of ``differences`` (n,) over ``seeds`` (n,),
    with one degree of freedom fewer than seeds; NaN for a single seed or without any spread.
    """
    _, variance, count = jackknife(np.asarray(differences, float), np.asarray(seeds), mean)
    if not (count > 1 and math.isfinite(variance) and variance > 0):
        return math.nan
    found = t_quantile(count - 1) + t_quantile(count - 1, POWER)
    return found * math.sqrt(variance)
