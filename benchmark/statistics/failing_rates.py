"""From which learning rate on training fails, of levels that were all run at the same rates.

The rate at which half of the trainings fail is estimated as a dose at which half of the subjects
respond: by the method of Spearman and Kärber, the mean over seeds of the limit that each of them
has, on the logarithm of the rate (Hamilton, Russo and Thurston 1977, doi:10.1021/es60130a004).
Between two rates that were run a limit may lie anywhere, however well the seeds agree, so that no
interval is narrower than 95% of those places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.seeds import CONFIDENCE, Ends, over_seeds
from benchmark.statistics.spans import at_least

ONE_LIMIT = CONFIDENCE / 2
"""Steps of the rates to either side of a limit that may lie anywhere between two of them, in which
95% of its places are: of a uniform distribution, one step wide."""
TWO_LIMITS = 1 - math.sqrt(1 - CONFIDENCE)
"""The same of a difference of two such limits: of a triangular distribution, two steps wide."""
FOUR_LIMITS = 2 - (12 * (1 - CONFIDENCE)) ** 0.25
"""The same of a difference of two such differences: a sum of four uniform distributions, whose
density beyond one step from its middle is (2 - x)^3 / 6."""


def decades_of(rates: Iterable[float]) -> pd.Series:
    """The decades that each of ``rates`` stands for: half of the way to either neighbour.

    By rate, ascending; together they are as long as the rates reach. A seed's decades without
    failure, summed, end half way between the last rate that trains and the first that fails.

    >>> decades_of([0.1, 1.0, 10.0]).to_dict()
    {0.1: 0.5, 1.0: 1.0, 10.0: 0.5}
    """
    distinct = sorted(set(rates))
    places = np.log10(distinct)
    middles = (places[1:] + places[:-1]) / 2
    return pd.Series(np.diff([places[0], *middles, places[-1]]), index=distinct)


def failing_rates(
    frame: pd.DataFrame, by: Sequence[str], level: str, event: str = "diverged"
) -> pd.DataFrame:
    """The learning rate at which half of the seeds fail, at each ``level``.

    Parameters
    ----------
    frame
        `outcomes` of all levels over learning rates. In each group those rates count that every
        level was run at, and of each level the seeds that were run at all of these.
    by, level
        Columns of the groups, and the numbers that are compared within each: batch sizes, say.
    event
        What counts as failing, a column of 0 and 1: ``diverged``, ``exploded``.

    Returns
    -------
    DataFrame
        A row for each group and level, which ascend: ``by``, ``level``, and

        - ``rate``, the geometric mean over seeds of the rate at which each begins to fail: half way
          on the logarithm between two neighbours, the last at which it trains and the first at
          which it fails. ``low`` and ``high`` are a 95% interval over seeds, reaching at least
          `ONE_LIMIT` steps of the rates to either side;
        - ``times``, that over the one of the smallest level, with ``times_low`` and ``times_high``,
          paired by seed and reaching at least `TWO_LIMITS` steps to either side; 1 and NaN at the
          smallest level itself;
        - ``last_safe``, the largest rate up to which no seed fails (NaN where one fails at the
          smallest), and ``first_lost``, the least one from which on all do (infinite where one does
          not at the largest);
        - ``edge``, whether a limit may lie beyond the rates that were run: ``low`` or ``high``,
          else empty; and ``seeds``.

        With a single seed, intervals are NaN. Groups without two levels, or whose levels share no
        two rates, have no row.

    >>> sizes, rates = [8] * 3 + [64] * 3, [0.1, 1.0, 10.0] * 2
    >>> frame = pd.DataFrame({"model": "mlp", "batch_size": sizes, "learning_rate": rates})
    >>> frame = frame.assign(seed=0, diverged=[0, 1, 1, 0, 0, 1])
    >>> found = failing_rates(frame, ["model"], "batch_size")
    >>> found[["batch_size", "rate", "times", "last_safe"]].round(2).values.tolist()
    [[8.0, 0.32, 1.0, 0.1], [64.0, 3.16, 10.0, 1.0]]
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        runs, spacing = runs_at_shared_rates(group, level, event)
        limits = {name: _limits(failed) for name, failed in runs.items()}
        for name, own in limits.items():
            smallest = next(iter(limits.values()))
            apart = (own - smallest).dropna() if own is not smallest else own.iloc[:0]
            failed = runs[name]
            rows.append(
                (
                    *(*key, name, *_powers(own, ONE_LIMIT * spacing)),
                    *(
                        _powers(apart, TWO_LIMITS * spacing)
                        if len(apart)
                        else (1.0, math.nan, math.nan)
                    ),
                    *_ends_of(failed.max(), failed.min()),
                    *(_edge(failed), len(own)),
                )
            )
    names = ["rate", "low", "high", "times", "times_low", "times_high", "last_safe", "first_lost"]
    return pd.DataFrame(rows, columns=[*by, level, *names, "edge", "seeds"])


