"""What trouble late in training costs, and which guard makes it up."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics.disturbances import accuracy_lost, made_up, recovery
from report.evidence import Evidence

NONE = "none"


@functools.lru_cache(8)
def losses(study: Evidence) -> pd.DataFrame:
    """`accuracy_lost` by model and clipping, with ``effect`` = ``lost`` and a ``panel`` each."""
    rows = accuracy_lost(study.outcomes, ["model", "clipping"])
    return rows.assign(
        effect=rows["lost"], level=rows["clipping"], panel=rows["disturbance"].str.replace("_", " ")
    )


def bare(study: Evidence) -> pd.DataFrame:
    """What each disturbance costs without a guard."""
    rows = losses(study)
    return rows[rows["clipping"] == NONE]


def protecting(study: Evidence) -> pd.DataFrame:
    """Guards whose whole interval lies below the loss without a guard: they lose less."""
    rows = losses(study)
    keys = ["disturbance", "model"]
    plain = bare(study)[[*keys, "low", "lost"]].rename(columns={"low": "bare_low", "lost": "bare"})
    joined = rows[rows["clipping"] != NONE].merge(plain, on=keys)
    return joined[joined["high"] < joined["bare_low"]].sort_values("lost", kind="stable")


def helped(study: Evidence) -> list[dict[str, object]]:
    """By disturbance and network: which guards lose measurably less than none, and which do not.

    ``disturbance``, ``model``, ``guards`` (how many there are), ``helping`` and ``others`` (names),
    ``most``, the most that one of the helping loses, and ``harmful``: rows of guards whose whole
    interval lies above the loss without one.
    """
    rows, good = losses(study), protecting(study)
    plain = bare(study).set_index(["disturbance", "model"])["high"]
    keys = ["disturbance", "model"]
    found = []
    for key, part in rows[rows["clipping"] != NONE].groupby(keys, sort=False):
        better = good[(good[keys] == list(key)).all(axis=1)]
        helping = list(better["clipping"])
        others = [name for name in part["clipping"] if name not in helping]
        known = dict(zip(keys, key, strict=True), guards=len(part), most=better["lost"].max())
        harmful = part[part["low"] > plain.get(key, float("inf"))]
        found.append({**known, "helping": helping, "others": others, "harmful": harmful})
    return found


def harm(study: Evidence) -> pd.Series:
    """The guard that loses most beyond what is lost without one; empty where none does.

    A row of `losses`, with what no guard loses as ``bare``, ``bare_low`` and ``bare_high``.
    """
    ends = {"lost": "bare", "low": "bare_low", "high": "bare_high"}
    plain = bare(study)[["disturbance", "model", *ends]].rename(columns=ends)
    rows = [part["harmful"] for part in helped(study)]
    rows = pd.concat(rows).merge(plain) if rows else pd.DataFrame(columns=["lost"])
    worst = rows.sort_values("lost").tail(1)
    return worst.iloc[0] if len(worst) else pd.Series(dtype=object)


@functools.lru_cache(8)
def recoveries(study: Evidence) -> pd.DataFrame:
    """`recovery` by model and clipping: who made up the loss, and in how many updates."""
    return recovery(made_up(study.outcomes, study.results.history), ["model", "clipping"])
