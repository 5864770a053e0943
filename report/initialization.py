"""How gradients grow with depth before the first update: measured rates, theory, norms by layer."""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd

from benchmark.statistics import depth_growth, theoretical_growth
from report.evidence import Evidence

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
    rows = growths(study)
    rows = rows[rows["model"].ne(PADDED) & rows["initialization"].eq("he")]
    return rows[rows["normalization"].isin(normalizations)].dropna(subset=["growth"])


def others(study: Evidence) -> pd.DataFrame:
    """Growth rates of the deepest dense networks at gain 1, but for none and batch."""
    levels = set(growths(study)["normalization"]) - {"none", "batch"}
    rows = deepest(dense(study, *levels))
    return rows[rows["init_gain"] == 1]


def furthest(rows: pd.DataFrame) -> float:
    """How far off theory a rate is at most, as a share."""
    return float(np.exp(np.abs(np.log(rows["ratio"])).max()) - 1)


def by_factor(study: Evidence, factor: str) -> pd.DataFrame:
    """Growth rates of the deepest networks that differ in ``factor`` alone, and in the gain."""
    (other,) = BASELINES.keys() - {factor}
    rows = growths(study)
    return deepest(rows[rows[other] == BASELINES[other]]).dropna(subset=["growth"])


def lines(rows: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Theory for the levels of ``factor`` over the gains of ``rows``."""
    gains = np.geomspace(rows["init_gain"].min(), rows["init_gain"].max(), 30)
    return pd.DataFrame(
        {
            factor: level,
            "init_gain": gain,
            "growth": theory(**(BASELINES | {factor: level}), gain=gain),
        }
        for level in rows[factor].unique()
        for gain in gains
    ).dropna()


def by_gain(study: Evidence) -> pd.DataFrame:
    """The deepest networks after He, a row for each normalization and a column for each gain."""
    rows = deepest(growths(study))
    rows = rows[rows["initialization"] == "he"]
    half = (rows["high"] - rows["low"]) / 2
    ends = [f" ± {h:.2f}" if h == h else "" for h in half]
    texts = [
        f"{growth:.2f}{end}" if growth == growth else "–"
        for growth, end in zip(rows["growth"], ends, strict=True)
    ]
    keys = ["model", "normalization"]
    wide = rows.assign(text=texts).pivot_table(
        index=keys, columns="init_gain", values="text", aggfunc="first", sort=False
    )
    wide = wide[sorted(wide.columns)].fillna("–").rename(columns=lambda gain: f"{gain:g}")
    rates = [theory(level, "he", 1.0) for _, level in wide.index]
    return wide.assign(theory=rates).reset_index()


@functools.lru_cache(8)
def profiles(study: Evidence) -> pd.DataFrame:
    """Norms by layer of the deepest dense He networks, divided by the last hidden layer's.

    Columns ``normalization``, ``init_gain``, ``depth``, ``layer_index``, ``backprop_norm``,
    ``gradient_norm``: root mean squares over draws.
    """
    frame = study.outcomes
    chosen = frame[(frame["initialization"] == "he") & (frame["model"] != PADDED)]
    chosen = deepest(chosen[chosen["normalization"].isin(["none", "batch"])])
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


def second_layers(study: Evidence, normalization: str) -> pd.DataFrame:
    """Norms in the second layer over the last's, gains ascending."""
    rows = profiles(study)
    rows = rows[rows["normalization"].eq(normalization) & rows["layer_index"].eq(2)]
    return rows.sort_values("init_gain")


def by_size(study: Evidence) -> pd.DataFrame:
    """Growth rate at gain 1 by model, width and depth, a column for each normalization."""
    rows = growths(study)
    rows = rows[rows["initialization"].eq("he") & rows["init_gain"].eq(1)]
    rows = rows[rows["normalization"].isin(["none", "batch", "layer"])]
    keys = ["model", "width", "depth"]
    wide = rows.pivot_table(index=keys, columns="normalization", values="growth", sort=False)
    return wide.reset_index()