def _tables(group: pd.DataFrame, level: str, event: str) -> Iterable[tuple[object, pd.DataFrame]]:
    """Each level with its share of failures by seed and rate, of the seeds of all its rates."""
    for name, rows in group.groupby(level, sort=True):
        table = rows.pivot_table(event, "seed", "learning_rate", dropna=False).astype(float)
        # a study that is not complete yet has seeds that lack a rate, or rates that lack seeds
        whole = table.dropna()
        yield name, whole if len(whole) else table.dropna(axis="columns")


def _limits(failed: pd.DataFrame) -> pd.Series:
    """The logarithm (base 10) of each seed's limit, of shares of failures by seed and rate."""
    rates = failed.columns.to_numpy(dtype=float)
    return math.log10(rates[0]) + ((1 - failed) * decades_of(rates)).sum(axis="columns")


def _powers(logs: pd.Series, least: float) -> Ends:
    """Ten to the mean of ``logs``, with its interval, no narrower than ``least`` decades."""
    ends = over_seeds(logs.to_numpy(), logs.index.to_numpy())
    wide = at_least(ends, least, seeds=len(logs), least=-math.inf)
    estimate, low, high = (10.0**end for end in wide)
    return estimate, low, high


def _ends_of(most: pd.Series, least: pd.Series) -> tuple[float, float]:
    """The last rate before any seed fails, and the first from which on all do."""
    safe = most.index[most.eq(0).cummin()]
    lost = least.index[least.eq(1)[::-1].cummin()[::-1]]
    return (
        float(safe[-1]) if len(safe) else math.nan,
        float(lost[0]) if len(lost) else math.inf,
    )


def _edge(failed: pd.DataFrame) -> str:
    """Where a limit may lie beyond the rates: below them, above them, or nowhere."""
    if failed.iloc[:, 0].any():
        return "low"
    return "" if failed.iloc[:, -1].eq(1).all() else "high"


def limits_by_seed(
    frame: pd.DataFrame, level: str, event: str = "diverged"
) -> tuple[pd.DataFrame, float]:
    """log10 of the rate at which each seed begins to fail, by seed and ``level`` (columns).

    Of one group of `failing_rates`, and the most decades between neighbours of the rates that all
    levels share. Seeds that lack a level are left out; without two levels or rates it is empty.

    >>> sizes, rates = [8] * 3 + [64] * 3, [0.1, 1.0, 10.0] * 2
    >>> frame = pd.DataFrame({"batch_size": sizes, "learning_rate": rates})
    >>> frame = frame.assign(seed=0, diverged=[0, 1, 1, 0, 0, 1])
    >>> limits, spacing = limits_by_seed(frame, "batch_size")
    >>> limits.values.tolist(), spacing
    ([[-0.5, 0.5]], 1.0)
    """
    runs, spacing = runs_at_shared_rates(frame, level, event)
    limits = pd.DataFrame({name: _limits(failed) for name, failed in runs.items()})
    return limits.dropna(), spacing


