"""The search against the grid."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics import (
    best_so_far,
    expected_best_curve,
    holm,
    interval,
    mean,
    paired_comparison,
)
from report.evidence import Evidence, where

CONFIRM = "confirm:"
ANY = [c for c in CONFIGURATION if c not in ("dataset", "model", "seed", "arm")]
"""What two winners may differ in: everything that was searched."""


def grid_best(grid: Evidence | None) -> pd.DataFrame:
    """Columns ``model``, ``objective``, ``trials``: the grid's best cell by its mean objective."""
    if grid is None:
        return pd.DataFrame({"model": [], "objective": [], "trials": []})
    losses = grid.outcomes.groupby(["model", "cell"])["objective"].mean()
    counts = grid.outcomes.groupby("model").size()
    best = {"objective": losses.groupby("model").min(), "trials": counts}
    return pd.DataFrame(best).reset_index()


def searched(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the ``rows`` of trials or best objectives those of the searches, not the confirmations."""
    return rows[~rows["arm"].str.startswith(CONFIRM)]


def progress(study: Evidence) -> pd.DataFrame:
    """The best objective so far of each search, without the confirmations."""
    return searched(best_so_far(study.results.plan, study.results.trials))


RESAMPLED = ("random", "quasi-random", "grid-random")
"""Samplers whose trials do not depend on earlier ones, so that any order of them is as likely."""
GRID = "grid cells"


def paths(study: Evidence) -> pd.DataFrame:
    """`progress` of the samplers whose trials depend on earlier ones: one run each."""
    rows = progress(study)
    return rows[~rows["arm"].isin(RESAMPLED)]


@functools.lru_cache(8)
def pool(study: Evidence, grid: Evidence | None) -> pd.DataFrame:
    """Trials that may come in any order: those of `RESAMPLED`, and the grid's on the same seed.

    Columns ``model``, ``arm`` (also `GRID`), ``objective``, ``accuracy`` (NaN both where the
    combination was impossible) and ``seconds``. Of the grid only what has the searches' budget.
    """
    trials = searched(study.results.trials)
    asked = where(trials, arm=list(RESAMPLED))[["trial", "model", "arm", "seconds"]]
    made = study.outcomes[["trial", "objective", "accuracy"]]
    rows = [asked.merge(made, on="trial", how="left").fillna({"seconds": 0.0})]
    if grid is not None:
        same = ["dataset", "model", "epochs", "updates", "train_fraction", "seed"]
        # a budget that no trial states is no number
        floats = {"epochs": float, "updates": float}
        wanted = trials[same].drop_duplicates().astype(floats)
        alike = grid.outcomes.astype(floats).merge(wanted, on=same)
        rows.append(alike[["model", "objective", "accuracy", "seconds"]].assign(arm=GRID))
    return pd.concat(rows, ignore_index=True)


@functools.lru_cache(8)
def expected(study: Evidence, grid: Evidence | None, of: str | None = None) -> pd.DataFrame:
    """Expected best validation loss of so many trials of each arm of `pool`, in any order.

    With ``of`` that column of the best trial. As many trials as a search has made at most.
    """
    trials = searched(study.results.trials)
    most = int(trials.groupby(["model", "arm"]).size().max())
    return expected_best_curve(pool(study, grid), ["model", "arm"], of=of, most=most)


def worth(study: Evidence, grid: Evidence | None) -> pd.DataFrame:
    """Expected test accuracy of the winner on validation of a whole search, by ``model``, ``arm``.

    Columns ``estimate``, ``low``, ``high``, best first; of a sampler that has one run, that of its
    winner, without an interval.
    """
    found = expected(study, grid, of="accuracy")
    found = found.groupby(["model", "arm"], sort=False).tail(1)
    made = searched(study.outcomes)
    single = made[~made["arm"].isin(RESAMPLED)].sort_values("objective")
    single = single.drop_duplicates(["model", "arm"]).rename(columns={"accuracy": "estimate"})
    both = pd.concat([found, single[["model", "arm", "estimate"]]])
    order = ["model", "estimate"]
    columns = ["model", "arm", "estimate", "low", "high"]
    return both.sort_values(order, ascending=[True, False])[columns]


def confirmed(study: Evidence) -> pd.DataFrame:
    """The outcomes of the confirmations, with the column ``source`` (a sampler, or grid)."""
    rows = study.outcomes[study.outcomes["arm"].str.startswith(CONFIRM)]
    return rows.assign(source=rows["arm"].str.removeprefix(CONFIRM))


def winners(study: Evidence) -> pd.DataFrame:
    """The configurations that were confirmed, with ``estimate``, ``low`` and ``high``."""
    rows, by = confirmed(study), ["model", "source"]
    found = interval(rows, "accuracy", by, statistic=mean)
    return rows.drop_duplicates(by).merge(found, on=by)


@functools.lru_cache(8)
def differences(study: Evidence) -> pd.DataFrame:
    """Each sampler's winner against the grid's, by ``model``, paired by fresh seed.

    The columns of `paired_comparison`; ``p_holm`` is corrected for all comparisons.
    """
    sides, ignore = ("source", "grid"), [*ANY, "arm"]
    rows = paired_comparison(confirmed(study), *sides, by=["model"], ignore=ignore)
    return rows.assign(p_holm=holm(rows["p"].to_numpy(dtype=float)))
