"""Which threshold at which learning rate."""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd

from benchmark.figures.numbers import bounds, number
from benchmark.statistics import interval, mean, percentile_rule, premiums, rates_within
from benchmark.statistics.clipped import THRESHOLD_CELL, threshold_cells
from benchmark.statistics.selection import where
from report.evidence import Evidence
from report.prose import spread_sizes

SAME = 0.01
"""Accuracy within which two thresholds count as alike."""
SAVES = 0.8
"""Share of the most that any threshold saves, from which on one counts as saving nearly as much."""
PARTS = {
    "a tenth": 1 / 10,
    "a fifth": 1 / 5,
    "a quarter": 1 / 4,
    "a third": 1 / 3,
    "two fifths": 2 / 5,
    "half": 1 / 2,
    "two thirds": 2 / 3,
    "four fifths": 4 / 5,
}
"""Words of a part of something."""
NO_CLIPPING = np.inf
"""The threshold at which training without clipping stands."""


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
    return interval(
        where(study.outcomes, **cell[THRESHOLD_CELL]), "accuracy", ["model"], statistic=mean
    )


@functools.lru_cache(8)
def priced(study: Evidence) -> pd.DataFrame:
    """What each threshold of the global norm costs at good rates, and saves where most are lost.

    `premiums` by ``model`` and ``threshold``, the loosest first; ``share``, the part of the most
    that any saves; `rates_within` as ``near`` and ``tried``; and intervals in words
    (``premium_interval``, ``payout_interval``, and for a sentence that has the sign in words,
    ``premium_said`` and ``payout_said``). ``rule`` says which threshold is the ``percentile``:
    nearest to the 90th percentile of the norms without clipping at the highest good rate, which
    is ``norm``; and which the ``loosest`` that saves `SAVES` of the most.
    """
    rows = where(study.outcomes, clipping=["none", "global_norm"])
    thresholds = rows["clipping_threshold"].where(rows["clipping"] != "none", NO_CLIPPING)
    rows = rows.assign(threshold=thresholds.astype(float))
    found = premiums(rows, ["model"], "threshold", NO_CLIPPING)
    norms = percentile_rule(study.outcomes)
    if found.empty or norms.empty or found["payout"].isna().all():
        return pd.DataFrame()
    norms = norms.rename(columns={"percentile": "norm", "threshold": "nearest"})
    keys = {"learning_rate": "good_high"}
    found = found.merge(norms[["model", *keys, "norm", "nearest"]].rename(columns=keys))
    found = found.merge(rates_within(rows, ["model"], "threshold", NO_CLIPPING))
    most = found.groupby("model")["payout"].transform("max")
    found = found.assign(share=found["payout"] / most)
    found = found.sort_values("threshold", ascending=False, kind="stable", ignore_index=True)
    saving = found[found["share"] >= SAVES].drop_duplicates("model").index
    rule = np.where(found.index.isin(saving), "loosest", "")
    found["rule"] = np.where(found["threshold"] == found["nearest"], "percentile", rule)
    for part in ("premium", "payout"):
        ends = found[[part, f"{part}_low", f"{part}_high"]].to_numpy()
        found[f"{part}_interval"] = [bounds(low, high) for _, low, high in ends]
        found[f"{part}_said"] = [
            spread_sizes({"effect": effect, "low": low, "high": high}) for effect, low, high in ends
        ]
    found["near_words"] = [", ".join(map(number, rates)) for rates in found["near"]]
    return found


def rates_at_one_threshold(study: Evidence) -> tuple[int, int, int]:
    """How many rates are within a point of the best at a fixed threshold, and without clipping.

    The most of any threshold of `priced`, that of no clipping, and how many were tried.
    """
    rows = where(study.outcomes, clipping="none")
    bare = rates_within(rows.assign(threshold=NO_CLIPPING), ["model"], "threshold", NO_CLIPPING)
    most = int(priced(study)["near"].map(len).max())
    return most, int(bare["near"].map(len).max()), int(bare["tried"].max())


def part_of(ratio: float) -> str:
    """A ratio below one as a part in words, to one digit of its inverse.

    >>> part_of(0.38), part_of(0.5), part_of(0.23), part_of(0.8)
    ('two fifths', 'half', 'a quarter', 'four fifths')
    """
    return min(PARTS, key=lambda part: abs(math.log(PARTS[part] / ratio)))
