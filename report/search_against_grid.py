"""The search against the grid."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.records import CONFIGURATION, REAL_NUMBERS, WHOLE_NUMBERS
from benchmark.statistics import (
    best_so_far,
    expected_best,
    expected_of_best,
    interval,
    mean,
    over_cells_and_seeds,
)
from benchmark.statistics.selection import CELL
from report.evidence import Evidence

CONFIRM = "confirm:"
SEARCHED = [c for c in CONFIGURATION if c not in ("dataset", "model", "seed", "arm")]
"""What two winners may differ in: everything that was searched."""
GRID = "grid configurations"
"""Cells of the grid, drawn at random: a search that costs no more than the others."""
ENDS = ["estimate", "low", "high"]


def alike(study: Evidence, grid: Evidence) -> pd.DataFrame:
    """The outcomes of the grid that differ from the searches in nothing but what these varied."""
    trials = searched(study.results.trials)
    of_model = trials.groupby("model")
    same = [c for c in CELL if of_model[c].nunique(dropna=False).max() == 1]
    # a number that no trial states is of no number's type
    floats = {c: float for c in same if c in (*REAL_NUMBERS, *WHOLE_NUMBERS)}
    theirs = trials[same].drop_duplicates().astype(floats)
    return grid.outcomes.astype(floats).merge(theirs, on=same)


def grid_best(study: Evidence, grid: Evidence | None) -> pd.DataFrame:
    """Columns ``model``, ``objective``, ``trials``: the best cell of the grid that is `alike`."""
    if grid is None:
        return pd.DataFrame({"model": [], "objective": [], "trials": []})
    rows = alike(study, grid)
    losses = rows.groupby(["model", "cell"])["objective"].mean()
    counts = rows.groupby("model").size()
    best = {"objective": losses.groupby("model").min(), "trials": counts}
    return pd.DataFrame(best).reset_index()


def searched(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the ``rows`` of trials those of the searches, not the confirmations."""
    return rows[~rows["arm"].str.startswith(CONFIRM)]


def confirmed(study: Evidence) -> pd.DataFrame:
    """The outcomes of the confirmations; ``arm`` is whose winner it is (a sampler, or grid)."""
    rows = study.outcomes[study.outcomes["arm"].str.startswith(CONFIRM)]
    return rows.assign(arm=rows["arm"].str.removeprefix(CONFIRM))


def winners(study: Evidence) -> pd.DataFrame:
    """Each search's trial of the least objective: a row for each model, sampler and ``search``.

    ``search`` is the seed that the search was made on.
    """
    best = searched(study.outcomes).sort_values("objective", kind="stable")
    best = best.drop_duplicates(["model", "arm", "seed"]).rename(columns={"seed": "search"})
    return best.sort_values(["model", "search"], kind="stable")


@functools.lru_cache(8)
def fresh(study: Evidence) -> pd.DataFrame:
    """Test accuracy of each search's winner on each fresh seed, beside the grid's best cell.

    Columns ``model``, ``arm``, ``search``, ``seed``, ``accuracy`` and ``difference`` from the
    grid's best on the same seed, NaN where that was not trained again.
    """
    rows = confirmed(study)
    chosen = winners(study)[["model", "arm", "search", *SEARCHED]]
    found = chosen.merge(rows, on=["model", "arm", *SEARCHED])
    grid = rows[rows["arm"] == "grid"].set_index(["model", "seed"])["accuracy"].rename("grid")
    found = found.join(grid, on=["model", "seed"])
    found = found.assign(difference=found["accuracy"] - found["grid"])
    return found[["model", "arm", "search", "seed", "accuracy", "difference"]]


@functools.lru_cache(8)
def differences(study: Evidence) -> pd.DataFrame:
    """Each search's winner against the grid's best cell: a mean and interval over fresh seeds."""
    rows = fresh(study).dropna(subset=["difference"])
    return interval(rows, "difference", ["model", "arm", "search"], statistic=mean)


@functools.lru_cache(8)
def samplers(study: Evidence) -> pd.DataFrame:
    """Each sampler's winners against the grid's best cell, best first.

    Columns ``model``, ``arm``, ``searches``, ``seeds``, how many winners are ``better`` and
    ``worse``, their mean ``accuracy`` on fresh seeds, and ``estimate``, ``low``, ``high`` of the
    difference: over searches and seeds, or over seeds alone where there is one search.
    """
    singly = differences(study)
    singly = singly.assign(better=singly["low"] > 0, worse=singly["high"] < 0)
    counts = singly.groupby(["model", "arm"])[["better", "worse"]].sum()
    found = []
    for key, rows in fresh(study).dropna(subset=["difference"]).groupby(["model", "arm"]):
        sizes = (rows["search"].nunique(), rows["seed"].nunique(), rows["accuracy"].mean())
        gains, searches, seeds = (rows[c].to_numpy() for c in ("difference", "search", "seed"))
        found.append((*key, *sizes, *over_cells_and_seeds(gains, searches, seeds)))
    table = pd.DataFrame(found, columns=["model", "arm", "searches", "seeds", "accuracy", *ENDS])
    table = table.join(counts, on=["model", "arm"])
    return table.sort_values(["model", "estimate"], ascending=[True, False])


