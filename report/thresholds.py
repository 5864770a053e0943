"""Which threshold at which learning rate."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics import able, interval, mean
from report.evidence import Evidence, where

HALF = 0.5
"""Share of clipped steps above which practice calls clipping extremely aggressive."""
ALWAYS = 0.9
"""Share of clipped steps from which on a rule counts as always acting."""
BOUNDING = ["global_norm", "normalized"]
"""Rules that give the whole gradient the norm c wherever they act."""
SIDES = ("more", "less")
CELL = ["model", "clipping", "clipping_threshold", "learning_rate"]
SAME = 0.01
"""Accuracy within which two thresholds count as alike."""


@functools.lru_cache(8)
def cells(study: Evidence) -> pd.DataFrame:
    """Mean accuracy, validation accuracy and clipped share of each clipping, threshold and rate."""
    values = ["accuracy", "validation", "clipped_fraction", "exploded"]
    return study.outcomes.groupby(CELL, sort=False, dropna=False)[values].mean().reset_index()


def by_response(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The cells of clippings whose threshold matters, and the names of those where none does.

    A threshold matters where it moves the mean accuracy by a point at some rate.
    """
    spread = rows.groupby(["clipping", "learning_rate"])["accuracy"].agg(np.ptp)
    moved = spread.groupby("clipping").max() > SAME
    responds = rows["clipping"].map(moved).astype(bool)
    return rows[responds], list(rows.loc[~responds, "clipping"].unique())


def best_cells(study: Evidence) -> pd.DataFrame:
    """The threshold that validation chooses for each model, clipping and rate.

    ``edge`` says that it is the smallest or the largest of several that were tried there.
    """
    rows, by = cells(study), ["model", "clipping", "learning_rate"]
    tried = rows.groupby(by)["clipping_threshold"]
    least, most = tried.transform("min"), tried.transform("max")
    threshold = rows["clipping_threshold"]
    edge = (least < most) & ((threshold == least) | (threshold == most))
    rows = rows.assign(edge=edge).sort_values("validation", ascending=False, kind="stable")
    return rows.drop_duplicates(by)


def seeds_of(study: Evidence, cell: pd.Series) -> pd.DataFrame:
    """The mean accuracy of a row of `cells` with its interval over seeds."""
    return interval(where(study.outcomes, **cell[CELL]), "accuracy", ["model"], statistic=mean)


def clipped(study: Evidence) -> pd.DataFrame:
    """The trials of which is known how many steps were clipped, and whose clipping could act."""
    frame = able(study.outcomes, "clipping")
    return frame[frame["clipping"].ne("none") & frame["clipped_fraction"].notna()]


def halves(study: Evidence) -> pd.DataFrame:
    """By rate: trials with ``more`` and ``less`` than half of the steps clipped, how they ended."""
    rows = clipped(study)
    rows = rows.assign(side=np.where(rows["clipped_fraction"] > HALF, *SIDES))
    groups = rows.groupby(["learning_rate", "side"])
    found = groups[["learned", "accuracy"]].mean().assign(trials=groups.size()).unstack()
    found.columns = [f"{value}_{side}" for value, side in found.columns]
    columns = [f"{v}_{side}" for v in ("trials", "learned", "accuracy") for side in SIDES]
    return found.reindex(columns=columns).dropna().reset_index()


def same_products(study: Evidence) -> pd.DataFrame:
    """Columns ``model``, ``product``, ``cells``, ``low``, ``high``: always-clipping cells.

    Cells of rules that give every gradient the norm c, plain gradient descent: there rate times
    threshold is the length of a step. ``low`` and ``high`` are the least and the greatest mean
    accuracy among cells of one product; products with one cell are left out.
    """
    frame = where(study.outcomes, optimizer="sgd", clipping=BOUNDING)
    found = frame.groupby(CELL, sort=False)[["accuracy", "clipped_fraction"]].mean().reset_index()
    found = found[found["clipped_fraction"] >= ALWAYS]
    product = found["learning_rate"] * found["clipping_threshold"]
    found = found.assign(product=[float(f"{value:.3g}") for value in product])
    groups = found.groupby(["model", "product"])["accuracy"]
    out = groups.agg(cells="size", low="min", high="max").reset_index()
    return out[out["cells"] > 1].reset_index(drop=True)
