"""What half precision does to training, and what scaling the loss makes up for."""

from __future__ import annotations

import functools
import math
from typing import Any

import pandas as pd

from benchmark.statistics import (
    chosen_rates,
    interval,
    left_open,
    mean,
    paired_comparison,
    status_shares,
)
from benchmark.statistics.pairing import verdicts
from benchmark.statistics.selection import where
from report.evidence import Evidence
from report.prose import name

BASELINE = "float32"
SAME = ("init_gain", "learning_rate", "seed")
"""What trials of the map that differ in precision alone have in common."""


@functools.lru_cache(8)
def compared(study: Evidence) -> pd.DataFrame:
    """Trials at multiples of a best rate, ``times`` it: a ``panel`` for each network and batch."""
    rows = study.relative
    cells = zip(rows["model"], rows["batch_size"], strict=True)
    return rows.assign(panel=[f"{name(model)}, batches of {size:g}" for model, size in cells])


@functools.lru_cache(8)
def differences(study: Evidence, value: str) -> pd.DataFrame:
    """Each precision against single: `paired_comparison` for each ``panel`` and ``times``.

    ``apart`` says whether both the interval and the corrected test see a difference.
    """
    sides, by = ("precision", BASELINE, value), ["panel", "times"]
    rows = paired_comparison(compared(study), *sides, by=by, ignore=["learning_rate"])
    return rows.assign(apart=verdicts(rows).ne(""))


def told_apart(study: Evidence) -> dict[str, Any]:
    """What the comparison of explosions with single precision could have seen, as shares of 1.

    ``open`` is the difference that the seeds leave open where all of them agree, ``detectable`` the
    largest of the smallest differences that would be found four times out of five, where they do
    not; ``mixed`` are the multiples at which some trials exploded and some did not.
    """
    rows = compared(study)
    shares = rows.groupby(["panel", "times"])["exploded"].mean()
    seeds = int(rows["seed"].nunique())
    return {
        "seeds": seeds,
        "open": left_open(seeds, seeds) if seeds else math.nan,
        "detectable": float(differences(study, "exploded")["detectable"].max()),
        "mixed": sorted(shares[shares.between(0, 1, inclusive="neither")].index.unique("times")),
    }


def summary(study: Evidence) -> pd.DataFrame:
    """By ``panel`` and ``precision``: the best rate, and what comes of it.

    ``best_rate`` and ``edge`` as `chosen_rates` has them; ``accuracy``, the share of ``skipped``
    steps and ``scale``, the median of the last scales, at the best rate.
    """
    rows, by = compared(study), ["model", "batch_size", "precision"]
    groups = where(rows, times=1).groupby(by, sort=False)
    named = rows.groupby(by, sort=False)["panel"].first().to_frame()
    found = named.join(groups[["accuracy", "skipped_fraction"]].mean())
    found = found.join(groups["loss_scale"].median().rename("scale"))
    found = found.join(chosen_rates(study.looked, by).set_index(by)[["best_rate", "edge"]])
    found = found.reset_index()
    return found.rename(columns={"skipped_fraction": "skipped"}).fillna({"edge": ""})


def shares(study: Evidence) -> pd.DataFrame:
    """Share of explosions by ``panel``, ``precision`` and ``times``, with Wilson's interval.

    ``diverged`` is the share that exploded and did not learn.
    """
    by = ["panel", "precision", "times"]
    rows = compared(study).assign(exploded=lambda f: f["exploded"].astype(bool))
    diverged = rows.groupby(by)["diverged"].mean().reset_index()
    return interval(rows, "exploded", by, statistic=mean).merge(diverged, on=by)


def endings(study: Evidence) -> pd.DataFrame:
    """By ``precision`` and ``init_gain`` of the map, ascending: how its trials end, ``ended``."""
    counts = status_shares(study.mapped, ["precision", "init_gain"])
    counts = counts[counts["count"] > 0].sort_values("init_gain", kind="stable")
    words = counts["count"].map("{:,} ".format) + counts["status"].map(name)
    groups = counts.assign(ended=words).groupby(["precision", "init_gain"], sort=False)
    return groups["ended"].agg(", ".join).reset_index()


def by_gain(study: Evidence) -> pd.DataFrame:
    """By ``init_gain`` and ``precision`` of the map: shares, and accuracy with its interval.

    ``exploded``, ``nonfinite`` and ``skipped`` (of steps) are over all rates; ``accuracy`` is that
    at the rate with the highest mean.
    """
    rows, keys = study.mapped, ["init_gain", "precision"]
    rows = rows.assign(nonfinite=rows["status"].eq("nonfinite"), skipped=rows["skipped_fraction"])
    shares = rows.groupby(keys, sort=False)[["exploded", "nonfinite", "skipped"]].mean()
    by_rate = interval(rows, "accuracy", [*keys, "learning_rate"], statistic=mean)
    best = by_rate.sort_values("estimate", kind="stable").drop_duplicates(keys, keep="last")
    joined = best.merge(shares.reset_index(), on=keys).rename(columns={"estimate": "accuracy"})
    order = {level: i for i, level in enumerate(rows["precision"].unique())}
    return joined.sort_values(keys, key=lambda c: c.map(order) if c.name == keys[1] else c)
