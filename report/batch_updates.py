"""How much data an update should have, and whether that should change."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import policies
from benchmark.statistics.policies import FIXED
from benchmark.statistics.rates import with_edges
from benchmark.statistics.selection import where
from benchmark.statistics.targets import (
    rules_for_rate,
    rules_over_starts,
    trade,
    where_larger_batches_pay,
)
from report.evidence import Evidence, by_budget
from report.prose import Row, records

GROWING = ("doubling", "grow_instead_of_decay")
"""Policies that grow the batch at set times, as a schedule lowers the rate."""


def _map(study: Evidence) -> pd.DataFrame:
    frame = where(study.mapped, schedule="constant", batch_policy=FIXED)
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
def rules(study: Evidence) -> pd.DataFrame:
    """Best rate at each batch size at equal examples, and what the two rules for it say."""
    return rules_for_rate(sizes_compared(study), ["model"])


@functools.lru_cache(8)
def starts(study: Evidence) -> pd.DataFrame:
    """`rules_over_starts` at equal examples, of each ``model``."""
    groups = sizes_compared(study).groupby("model", sort=False)
    return pd.concat([rules_over_starts(rows).assign(model=model) for model, rows in groups])


@functools.lru_cache(8)
def critical(study: Evidence) -> pd.DataFrame:
    """`where_larger_batches_pay`, a row a model."""
    return where_larger_batches_pay(sizes_compared(study), study.results.history, ["model"])


def answers(study: Evidence) -> list[Row]:
    """The rows of `critical`, each with its rows of `costs`, of `rules` and of `starts`."""
    tables = {"costs": costs(study), "rules": rules(study), "starts": starts(study)}
    return [
        row | {name: where(table, model=row["model"]) for name, table in tables.items()}
        for row in map(dict, records(critical(study)))
    ]


@functools.lru_cache(8)
def arms(study: Evidence) -> pd.DataFrame:
    """Every policy, and the fixed size, at the settings that validation chooses for it."""
    return policies.best_policies(by_budget(policies.beside_policies(study.outcomes)))


@functools.lru_cache(8)
def against_fixed(study: Evidence) -> pd.DataFrame:
    """Each policy's best, and each decay's, against the best fixed size at a constant rate."""
    return policies.against_fixed_size(arms(study))


def at_one_rate(study: Evidence) -> pd.DataFrame:
    """Policies that grow the batch against a fixed size at each rate that both were run at."""
    frame = by_budget(policies.beside_policies(study.outcomes))
    return where(policies.against_fixed_at_one_rate(frame), level=list(GROWING))


@functools.lru_cache(8)
def against_decay(study: Evidence) -> pd.DataFrame:
    """Each policy that changes the batch against a fixed size whose rate decays."""
    return policies.against_decay(arms(study))


def decays(study: Evidence) -> list[str]:
    """The arms whose size is fixed and whose rate decays."""
    return policies.decaying(arms(study))


def lowered_rates(study: Evidence) -> pd.DataFrame:
    """Policies that change the batch and lower the rate, too."""
    return policies.lowered_rates(arms(study), study.results.history)


def final_sizes(study: Evidence) -> pd.DataFrame:
    """Median batch sizes by model and policy: the ``first``, and the ``last`` at a checkpoint."""
    rows = policies.sizes_over_training(arms(study), study.results.history).sort_values("samples")
    last = rows.drop_duplicates("trial", keep="last").rename(columns={"batch_size": "last"})
    first = arms(study)[["trial", "batch_size"]].rename(columns={"batch_size": "first"})
    ends = last[["trial", "model", "batch_policy", "last"]].merge(first, on="trial")
    by = ["model", "batch_policy"]
    return ends.groupby(by, sort=False)[["first", "last"]].median().reset_index()


def chosen(study: Evidence) -> pd.DataFrame:
    """What each policy chose, its accuracy, and what it cost to the target."""
    tried = by_budget(policies.beside_policies(study.tried))
    return policies.policy_costs(arms(study), tried)
