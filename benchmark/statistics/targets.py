"""What it takes to reach a target accuracy, and where larger batches stop paying."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

COSTS = ("steps", "samples", "seconds")
PAYS = 2.0
"""Times the least number of examples up to which a larger batch still pays: at the critical batch
size of McCandlish et al. 2018 (1812.06162) half of the examples are wasted."""


def costs_to_target(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with ``steps``, ``samples`` and ``seconds`` up to the target; infinite if missed.

    The target is the data set's, in validation accuracy at a checkpoint. Seconds are a trial's
    time in proportion to the examples that it had seen by then.
    """
    samples = frame["samples_to_target"].astype(float)
    share = samples / frame["samples"].astype(float)
    costs = {
        "steps": frame["steps_to_target"].astype(float),
        "samples": samples,
        "seconds": frame["seconds"].astype(float) * share,
    }
    return frame.assign(**{name: value.fillna(np.inf) for name, value in costs.items()})


def cheapest(frame: pd.DataFrame, by: Sequence[str], over: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``over``, ``trials``, ``reached``; each cost, with ``_low`` and ``_high``.

    For each group the level of ``over`` (the learning rate) whose trials reach the target with the
    fewest examples in the median; its median costs, with the least and the greatest of its trials,
    and the share that reached the target. Groups in which the median trial never does have no row.
    """
    costs = costs_to_target(frame)
    groups = costs.groupby([*by, *over], sort=False, dropna=False)
    table = groups[list(COSTS)].median()
    for name in COSTS:
        table[f"{name}_low"] = groups[name].min()
        table[f"{name}_high"] = groups[name].max()
    table["trials"] = groups.size()
    table["reached"] = groups["samples"].agg(lambda values: np.isfinite(values).mean())
    ranked = table.reset_index().sort_values(["samples", *over], kind="stable")
    best = ranked.drop_duplicates(list(by))
    return best[np.isfinite(best["samples"])].sort_values(
        list(by), kind="stable", ignore_index=True
    )


def knee(costs: pd.DataFrame) -> float:
    """Largest batch size that needs at most twice the least number of examples; NaN without any.

    ``costs`` has the columns ``batch_size`` and ``samples``, a row a batch size.
    """
    pays = costs[costs["samples"] <= PAYS * costs["samples"].min()]
    return float(pays["batch_size"].max()) if len(pays) else float("nan")


def scaled_rates(ranges: pd.DataFrame) -> pd.DataFrame:
    """``ranges`` with the rates of both rules and whether they are good: ``linear``, ``root``.

    ``ranges`` has the columns ``batch_size``, ``best_rate``, ``low_rate`` and ``high_rate``, a row
    a batch size, as `benchmark.statistics.stable_range` gives them. Both rules start from the best
    rate of the smallest batch; ``linear_good`` and ``root_good`` say whether their rate lies
    within the range of rates that are within one point of the best.
    """
    rows = ranges.sort_values("batch_size", kind="stable").reset_index(drop=True)
    ratio = rows["batch_size"] / rows["batch_size"].iloc[0]
    start = rows["best_rate"].iloc[0]
    for name, factor in (("linear", ratio), ("root", np.sqrt(ratio))):
        rate = start * factor
        # a grid of powers of two is met exactly, up to the last bit
        good = (rate >= rows["low_rate"] * 0.999) & (rate <= rows["high_rate"] * 1.001)
        rows = rows.assign(**{name: rate, f"{name}_good": good})
    return rows
