"""How much data an update should have, and whether that should change."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics import best_per_arm, paired_comparison, stable_range
from benchmark.statistics.rates import with_edges
from benchmark.statistics.targets import (
    cheapest,
    costs_to_target,
    critical_batch_sizes,
    scaled_rates,
)
from report.evidence import Evidence, by_budget, where

FIXED = "fixed"
UNCHANGING = (FIXED, "full", "accumulate")
"""Policies under which the size of an update does not change."""
CONSTANT = "constant"
"""The schedule of every trial but those of the first size with a rate that decays."""


def fixed_sizes(study: Evidence) -> pd.DataFrame:
    """The map of fixed batch sizes over the same rates, on the whole training set."""
    frame = where(study.mapped, schedule=CONSTANT)
    whole = frame["train_fraction"] == frame["train_fraction"].max()
    return by_budget(frame[whole & frame["batch_policy"].eq(FIXED)])


@functools.lru_cache(8)
def costs(study: Evidence) -> pd.DataFrame:
    """What the target costs at each batch size, at the rate that gets there soonest.

    ``edge`` says whether that rate lies on the edge of those that were tried.
    """
    by, tried = ["model", "batch_size"], fixed_sizes(study)
    return with_edges(cheapest(tried, by, ["learning_rate"]), tried, by)


@functools.lru_cache(8)
def knees(study: Evidence) -> pd.DataFrame:
    """Up to which size larger batches pay, and the noise scale, by ``model``."""
    return critical_batch_sizes(costs(study), fixed_sizes(study), study.results.history)


@functools.lru_cache(8)
def rules(study: Evidence) -> pd.DataFrame:
    """Best rate at each batch size and what the linear and square-root rules say."""
    ranges = stable_range(fixed_sizes(study), ["model", "batch_size"])
    return pd.concat([scaled_rates(rows) for _, rows in ranges.groupby("model", sort=False)])


def answers(study: Evidence) -> list[dict[str, object]]:
    """By ``model`` its row of `knees` and its ``rules``, each None where there is none.

    With the row of knees the costs at the ``small``est and at the ``large``st batch size.
    """
    costly = {row["model"]: row for row in knees(study).to_dict("records")}
    for model, rows in costs(study).groupby("model", sort=False):
        costly[model] |= {"small": rows.iloc[0], "large": rows.iloc[-1]}
    ruled = dict(iter(rules(study).groupby("model", sort=False)))
    models = dict.fromkeys([*costly, *ruled])
    return [{"model": m, "knee": costly.get(m), "rules": ruled.get(m)} for m in models]


CHOSEN = [
    *("learning_rate", "batch_size", "learning_rate_scaling", "batch_policy_parameter"),
    *("epochs", "updates"),
]
"""What validation chooses for each policy."""
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
