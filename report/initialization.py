"""How gradients grow with depth before the first update: measured rates, theory, norms by layer."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics import theoretical_growth
from benchmark.statistics.depth import growth_beside_theory, norm_profiles, theory_over_gains
from benchmark.statistics.selection import differing_in, where
from report.evidence import Evidence

GROUPS = ["model", "normalization", "initialization", "init_gain", "width", "depth"]
PADDED = "cnn_deep"
"""Whose zero padding takes something of the norm in every layer."""
KINDS = {"backprop_norm": "error signal dL/dh", "gradient_norm": "gradient of the weights"}
BASELINES = {"normalization": "none", "initialization": "he"}


@functools.lru_cache(8)
def growths(study: Evidence) -> pd.DataFrame:
    """`growth_beside_theory` of every group of draws."""
    return growth_beside_theory(study.results.layers, study.results.trials, GROUPS)


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
    return deepest(differing_in(growths(study), factor, BASELINES)).dropna(subset=["growth"])


def lines(rows: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Theory for the levels of ``factor`` over the gains of ``rows``."""
    return theory_over_gains(rows["init_gain"], factor, list(rows[factor].unique()))


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
