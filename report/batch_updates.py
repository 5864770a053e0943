"""How much data an update should have, and whether that should change."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pandas as pd

from benchmark.statistics import best_per_arm, paired_comparison, stable_range
from benchmark.statistics.noise import noise_quartiles
from benchmark.statistics.rates import with_edges
from benchmark.statistics.targets import (
    costs_to_target,
    critical_size,
    saved_per_doubling,
    scaled_rates,
    trade,
)
from report.evidence import Evidence, by_budget, where

FIXED = "fixed"
UNCHANGING = (FIXED, "full", "accumulate")
"""Policies under which the size of an update does not change."""
CONSTANT = "constant"
"""The schedule of every trial but those of the first size with a rate that decays."""


def _map(study: Evidence) -> pd.DataFrame:
    frame = where(study.mapped, schedule=CONSTANT, batch_policy=FIXED)
    return frame[frame["train_fraction"] == frame["train_fraction"].max()]


def fixed_sizes(study: Evidence) -> pd.DataFrame:
    """The map of fixed batch sizes over the same rates, on the whole training set, by budget."""
    return by_budget(_map(study))


def sizes_compared(study: Evidence) -> pd.DataFrame:
    """The map of fixed sizes at equal examples alone, of either study that has one."""
    return _map(study).dropna(subset=["epochs"])


@functools.lru_cache(8)
def costs(study: Evidence) -> pd.DataFrame:
    """What the target costs at each batch size, at the rate that gets there soonest: `trade`.

    ``edge`` says whether that rate lies on the edge of those that were tried.
    """
    tried = sizes_compared(study)
    return with_edges(trade(tried, ["model"]), tried, ["model", "batch_size"])


@functools.lru_cache(8)
def answers(study: Evidence) -> list[dict[str, Any]]:
    """By ``model`` up to which batch size larger ones pay, as ``study`` has it.

    ``critical``, ``low``, ``high`` of `critical_size`; ``below`` and ``beyond``: by what doubling
    the batch size divides the updates, in the mean over the doublings up to the critical size and
    over those after it (NaN without any); ``costs``, its rows of `costs`; ``rules``, its rows of
    `rules`; ``noise``, ``noise_low``, ``noise_high``: median and quartiles of the noise scale over
    the checkpoints up to the target.
    """
    frame, found = sizes_compared(study), costs(study)
    ruled = dict(iter(rules(study).groupby("model", sort=False)))
    out = []
    for row in critical_size(frame, ["model"]).to_dict("records"):
        rows, critical = found[found["model"] == row["model"]], row.pop("estimate")
        small = rows["batch_size"] <= critical
        last = rows[small].tail(1)
        parts = rows[small], pd.concat([last, rows[~small]])
        below, beyond = (saved_per_doubling(part) for part in parts)
        about = {"critical": critical, "below": below, "beyond": beyond, "costs": rows}
        out.append(row | about | {"rules": ruled[row["model"]]} | _noise(study, frame, rows))
    return out


def critical(study: Evidence) -> pd.DataFrame:
    """The numbers of `answers`, a row a model: ``critical``, ``noise`` and what belongs to them."""
    return pd.DataFrame(answers(study)).drop(columns=["costs", "rules"], errors="ignore")


def _noise(study: Evidence, frame: pd.DataFrame, costs: pd.DataFrame) -> dict[str, Any]:
    """Median and quartiles of the noise scale on the way to the target, at the cheapest rates."""
    chosen = frame.merge(costs[["model", "batch_size", "learning_rate"]])
    history = study.results.history[["trial", "samples", "noise_scale"]]
    rows = history.merge(chosen[["trial", "model", "samples_to_target"]], on="trial")
    rows = rows[rows["samples"] <= rows["samples_to_target"].astype(float)]
    found = noise_quartiles(rows, ["model"]).drop(columns="model").to_dict("records")
    return found[0] if found else dict.fromkeys(("noise", "noise_low", "noise_high"), math.nan)


@functools.lru_cache(8)
def rules(study: Evidence) -> pd.DataFrame:
    """Best rate at each batch size at equal examples, and what the two rules for it say."""
    ranges = stable_range(sizes_compared(study), ["model", "batch_size"])
    return pd.concat([scaled_rates(rows) for _, rows in ranges.groupby("model", sort=False)])


def holds(rules: pd.DataFrame, rule: str) -> dict[str, float]:
    """Up to which batch size a ``rule`` (linear, root) is good: ``last``, and the ``first`` not.

    Both are batch sizes; ``first`` is NaN where it is good at every size.
    """
    bad = rules.loc[~rules[f"{rule}_good"], "batch_size"]
    first = float(bad.min()) if len(bad) else math.nan
    good = (
        rules["batch_size"]
        if math.isnan(first)
        else rules["batch_size"][rules["batch_size"] < first]
    )
    return {"last": float(good.max()), "first": first}


CHOSEN = [
    *("learning_rate", "batch_size", "learning_rate_scaling", "batch_policy_parameter"),
    *("epochs", "updates"),
]
"""What validation chooses for each policy."""
GROWING = ("doubling", "grow_instead_of_decay")
"""Policies that grow the batch at set times, as a schedule lowers the rate."""
DECAY = " decay"
"""Behind the name of a schedule in that of an arm: a fixed size whose rate decays."""


def _beside_policies(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows on the share of the training set on which the policies were run, by budget.

    A fixed size with a rate that decays is an arm of its own, named by its schedule.
    """
    changing = rows.loc[~rows["batch_policy"].isin(UNCHANGING), "train_fraction"]
    here = rows[rows["train_fraction"].isin(changing.unique())]
    decays = here["batch_policy"].eq(FIXED) & here["schedule"].ne(CONSTANT)
    named = here["batch_policy"].where(~decays, here["schedule"] + DECAY)
    return by_budget(here.assign(batch_policy=named))


