"""What half precision does to training, and what scaling the loss makes up for."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.records import SELECT
from benchmark.statistics import chosen_rates, interval, mean, outcomes, paired_comparison
from report.evidence import Evidence
from report.headline import TIMES
from report.prose import name

BASELINE = "float32"
ACCURACY, EXPLODED = "accuracy", "exploded"


@functools.lru_cache(8)
def compared(study: Evidence) -> pd.DataFrame:
    """Trials at multiples of a best rate, ``times`` it: a ``panel`` for each network and batch."""
    rows = study.outcomes[study.outcomes["arm"].isin(list(TIMES))]
    panels = [
        f"{name(model)}, batches of {size:g}"
        for model, size in zip(rows["model"], rows["batch_size"], strict=True)
    ]
    return rows.assign(times=rows["arm"].map(TIMES), panel=panels)


def mapped(study: Evidence) -> pd.DataFrame:
    """Trials of the map: those at rates that are the same for all."""
    return study.outcomes[study.outcomes["arm"].fillna("").eq("")]


@functools.lru_cache(8)
def differences(study: Evidence, value: str) -> pd.DataFrame:
    """Each precision against single: `paired_comparison` for each ``panel`` and ``times``."""
    parts = [
        paired_comparison(rows, "precision", BASELINE, value, ignore=["learning_rate"]).assign(
            panel=panel, times=times
        )
        for (panel, times), rows in compared(study).groupby(["panel", "times"], sort=False)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def told_apart(study: Evidence, value: str) -> pd.DataFrame:
    """Rows of `differences` where both the interval and the corrected test see a difference."""
    rows = differences(study, value)
    if rows.empty:
        return rows
    return rows[((rows["low"] > 0) | (rows["high"] < 0)) & rows["agree"].astype(bool)]


def summary(study: Evidence) -> list[dict[str, object]]:
    """By ``panel`` and ``precision``: the best rate, and what comes of its multiples.

    ``best_rate`` and ``edge`` as `chosen_rates` has them; ``accuracy``, the share of ``skipped``
    steps and ``scale``, the median of the last scales, at the best rate; ``x1``, ``x3`` and ``x10``
    are shares of explosions.
    """
    trials, found = study.results.trials, []
    by = ["model", "batch_size", "precision"]
    chosen = chosen_rates(outcomes(trials[trials["arm"] == SELECT]), by)
    rates = chosen.set_index(by)[["best_rate", "edge"]].to_dict("index")
    for key, rows in compared(study).groupby(by, sort=False):
        best = rows[rows["times"] == 1]
        found.append(
            {
                "panel": rows["panel"].iloc[0],
                "precision": key[-1],
                **rates.get(key, {"best_rate": float("nan"), "edge": ""}),
                "accuracy": best["accuracy"].mean(),
                "skipped": best["skipped_fraction"].mean(),
                "scale": best["loss_scale"].median(),
                **rows.groupby("arm")["exploded"].mean().reindex(list(TIMES)).to_dict(),
            }
        )
    return found


def by_gain(study: Evidence) -> pd.DataFrame:
    """By ``init_gain`` and ``precision`` of the map: shares, and accuracy with its interval.

    ``exploded``, ``nonfinite`` and ``skipped`` (of steps) are over all rates; ``accuracy`` is that
    at the rate with the highest mean.
    """
    rows, keys = mapped(study), ["init_gain", "precision"]
    if rows.empty:
        return pd.DataFrame()
    over_all = rows.assign(nonfinite=rows["status"].eq("nonfinite")).groupby(keys, sort=False)
    shares = over_all[["exploded", "nonfinite"]].mean()
    shares["skipped"] = over_all["skipped_fraction"].mean()
    by_rate = interval(rows, "accuracy", [*keys, "learning_rate"], statistic=mean)
    best = by_rate.sort_values("estimate", kind="stable").drop_duplicates(keys, keep="last")
    joined = best.merge(shares.reset_index(), on=keys).rename(columns={"estimate": "accuracy"})
    order = {level: i for i, level in enumerate(rows["precision"].unique())}
    return joined.sort_values(keys, key=lambda c: c.map(order) if c.name == keys[1] else c)


def broke(study: Evidence) -> pd.DataFrame:
    """By ``precision``: how many of the map's trials stopped being finite where single did not.

    Columns ``precision``, ``trials`` (that stayed finite in single precision) and ``broke``.
    """
    rows = mapped(study)
    keys = ["init_gain", "learning_rate", "seed"]
    table = rows.assign(nonfinite=rows["status"].eq("nonfinite")).pivot_table(
        index=keys, columns="precision", values="nonfinite", aggfunc="max", sort=False
    )
    if BASELINE not in table:
        return pd.DataFrame(columns=["precision", "trials", "broke"])
    whole = table[~table[BASELINE].astype(bool)]
    return pd.DataFrame(
        [
            {"precision": level, "trials": int(rows.size), "broke": int(rows.sum())}
            for level, rows in ((n, whole[n].dropna()) for n in whole if n != BASELINE)
        ]
    )


def unharmed(study: Evidence) -> pd.DataFrame:
    """Trials that skipped steps, and neither spiked nor stopped being finite."""
    rows = study.outcomes
    return rows[rows["skipped_fraction"].fillna(0).gt(0) & rows["status"].eq("stable")]


def idle(study: Evidence) -> pd.DataFrame:
    """Trials that skipped every step: a scale that stays too large lets nothing through."""
    return study.outcomes[study.outcomes["skipped_fraction"].eq(1)]
