"""The search against the grid."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics import best_so_far, holm, interval, mean, paired_comparison
from report.evidence import Evidence

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
