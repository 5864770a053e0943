"""Clippings at one and the same rate, each with the threshold that validation chooses.

Published defaults were set for other networks, so that a ranking at defaults ranks lengths of
steps. A threshold is chosen for each seed on all the other seeds: what is chosen and reported on
the same ones flatters itself.
"""

from __future__ import annotations

import pandas as pd

from benchmark.records.rates import SHARED, arm_of
from benchmark.statistics.multiples import in_relative_arms
from benchmark.statistics.rates import best_per_arm, cross_fitted
from benchmark.statistics.selection import SETTING

FURTHER = "threshold_"
"""Arms of thresholds besides the default, at a multiple of another configuration's best rate."""
CHOSEN_IN = [*SETTING, "clipping", "times", "learning_rate"]
"""In which a threshold is chosen."""
LEVEL = ["clipping_threshold"]


def at_every_threshold(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The rows at the same rate of every clipping that has further thresholds there.

    With ``times``, the multiple, and ``published``, whether the threshold is the default.

    >>> arms = {"arm": ["x10", "shared_x10", "threshold_x10"], "clipping_threshold": [None, 1, 0.1]}
    >>> frame = pd.DataFrame(arms).assign(dataset="digits", model="mlp", normalization="none")
    >>> frame = frame.assign(clipping=["none", "value", "value"], learning_rate=1.0)
    >>> at_every_threshold(frame)["published"].tolist()
    [True, False]
    """
    default = in_relative_arms(outcomes, SHARED).assign(published=True)
    further = in_relative_arms(outcomes, FURTHER).assign(published=False)
    cells = further[CHOSEN_IN].drop_duplicates()
    return pd.concat([default.merge(cells), further], ignore_index=True)


def with_tuned_thresholds(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Rows as `RaisedRates` takes them, of clippings at the threshold chosen on other seeds.

    They stand in the arms of the default, which they replace (`cross_fitted`); beside them no
    clipping, of the same networks and data sets. Clippings without further thresholds are left out.
    """
    rows = at_every_threshold(outcomes)
    tuned = cross_fitted(rows, CHOSEN_IN, LEVEL)
    tuned = tuned.assign(arm=[arm_of(times, SHARED) for times in tuned["times"]])
    bare = in_relative_arms(outcomes[outcomes["clipping"] == "none"])
    bare = bare.merge(rows[SETTING].drop_duplicates())
    return pd.concat([bare, tuned], ignore_index=True)[list(outcomes.columns)]


def chosen_thresholds(outcomes: pd.DataFrame) -> pd.DataFrame:
    """By setting, clipping and multiple the ``threshold`` that validation chooses on all seeds.

    Beside it ``default``; ``least`` and ``most`` of the choices on all seeds but one; ``edge``,
    whether it is the smallest (``low``) or the largest (``high``) that was tried; and
    ``clipped_fraction`` there.
    """
    rows = at_every_threshold(outcomes)
    every = rows.groupby(CHOSEN_IN, sort=False)["clipping_threshold"]
    default = rows[rows["published"]].groupby(CHOSEN_IN)["clipping_threshold"].first()
    best = best_per_arm(rows, CHOSEN_IN, LEVEL).groupby(CHOSEN_IN, sort=False)
    each = cross_fitted(rows, CHOSEN_IN, LEVEL).groupby(CHOSEN_IN)["clipping_threshold"]
    found = pd.DataFrame(
        {
            "threshold": best["clipping_threshold"].first(),
            "default": default,
            "least": each.min(),
            "most": each.max(),
            "clipped_fraction": best["clipped_fraction"].mean(),
            "edge": "",
        }
    )
    found.loc[found["threshold"].eq(every.min()), "edge"] = "low"
    found.loc[found["threshold"].eq(every.max()), "edge"] = "high"
    return found.reset_index()
