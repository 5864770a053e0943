"""What it takes to reach a target accuracy, and where larger batches stop paying."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.noise import noise_quartiles

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


def critical_batch_sizes(
    costs: pd.DataFrame, trials: pd.DataFrame, history: pd.DataFrame, by: Sequence[str] = ("model",)
) -> pd.DataFrame:
    """Columns ``by``, ``knee``, ``reach``, ``noise``, ``noise_low``, ``noise_high``.

    Up to which batch size larger batches pay. ``costs`` is what `cheapest` gives of ``trials`` by
    group, batch size and learning rate. ``knee`` is its `knee`. A target is seen at a checkpoint,
    and may have been reached at any step since the one before it: ``reach`` is the largest batch
    size that may need at most twice the least number of examples all the same. Beside them the
    quartiles of the noise scale (`benchmark.statistics.noise.noise_quartiles`) over all checkpoints
    of the trials at the cheapest rates, which theory expects to be of that size.
    """
    cell = [*by, "batch_size"]
    chosen = trials.merge(costs[[*cell, "learning_rate"]])
    earliest = costs.merge(_before_target(history, chosen, cell), on=cell, how="left")
    least = earliest.groupby(list(by))["samples"].transform("min")
    pays = earliest[earliest["since"].fillna(0.0) <= PAYS * least]
    reach = pays.groupby(list(by))["batch_size"].max().astype(float).rename("reach")
    knees = [(*key, knee(rows)) for key, rows in costs.groupby(list(by), sort=False)]
    found = pd.DataFrame(knees, columns=[*by, "knee"]).merge(reach.reset_index(), on=list(by))
    noise = noise_quartiles(history.merge(chosen[["trial", *by]], on="trial"), by)
    return found.merge(noise, on=list(by), how="left")


def _before_target(
    history: pd.DataFrame, chosen: pd.DataFrame, cell: Sequence[str]
) -> pd.DataFrame:
    """By ``cell`` the median examples ``since`` which a trial may have reached the target."""
    reached = chosen["samples_to_target"].notna()
    ends = chosen.loc[reached, ["trial", *cell, "samples_to_target"]]
    rows = history[["trial", "samples"]].merge(ends, on="trial")
    last = rows[rows["samples"] < rows["samples_to_target"]].groupby("trial")["samples"].max()
    # none before: at some step since the start
    ends = ends.assign(since=ends["trial"].map(last).fillna(0).astype(float))
    return ends.groupby(list(cell))["since"].median().reset_index()
