"""How gradients grow with depth before the first update: measured rates, theory, norms by layer."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics import depth_growth, theoretical_growth
from benchmark.statistics.depth import norm_profiles
from report.evidence import Evidence, where

GROUPS = ["model", "normalization", "initialization", "init_gain", "width", "depth"]
PADDED = "cnn_deep"
"""Whose zero padding takes something of the norm in every layer."""
KINDS = {"backprop_norm": "error signal dL/dh", "gradient_norm": "gradient of the weights"}
BASELINES = {"normalization": "none", "initialization": "he"}


@functools.lru_cache(8)
def growths(study: Evidence) -> pd.DataFrame:
    """Growth rate of every group of draws, with the columns ``theory`` and ``ratio``."""
    rows = depth_growth(study.results.layers, study.results.trials, GROUPS)
    cells = zip(rows["normalization"], rows["init_gain"], rows["initialization"], strict=True)
    rows["theory"] = [theoretical_growth(*cell) for cell in cells]
    return rows.assign(ratio=rows["growth"] / rows["theory"])


def deepest(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows at each model's largest depth and width."""
    for size in ("depth", "width"):
        rows = rows[rows[size] == rows.groupby("model")[size].transform("max")]
    return rows


def dense(study: Evidence, *normalizations: str) -> pd.DataFrame:
    """Growth rates of the dense networks after He, with these normalizations."""
    rows = where(growths(study), initialization="he", normalization=list(normalizations))
    return rows[rows["model"] != PADDED].dropna(subset=["growth"])


def furthest(rows: pd.DataFrame) -> float:
    """How far off theory a rate is at most, as a share."""
    return float(np.exp(np.abs(np.log(rows["ratio"])).max()) - 1)


def by_factor(study: Evidence, factor: str) -> pd.DataFrame:
    """Growth rates of the deepest networks that differ in ``factor`` alone, and in the gain."""
    others = {c: level for c, level in BASELINES.items() if c != factor}
    return deepest(where(growths(study), **others)).dropna(subset=["growth"])


def lines(rows: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Theory for the levels of ``factor`` over the gains of ``rows``."""
    gains = np.geomspace(rows["init_gain"].min(), rows["init_gain"].max(), 30)
    grid = [(level, gain) for level in rows[factor].unique() for gain in gains]
    expected = [
        theoretical_growth(**(BASELINES | {factor: level}), gain=gain) for level, gain in grid
    ]
    found = pd.DataFrame(grid, columns=[factor, "init_gain"])
    return found.assign(growth=expected).dropna()


def by_gain(study: Evidence) -> pd.DataFrame:
    """The deepest networks after He, with ``half`` of the interval and theory for gain 1."""
    rows = deepest(where(growths(study), initialization="he"))
    at_one = [theoretical_growth(level, 1.0) for level in rows["normalization"]]
    return rows.assign(half=(rows["high"] - rows["low"]) / 2, at_one=at_one)


@functools.lru_cache(8)
def profiles(study: Evidence) -> pd.DataFrame:
    """`norm_profiles` of the deepest dense He networks, by ``normalization`` and ``init_gain``."""
    chosen = where(study.outcomes, initialization="he", normalization=["none", "batch"])
    chosen = deepest(chosen[chosen["model"] != PADDED])
    return norm_profiles(study.results.layers, chosen, ["normalization", "init_gain"], list(KINDS))
