"""The search against the grid."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics import (
    best_so_far,
    holm,
    interval,
    mean,
    over_seeds,
    paired,
    wilcoxon,
)
from report.evidence import Evidence
from report.prose import is_nothing, name, number

CONFIRM = "confirm:"
LEVEL_OF_TEST = 0.05
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


def progress(study: Evidence) -> pd.DataFrame:
    """The best objective so far of each search, without the confirmations."""
    rows = best_so_far(study.results.plan, study.results.trials)
    return rows[~rows["arm"].str.startswith(CONFIRM)]


def searched(study: Evidence, trials: pd.DataFrame) -> pd.DataFrame:
    """Of ``trials`` those of the searches."""
    return trials[~trials["arm"].str.startswith(CONFIRM)]


def confirmed(study: Evidence) -> pd.DataFrame:
    """The outcomes of the confirmations, with the column ``source`` (a sampler, or grid)."""
    rows = study.outcomes[study.outcomes["arm"].str.startswith(CONFIRM)]
    return rows.assign(source=rows["arm"].str.removeprefix(CONFIRM))


def winners(study: Evidence) -> pd.DataFrame:
    """The configurations that were confirmed, with ``estimate``, ``low`` and ``high``.

    Clipping and batch policy are in words, with their number in brackets.
    """
    rows = confirmed(study)
    found = interval(rows, "accuracy", ["model", "source"], statistic=mean)
    rows = rows.drop_duplicates(["model", "source"]).merge(found, on=["model", "source"])
    for column, value in (
        ("clipping", "clipping_threshold"),
        ("batch_policy", "batch_policy_parameter"),
    ):
        numbers = rows[value].map(lambda v: "" if is_nothing(v) else f" ({number(v)})")
        rows[column] = rows[column].map(name) + numbers
    return rows


@functools.lru_cache(8)
def differences(study: Evidence) -> pd.DataFrame:
    """Each sampler's winner against the grid's, by model, paired by fresh seed.

    Columns ``model``, ``level``, ``effect``, ``low``, ``high``, ``p_holm`` (corrected for all
    comparisons), ``pairs``.
    """
    out = []
    for model, rows in confirmed(study).groupby("model", sort=False):
        for level in rows["source"].drop_duplicates():
            if level == "grid":
                continue
            pairs = paired(rows, "arm", f"{CONFIRM}{level}", f"{CONFIRM}grid", "accuracy", ANY)
            if len(pairs):
                gap = pairs["difference"].to_numpy()
                found = over_seeds(gap, pairs["seed"])
                out.append((model, level, *found, wilcoxon(gap), len(pairs)))
    columns = ["model", "level", "effect", "low", "high", "p_holm", "pairs"]
    rows = pd.DataFrame(out, columns=columns)
    return rows.assign(p_holm=holm(rows["p_holm"].to_numpy(dtype=float)))


def smallest_p(rows: pd.DataFrame) -> float:
    """The smallest p that Wilcoxon's test can give on the fewest pairs, without a correction."""
    return 2.0 ** (1 - int(rows["pairs"].min()))
