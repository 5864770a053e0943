"""Which threshold at which learning rate."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics import interval, mean
from benchmark.statistics.clipped import CELL, threshold_cells
from benchmark.statistics.selection import where
from report.evidence import Evidence

SAME = 0.01
"""Accuracy within which two thresholds count as alike."""


@functools.lru_cache(8)
def cells(study: Evidence) -> pd.DataFrame:
    """`threshold_cells` of the study."""
    return threshold_cells(study.outcomes)


def by_response(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The cells of clippings whose threshold matters, and the names of those where none does.

    A threshold matters where it moves the mean accuracy by a point at some rate.
    """
    spread = rows.groupby(["clipping", "learning_rate"])["accuracy"].agg(np.ptp)
    moved = spread.groupby("clipping").max() > SAME
    responds = rows["clipping"].map(moved).astype(bool)
    return rows[responds], list(rows.loc[~responds, "clipping"].unique())


def seeds_of(study: Evidence, cell: pd.Series) -> pd.DataFrame:
    """The mean accuracy of a row of `cells` with its interval over seeds."""
    return interval(where(study.outcomes, **cell[CELL]), "accuracy", ["model"], statistic=mean)
