"""Which threshold at which learning rate."""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd

from benchmark.figures.numbers import DASH, between, bounds, number
from benchmark.statistics import (
    best_per_arm,
    good_windows,
    interval,
    mean,
    payouts,
    percentile_rule,
    premium_gaps,
    premiums,
    rates_within,
)
from benchmark.statistics.clipped import THRESHOLD_CELL, threshold_cells
from benchmark.statistics.selection import where
from report import headroom
from report.evidence import Evidence
from report.headroom import STEPS
from report.prose import name, spread_sizes

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
PLAIN_WAY = "SGD"
"""How `varied` calls plain SGD at a constant rate."""
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


def saved_beyond(study: Evidence, model: str, threshold: float) -> pd.DataFrame:
    """`payouts` of one threshold of the global norm at rates above the first that most fail at."""
    rows = where(study.outcomes, model=model, clipping=["none", "global_norm"])
    bare = rows["clipping"] == "none"
    rows = rows[bare | (rows["clipping_threshold"] == threshold)]
    found = payouts(rows, ["model"], "clipping", "none")
    return found[found["above"] > 0]


def rates_at_one_threshold(study: Evidence) -> tuple[int, int, int]:
    """How many rates are within a point of the best at a fixed threshold, and without clipping.

    The most of any threshold of `priced`, that of no clipping, and how many were tried.
    """
    rows = where(study.outcomes, clipping="none")
    bare = rates_within(rows.assign(threshold=NO_CLIPPING), ["model"], "threshold", NO_CLIPPING)
    most = int(priced(study)["near"].map(len).max())
    return most, int(bare["near"].map(len).max()), int(bare["tried"].max())


@functools.lru_cache(8)
def varied(study: Evidence) -> pd.DataFrame:
    """Trials without normalization by the ``way`` they are trained: `PLAIN_WAY`, momentum, decays.

    Of networks that were trained in several ways. ``learning_rate`` is rate / (1 - momentum), the
    length that steps add up to where gradients agree; ``threshold`` is that of the global norm,
    infinite without clipping; ``clipped`` says it in words.
    """
    rows = where(study.outcomes, normalization="none", clipping=["none", "global_norm"])
    rows = where(rows, optimizer=["sgd", "momentum"])
    ways = [
        name(optimizer) + ("" if schedule == "constant" else f", {name(schedule)} decay")
        for optimizer, schedule in zip(rows["optimizer"], rows["schedule"], strict=True)
    ]
    longer = rows["learning_rate"] / (1 - rows["momentum"].astype(float).fillna(0.0))
    threshold = rows["clipping_threshold"].where(rows["clipping"] != "none", NO_CLIPPING)
    rows = rows.assign(
        way=ways,
        learning_rate=[float(f"{rate:.4g}") for rate in longer],
        threshold=threshold.astype(float),
    )
    rows = rows[rows.groupby("model")["way"].transform("nunique") > 1]
    clipped = {top: f"clipped at {number(top)}" for top in rows["threshold"].unique()}
    return rows.assign(clipped=rows["threshold"].map(clipped | {NO_CLIPPING: "no clipping"}))


def varied_windows(study: Evidence) -> pd.DataFrame:
    """Good rates of each ``way`` and ``threshold`` of `varied`, beside those of `PLAIN_WAY`.

    `good_windows` by ``model`` and ``threshold``, at rates / (1 - momentum); ``alike`` says that
    both ends lie within a step of those of plain SGD, and ``product``, between which products of
    that rate and the threshold they lie (a dash without clipping), ``product_plain`` those of
    plain SGD, and ``window`` the rates.
    """
    rows = varied(study)
    if rows.empty:
        return pd.DataFrame(columns=["model", "threshold", "way", "momentum", "alike"])
    found = good_windows(rows, ["model", "threshold"], "way", PLAIN_WAY)
    facts = rows.groupby("way")[["optimizer", "schedule"]].first().reset_index()
    step = STEPS * _spacing(rows)
    within = [found[f"{end}_times"].between(1 / step, step) for end in ("least", "good")]
    spans = list(zip(found["least"], found["good"], found["threshold"], strict=True))
    found = found.merge(facts, on="way").assign(
        alike=within[0] & within[1],
        window=[between(low, high) for low, high, _ in spans],
        product=[
            between(float(f"{low * top:.2g}"), float(f"{high * top:.2g}"))
            if math.isfinite(top)
            else DASH
            for low, high, top in spans
        ],
    )
    plain = where(found, way=PLAIN_WAY)[["model", "threshold", "product"]]
    return found.merge(plain, on=["model", "threshold"], how="left", suffixes=("", "_plain"))


def widths_under_decay(study: Evidence) -> pd.DataFrame:
    """How wide the window of good rates is with clipping, where the rate of plain SGD decays.

    By ``model``, ``way`` and ``threshold``: ``decades``, those without clipping (``plain``), and
    whether they are ``wider``.
    """
    rows = varied(study)
    rows = rows[rows["optimizer"].eq("sgd") & rows["schedule"].ne("constant")]
    if rows.empty:
        return pd.DataFrame(columns=["model", "way", "threshold", "decades", "plain", "wider"])
    found = good_windows(rows, ["model", "way"], "threshold", NO_CLIPPING)
    bare = where(found, threshold=NO_CLIPPING)[["model", "way", "decades"]]
    found = found[found["threshold"] != NO_CLIPPING][["model", "way", "threshold", "decades"]]
    found = found.merge(bare.rename(columns={"decades": "plain"}), on=["model", "way"])
    return found.assign(wider=found["decades"] > found["plain"] + SAME)


