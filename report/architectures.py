"""Which answers carry over to a recurrence, a residual network and a transformer."""

from __future__ import annotations

import pandas as pd

from benchmark.statistics import theoretical_recurrent_growth, theoretical_residual_growth
from report import headline
from report.evidence import Evidence
from report.prose import name

against_none, best_rates, trained = headline.against_none, headline.best_rates, headline.trained
TIMES = headline.TIMES
STEPS = 28
"""Rows of an image, which the recurrence takes one after another."""
GAINS = (0.5, 1.0, 1.5, 2.0)


def growth_of_theory() -> list[dict[str, float]]:
    """Growth of the squared gradient that theory expects, by ``gain``.

    ``dense`` per layer, ``first`` and ``last`` per step of a recurrence over standardized rows
    (between the first two and the last two of them), ``residual`` per block.
    """
    found = []
    for gain in GAINS:
        steps = theoretical_recurrent_growth(gain, [1 / STEPS] * STEPS)
        ends = {"first": float(steps[0]), "last": float(steps[-1])}
        residual = theoretical_residual_growth(gain)
        found.append({"gain": gain, "dense": gain**2, **ends, "residual": residual})
    return found


def named(rows: pd.DataFrame) -> pd.Series:
    """Network, its normalization and, where there are several, data set of each row, in words."""
    plain = rows["normalization"] == "none"
    words = rows["model"].map(name) + (", " + rows["normalization"].map(name)).mask(plain, "")
    several = rows["dataset"].nunique() > 1
    return words + (", " + rows["dataset"].map(name) if several else "")


def compared(study: Evidence, clipping: str) -> pd.DataFrame:
    """A clipping against none: `against_none` with the ``network`` in words as its ``level``."""
    rows = against_none(study)
    rows = rows[rows["level"] == clipping] if len(rows) else rows
    return rows.assign(level=named(rows)) if len(rows) else rows


def carried(rows: pd.DataFrame, times: int, plain: bool) -> dict[str, list[str]]:
    """Of `compared`, networks that gain ``more`` than a point, ``lose``, or neither (``alike``).

    At a multiple of the best rate, ``plain`` ones without normalization or the others. A gain or
    loss is one whose whole interval lies beyond a point of accuracy.
    """
    rows = rows[rows["times"].eq(times) & rows["normalization"].eq("none").eq(plain)]
    more, lose = rows["low"] > 0.01, rows["high"] < -0.01
    parts = {"more": rows[more], "lose": rows[lose], "alike": rows[~more & ~lose]}
    return {key: list(part["level"]) for key, part in parts.items()}


def bare(study: Evidence) -> pd.DataFrame:
    """Without clipping, by network: ``accuracy1`` to ``accuracy10``, ``exploded1`` and so on."""
    rows = trained(study)
    rows = rows[rows["clipping"] == "none"]
    rows = rows.assign(network=named(rows)) if len(rows) else rows.assign(network="")
    means = rows.groupby(["network", "times"], sort=False)[["accuracy", "exploded"]].mean()
    wide = means.unstack()
    wide.columns = [f"{value}{times}" for value, times in wide.columns]
    return wide.reset_index()
