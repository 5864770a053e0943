"""Sharpness against the edge of stability, 2 / learning rate (Cohen et al. 2021, 2103.00065)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def sharpness_over_edge(
    history: pd.DataFrame, trials: pd.DataFrame, keep: Sequence[str] = ()
) -> pd.DataFrame:
    """Rows of ``history`` with a sharpness, with ``rate`` and ``edge`` = sharpness x rate / 2.

    The sharpness is the largest eigenvalue of the loss's Hessian. Above 1 gradient descent on a
    quadratic with that curvature would diverge. ``rate`` is the trial's own learning rate, without
    its schedule; further columns of ``trials`` to ``keep`` come along. Rows in which the sharpness
    is not finite, or not positive, are left out.

    >>> history = pd.DataFrame({"trial": ["a"], "step": [0], "sharpness": [30.0]})
    >>> trials = pd.DataFrame({"trial": ["a"], "learning_rate": [0.1]})
    >>> sharpness_over_edge(history, trials)["edge"].tolist()
    [1.5]
    """
    rates = trials[["trial", "learning_rate", *keep]].rename(columns={"learning_rate": "rate"})
    rows = history.merge(rates, on="trial")
    rows = rows.assign(edge=rows["sharpness"].astype(float) * rows["rate"] / 2)
    return rows[np.isfinite(rows["edge"]) & (rows["edge"] > 0)]


def at_the_edge(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``trials``, ``edge``, ``above``, ``from_rate``: where sharpness ends up.

    Of `sharpness_over_edge`, with the ``status`` of the trials: how many are stable to the end,
    the median of their last ``edge`` and the share of them ``above`` 1. ``from_rate`` is the
    smallest rate at which the median sharpness is above 2 / rate already at step 0, NaN where there
    is none.
    """
    stable = rows[rows["status"] == "stable"].sort_values("step")
    groups = stable.drop_duplicates("trial", keep="last").groupby(list(by), sort=False)["edge"]
    found = groups.agg(trials="size", edge="median", above=lambda edge: (edge > 1).mean())
    start = rows[rows["step"] == 0].groupby([*by, "rate"])["edge"].median().reset_index()
    first = start[start["edge"] > 1].groupby(list(by))["rate"].min()
    return found.assign(from_rate=first).reset_index()