def strained(clipping: Evidence, study: Evidence | None) -> pd.DataFrame:
    """What the threshold of `priced` costs in other networks, and what its rule gives there.

    By ``model`` of ``study`` (that of the chapter on batch normalization): ``norm``, the median
    90th percentile of the norms without clipping at its best rate; ``ruled``, the part of it that
    the ``loosest`` threshold of `priced` is of its own; that ``threshold``, its ``premium`` and
    ``most``, the worst at one rate, as losses (0..1). Networks whose premium is no more than that
    of `priced` are left out.
    """
    prices = priced(clipping)
    loose = where(prices, rule="loosest") if len(prices) else prices
    if loose.empty or study is None:
        return pd.DataFrame(columns=["model", "premium"])
    own = loose.iloc[0]
    costs = headroom.premium(study)
    costs = costs[costs["threshold"].eq(own["threshold"]) & ~costs["model"].isin(loose["model"])]
    costs = costs[costs["premium"] < own["premium"]]
    rows = where(headroom.trials(study), remedy=headroom.PLAIN)
    rows = best_per_arm(rows, ["model"])
    norms = rows.groupby("model")["gradient_norm_p90"].median().rename("norm").reset_index()
    found = costs.merge(norms, on="model")
    ruled = found["norm"] * own["threshold"] / own["norm"]
    return found.assign(
        ruled=ruled, premium=-found["premium"], most=-found["premium_least"]
    ).reset_index(drop=True)


def pushing(study: Evidence | None) -> pd.DataFrame:
    """Of `varied_windows` those under momentum at a constant rate, beside plain SGD.

    With the ``momentum``, the ends of plain SGD (``least_plain``, ``good_plain``) and ``clipped``.
    """
    found = varied_windows(study) if study else pd.DataFrame()
    if found.empty:
        return found
    keys = ["model", "threshold"]
    plain = where(found, way=PLAIN_WAY)[[*keys, "least", "good"]]
    known = varied(study)[["way", "momentum", "threshold", "clipped"]].drop_duplicates()
    rows = where(found, optimizer="momentum", schedule="constant")
    rows = rows.merge(plain, on=keys, suffixes=("", "_plain"))
    rows = rows.merge(known, on=["way", "threshold"])
    rows["clipped"] = rows["clipped"].replace("no clipping", "without clipping")
    return rows.sort_values("threshold", ascending=False, ignore_index=True)


def _spacing(rows: pd.DataFrame) -> float:
    """How many times as high each rate is as the one below it, at most."""
    rates = np.sort(rows["learning_rate"].unique())
    return float((rates[1:] / rates[:-1]).max(initial=1.0))


def varied_prices(study: Evidence) -> pd.DataFrame:
    """`premiums` of each threshold by ``way`` of `varied`, with intervals in words.

    The rows of `varied_windows` that are clipped, with ``premium_interval``, ``payout_interval``.
    """
    rows = varied(study)
    found = premiums(rows, ["model", "way"], "threshold", NO_CLIPPING)
    if found.empty:
        return found
    kept = ["model", "way", "threshold", "optimizer", "schedule", "window", "product"]
    found = found.merge(varied_windows(study)[kept])
    for part in ("premium", "payout"):
        ends = found[[f"{part}_low", f"{part}_high"]].to_numpy()
        found[f"{part}_interval"] = [bounds(low, high) for low, high in ends]
    return found


def decayed(study: Evidence) -> pd.DataFrame:
    """What a decaying rate changes in premium and pay-out of each threshold: `premium_gaps`.

    By ``model``, ``optimizer``, ``way`` and ``threshold``, against the same optimizer at a constant
    rate; with that one's premium and pay-out, ``..._constant``, and the decay's own, ``..._own``;
    and the largest good rate of each without clipping, ``good_high`` and ``good_high_constant``.
    """
    rows, prices = varied(study), varied_prices(study)
    parts = []
    for (model, optimizer), here in rows.groupby(["model", "optimizer"], sort=False):
        constant = next(iter(here.loc[here["schedule"] == "constant", "way"]), None)
        found = premium_gaps(here, "way", constant, "threshold", NO_CLIPPING)
        both = where(prices, model=model)[["way", "threshold", "premium", "payout", "good_high"]]
        found = found.merge(
            both.rename(columns={"premium": "premium_own", "payout": "payout_own"}),
            on=["way", "threshold"],
        ).merge(
            where(both, way=constant).drop(columns="way"),
            on="threshold",
            suffixes=("", "_constant"),
        )
        parts.append(found.assign(model=str(model), optimizer=str(optimizer)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["way"])


def varied_accuracies(study: Evidence) -> pd.DataFrame:
    """Mean test accuracy by ``way``, ``clipped`` and rate of `varied`, for a figure."""
    by = ["way", "clipped", "learning_rate"]
    return interval(varied(study), "accuracy", by, statistic=mean)


def in_words(rules: pd.DataFrame) -> pd.DataFrame:
    """Rows of `percentile_rule` with the best threshold, and rate × threshold, in words.

    Where it clips nothing there is none: all from ``idle_from`` on tie, and no product is best.
    """
    idle = rules["idle_from"].notna()
    none = "none (any ≥ " + rules["idle_from"].map(number) + ")"
    products = (rules["best_threshold"] * rules["learning_rate"]).map(number)
    best = rules["best_threshold"].map(number)
    return rules.assign(best_words=none.where(idle, best), product_words=products.mask(idle, DASH))


def part_of(ratio: float) -> str:
    """A ratio below one as a part in words, to one digit of its inverse.

    >>> part_of(0.38), part_of(0.5), part_of(0.23), part_of(0.8)
    ('two fifths', 'half', 'a quarter', 'four fifths')
    """
    return min(PARTS, key=lambda part: abs(math.log(PARTS[part] / ratio)))