def against_random(study: Evidence) -> pd.DataFrame:
    """The winners of each other sampler against those of random search, on the same fresh seeds.

    Columns ``model``, ``arm``, ``estimate``, ``low``, ``high`` (Welch's interval over searches) and
    whether that tells them ``apart``; nothing where a sampler made a single search.
    """
    return _against(fresh(study).groupby(["model", "arm", "search"])["accuracy"].mean(), "random")


def at_equal_cost(study: Evidence, grid: Evidence | None) -> pd.DataFrame:
    """The winners of each sampler against the best of as many cells of the grid.

    Both are the trial of the least validation loss on one seed, by its test accuracy there. Columns
    as `against_random` has them: the interval is over searches, and over the seeds of the grid.
    """
    return _against(_worth(study, grid).set_index(["model", "arm", "seed"])["accuracy"], GRID)


def _against(values: pd.Series, other: str) -> pd.DataFrame:
    """Mean ``values`` by ``model`` and ``arm`` less those of the arm ``other``, over repeats."""
    models, arms = (values.index.get_level_values(name) for name in ("model", "arm"))
    found = []
    for (model, arm), own in values.groupby(["model", "arm"]):
        against = values[(models == model) & (arms == other)]
        if arm != other and min(len(own), len(against)) > 1:
            test = stats.ttest_ind(own, against, equal_var=False).confidence_interval()
            found.append((model, arm, own.mean() - against.mean(), test.low, test.high))
    table = pd.DataFrame(found, columns=["model", "arm", *ENDS])
    return table.assign(apart=(table["low"] > 0) | (table["high"] < 0))


@functools.lru_cache(8)
def drawn(study: Evidence, grid: Evidence | None) -> pd.DataFrame:
    """What as many cells of the grid as a search has trials find, drawn in any order.

    For each seed of the grid a row for each ``number`` of cells, with the expected least
    objective so far (``best``) and the expected test ``accuracy`` of the cell that has it; ``arm``
    is `GRID`. Only cells that are `alike` count.
    """
    columns = ["model", "arm", "seed", "number", "best", "accuracy"]
    if grid is None:
        return pd.DataFrame(columns=columns)
    trials = searched(study.results.trials)
    numbers = np.arange(1, trials.groupby(["model", "arm", "seed"]).size().max() + 1)
    found = [
        pd.DataFrame(
            {
                "model": model,
                "arm": GRID,
                "seed": seed,
                "number": numbers,
                "best": expected_best(rows["objective"], numbers),
                "accuracy": expected_of_best(rows["objective"], rows["accuracy"], numbers),
            }
        )
        for (model, seed), rows in alike(study, grid).groupby(["model", "seed"])
    ]
    return pd.concat(found) if found else pd.DataFrame(columns=columns)


@functools.lru_cache(8)
def progress(study: Evidence, grid: Evidence | None) -> pd.DataFrame:
    """Least objective so far by ``model``, ``arm`` and ``number`` of trials, over searches."""
    by = ("model", "arm", "seed")
    rows = searched(best_so_far(study.results.plan, study.results.trials, by))
    both = [rows[[*by, "number", "best"]], drawn(study, grid)[[*by, "number", "best"]]]
    both = [table for table in both if len(table)]
    return interval(pd.concat(both), "best", ["model", "arm", "number"], statistic=mean)


def head_starts(curves: pd.DataFrame) -> pd.DataFrame:
    """After how many trials the sampler that ends lowest is where the next one ends.

    ``curves`` come from `progress`. Columns ``model``, ``arm``, ``number``, ``other`` (the next
    one) and ``most`` (the trials after which that is there).
    """
    found = []
    for model, rows in curves.groupby("model", sort=False):
        last = rows.sort_values("number").groupby("arm").tail(1).sort_values("estimate")
        if len(last) > 1:
            first, second = last.iloc[0], last.iloc[1]
            own = rows[(rows["arm"] == first["arm"]) & (rows["estimate"] <= second["estimate"])]
            place = (int(own["number"].min()), second["arm"], int(second["number"]))
            found.append((model, first["arm"], *place))
    return pd.DataFrame(found, columns=["model", "arm", "number", "other", "most"])


@functools.lru_cache(8)
def worth(study: Evidence, grid: Evidence | None) -> pd.DataFrame:
    """Test accuracy of the winners on the seed they were found on, by ``model`` and ``arm``.

    ``trials`` counts the searches, and the seeds of the grid; best first.
    """
    found = interval(_worth(study, grid), "accuracy", ["model", "arm"], statistic=mean)
    return found.sort_values(["model", "estimate"], ascending=[True, False])


def _worth(study: Evidence, grid: Evidence | None) -> pd.DataFrame:
    """Columns ``model``, ``arm``, ``seed``, ``accuracy``: a row a search or a seed of the grid."""
    rows = winners(study).rename(columns={"search": "seed"})[["model", "arm", "seed", "accuracy"]]
    cells = drawn(study, grid)
    both = [rows, cells[cells["number"] == cells["number"].max()][list(rows)]]
    return pd.concat([table for table in both if len(table)])