@functools.lru_cache(8)
def arms(study: Evidence) -> pd.DataFrame:
    """Every policy, and the fixed size, at the settings that validation chooses for it.

    Of the share of the training set on which the policies were run that change the size.
    """
    frame = _beside_policies(study.outcomes)
    # settings that some trials do not have
    missing = ("batch_policy_parameter", "epochs", "updates")
    filled = frame.assign(**{column: frame[column].fillna(-1.0) for column in missing})
    return best_per_arm(filled, ["model", "batch_policy"], CHOSEN)


@functools.lru_cache(8)
def against_fixed(study: Evidence) -> pd.DataFrame:
    """Each policy's best, and each decay's, against the best fixed size at a constant rate.

    Paired by seed. The columns of `paired_comparison`, and ``model``.
    """
    return _paired(arms(study), FIXED)


def _paired(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    ignore = [*CHOSEN, "schedule", "arm"]
    return paired_comparison(rows, "batch_policy", baseline, by=["model"], ignore=ignore)


def decays(study: Evidence) -> list[str]:
    """The arms whose size is fixed and whose rate decays."""
    named = arms(study)["batch_policy"].drop_duplicates()
    return list(named[named.str.endswith(DECAY)])


@functools.lru_cache(8)
def against_decay(study: Evidence) -> pd.DataFrame:
    """Each policy that changes the batch against a fixed size whose rate decays, paired by seed.

    Validation chooses among the schedules, too, and the chosen one is the ``baseline``. A batch
    that grows is to do what a rate that decays does (Smith et al. 2018, 1711.00489).
    """
    rows, decaying = arms(study), decays(study)
    best = best_per_arm(where(rows, batch_policy=decaying), ["model"], ["batch_policy"])
    changing = rows[~rows["batch_policy"].isin([*UNCHANGING, *decaying])]
    names = best.groupby("model")["batch_policy"].first()
    found = _paired(pd.concat([changing, best.assign(batch_policy=DECAY)]), DECAY)
    return found.assign(baseline=found["model"].map(names))


def chosen(study: Evidence) -> pd.DataFrame:
    """What each policy chose, its accuracy, and what it cost to the target."""
    by = ["model", "batch_policy", "batch_size"]
    rows = with_edges(costs_to_target(arms(study)), _beside_policies(study.tried), by)
    rows = rows.assign(reached=np.isfinite(rows["samples"]))
    firsts = ["learning_rate", "edge", "batch_size", "learning_rate_scaling"]
    found = rows.groupby(["model", "batch_policy"], sort=False).agg(
        dict.fromkeys(firsts, "first")
        | dict.fromkeys(["accuracy", "reached"], "mean")
        | dict.fromkeys(["steps", "samples"], "median")
    )
    return found.reset_index()


def scalings(study: Evidence) -> pd.DataFrame:
    """How the rate should follow a size that changes: mean over the changing policies."""
    frame = by_budget(study.outcomes)
    changing = frame[~frame["batch_policy"].isin(UNCHANGING)]
    best = best_per_arm(changing, ["model", "batch_policy", "learning_rate_scaling"])
    means = best.groupby("learning_rate_scaling", sort=False)[["accuracy", "exploded"]].mean()
    return means.reset_index()


def sizes_over_training(study: Evidence) -> pd.DataFrame:
    """History of the changing policies' best settings, with the ``share`` of the budget used."""
    rows = arms(study)
    rows = rows[~rows["batch_policy"].isin([*UNCHANGING, *decays(study)])]
    rows = study.results.history.merge(rows[["trial", "model", "batch_policy"]], on="trial")
    rows = rows[rows["step"] > 0]
    budget = rows.groupby("trial")["samples"].transform("max").astype(float)
    rows = rows.assign(share=rows["samples"] / budget)
    # what is left at the end decides the size of the last updates, not the policy
    return rows[rows["share"] < 0.99]