def runs_at_shared_rates(
    group: pd.DataFrame, level: str, event: str
) -> tuple[dict[object, pd.DataFrame], float]:
    """Each ``level`` with its failures by seed and rate, at the rates that all of them share.

    Levels ascend. The second is the most decades between neighbours of these rates. Empty and NaN
    without two levels that share two rates.
    """
    runs = {name: rows.dropna(axis="columns") for name, rows in _tables(group, level, event)}
    shared = sorted(set.intersection(*(set(run.columns) for run in runs.values())))
    if len(runs) < 2 or len(shared) < 2:
        return {}, math.nan
    spacing = float(np.diff(np.log10(shared)).max())
    return {name: run[shared] for name, run in runs.items()}, spacing


def times_beside(
    frame: pd.DataFrame, beside: str, baseline: object, level: str, event: str = "diverged"
) -> pd.DataFrame:
    """Whether another factor, ``beside``, takes away what the ``level`` does to the limit.

    ``frame`` has `outcomes` of all levels at each level of ``beside``, each over rates of its own,
    on the same seeds. A row for each level of ``beside``: ``times``, the limit of the largest
    ``level`` over that of the smallest (see `failing_rates`), and ``change``, that over the
    ``times`` of the ``baseline``, below 1 where the level matters less. Both have a 95% interval
    over seeds, ``..._low`` and ``..._high``, that reaches at least `TWO_LIMITS` and `FOUR_LIMITS`
    steps of the rates to either side; the baseline's own change is 1, and NaN.

    >>> runs = {"no": [0, 1, 1, 0, 0, 1], "yes": [0, 0, 1, 0, 0, 1]}
    >>> frame = pd.DataFrame({"diverged": runs["no"] + runs["yes"], "seed": 0})
    >>> frame = frame.assign(learning_rate=[0.1, 1, 10] * 4, batch_size=([8] * 3 + [64] * 3) * 2)
    >>> frame = frame.assign(clip=["no"] * 6 + ["yes"] * 6)
    >>> found = times_beside(frame, "clip", "no", "batch_size")
    >>> found[["clip", "times", "change"]].round(2).values.tolist()
    [['no', 10.0, 1.0], ['yes', 1.0, 0.1]]
    """
    apart: dict[object, tuple[pd.Series, float]] = {}
    for name, rows in frame.groupby(beside, sort=False):
        limits, spacing = limits_by_seed(rows, level, event)
        if len(limits):
            apart[name] = (limits.iloc[:, -1] - limits.iloc[:, 0], spacing)
    of_baseline, step = apart.get(baseline, (pd.Series(dtype=float), math.nan))
    found = []
    for other, (own, spacing) in apart.items():
        changes = (own - of_baseline).dropna() if other != baseline else own.iloc[:0]
        least = FOUR_LIMITS * max(spacing, step)
        change = _powers(changes, least) if len(changes) else (1.0, math.nan, math.nan)
        found.append((other, *_powers(own, TWO_LIMITS * spacing), *change, len(own)))
    ends = [f"{part}{end}" for part in ("times", "change") for end in ("", "_low", "_high")]
    return pd.DataFrame(found, columns=[beside, *ends, "seeds"])


def levels_off(rates: pd.DataFrame, level: str = "batch_size") -> float:
    """Up to which ``level`` the limit grows at least as the square root of the level does.

    ``rates`` are rows of `failing_rates`, of one group. It is the smallest level beyond which the
    limit grows more slowly than that, to each of the larger ones; the largest, where there is none.

    >>> rates = pd.DataFrame({"batch_size": [8, 32, 128, 512], "rate": [0.2, 0.7, 0.7, 1.0]})
    >>> levels_off(rates)
    32.0
    """
    rows = rates.sort_values(level)
    sizes, limits = (rows[column].to_numpy(dtype=float) for column in (level, "rate"))
    for place, size in enumerate(sizes):
        root = limits[place] * np.sqrt(sizes[place + 1 :] / size)
        if (limits[place + 1 :] < root).all():
            return float(size)
    raise ValueError("`rates` must have a row")
