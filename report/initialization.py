"""How gradients grow with depth before the first update: measured rates, theory, norms by layer."""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd

from benchmark.statistics import depth_growth, theoretical_growth
from report.evidence import Evidence, where

GROUPS = ["model", "normalization", "initialization", "init_gain", "width", "depth"]
VARIANCE = {"he": 2.0, "orthogonal": 2.0, "glorot": 1.0, "torch": 1 / 3}
"""sigma_w^2 at gain 1: variance of a hidden weight times its fan-in, between equal widths."""
PADDED = "cnn_deep"
"""Whose zero padding takes something of the norm in every layer."""
KINDS = {"backprop_norm": "error signal dL/dh", "gradient_norm": "gradient of the weights"}
BASELINES = {"normalization": "none", "initialization": "he"}


def theory(normalization: str, initialization: str, gain: float) -> float:
    """Growth rate per layer that theory expects; NaN where it has no formula."""
    if normalization == "weight_norm":
        # at the start the same function of the same weights
        normalization = "none"
    rate = theoretical_growth(normalization, gain)
    if normalization != "none":
        return rate
    # the formula is that of He's initialization
    return rate * VARIANCE.get(initialization, math.nan) / VARIANCE["he"]


@functools.lru_cache(8)
def growths(study: Evidence) -> pd.DataFrame:
    """Growth rate of every group of draws, with the columns ``theory`` and ``ratio``."""
    rows = depth_growth(study.results.layers, study.results.trials, GROUPS)
    cells = zip(rows["normalization"], rows["initialization"], rows["init_gain"], strict=True)
    rows["theory"] = [theory(*cell) for cell in cells]
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
    expected = [theory(**(BASELINES | {factor: level}), gain=gain) for level, gain in grid]
    found = pd.DataFrame(grid, columns=[factor, "init_gain"])
    return found.assign(growth=expected).dropna()


def by_gain(study: Evidence) -> pd.DataFrame:
    """The deepest networks after He, with ``half`` of the interval and theory for gain 1."""
    rows = deepest(where(growths(study), initialization="he"))
    at_one = [theory(level, "he", 1.0) for level in rows["normalization"]]
    return rows.assign(half=(rows["high"] - rows["low"]) / 2, at_one=at_one)


@functools.lru_cache(8)
def profiles(study: Evidence) -> pd.DataFrame:
    """Norms by layer of the deepest dense He networks, divided by the last hidden layer's.

    Columns ``normalization``, ``init_gain``, ``depth``, ``layer_index``, ``backprop_norm``,
    ``gradient_norm``: root mean squares over draws.
    """
    chosen = where(study.outcomes, initialization="he", normalization=["none", "batch"])
    chosen = deepest(chosen[chosen["model"] != PADDED])
    keys = ["trial", "normalization", "init_gain", "depth"]
    rows = study.results.layers.merge(chosen[keys], on="trial")
    # the classifier has an initialization of its own
    rows = rows[(rows["step"] == 0) & (rows["layer_index"] <= rows["depth"])]
    squares = rows.assign(**{kind: rows[kind].astype(float) ** 2 for kind in KINDS})
    by = ["normalization", "init_gain", "depth", "layer_index"]
    means = squares.groupby(by, sort=False)[list(KINDS)].mean().pow(0.5).reset_index()
    groups = means.sort_values("layer_index").groupby(by[:-1], sort=False)
    last = groups[list(KINDS)].transform("last")
    return means.assign(**{kind: means[kind] / last[kind] for kind in KINDS})
