"""Clippings at one, three and ten times each configuration's own best rate."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import chosen_rates, interval, mean, paired_comparison
from report.evidence import TIMES, Evidence, per_group, where

SETTING = ["dataset", "model", "normalization"]
MULTIPLES = list(TIMES.values())


@functools.lru_cache(8)
def against_none(study: Evidence, value: str = "accuracy") -> pd.DataFrame:
    """Every clipping against none in each setting and at each multiple, paired by seed.

    The columns of `paired_comparison`, of the setting, ``times`` and ``panel``.
    """
    by, ignore = [*SETTING, "times"], ["learning_rate"]
    rows = per_group(
        study.relative, by, paired_comparison, "clipping", "none", value, ignore=ignore
    )
    panels = {times: f"{times} × best rate" for times in MULTIPLES} | {1: "best rate"}
    return rows.assign(panel=rows["times"].map(panels))


def room(study: Evidence, normalization: str, model: str) -> pd.DataFrame:
    """By clipping: its best rate over that without, the ``least`` and ``most`` of the data sets.

    The largest first; empty where no rates were searched.
    """
    tried = where(study.looked, normalization=normalization, model=model)
    if "none" not in set(tried["clipping"]):
        return pd.DataFrame()
    chosen = chosen_rates(tried, ["dataset", "clipping"])
    wide = chosen.pivot(index="clipping", columns="dataset", values="best_rate")
    ratios = wide.div(wide.loc["none"], axis=1).drop(index="none").rename_axis("level")
    found = pd.DataFrame({"least": ratios.min(axis=1), "most": ratios.max(axis=1)})
    return found.reset_index().sort_values(["least", "most"], ascending=False, kind="stable")


@functools.lru_cache(8)
def everywhere(study: Evidence) -> pd.DataFrame:
    """By network, multiple and clipping: on how many data sets it gains, and the mean ``effect``.

    Columns ``model``, ``normalization``, ``times``, ``level``, ``better``, ``worse``, ``settings``,
    ``effect``, and the mean ends of the intervals ``low`` and ``high``; ``agree``, whether the
    corrected test says the same in all of them. A data set counts as ``better`` or ``worse`` where
    the interval over seeds excludes zero. Those with the largest effect first.
    """
    rows = against_none(study)
    rows = rows.assign(better=rows["low"] > 0, worse=rows["high"] < 0, settings=1)
    found = rows.groupby(["model", "normalization", "times", "level"], sort=False).agg(
        dict.fromkeys(("better", "worse", "settings"), "sum")
        | dict.fromkeys(("effect", "low", "high"), "mean")
        | {"agree": "all"}
    )
    return found.reset_index().sort_values("effect", ascending=False, kind="stable")


def holding(study: Evidence, times: int, normalization: str) -> list[dict[str, object]]:
    """By ``model`` the clipping that gains most among those that gain on every data set.

    The row of `everywhere`; without ``level`` where no clipping does.
    """
    rows = where(everywhere(study), times=times, normalization=normalization)
    sure = rows[rows["better"].eq(rows["settings"]) & rows["agree"]].drop_duplicates("model")
    best = {row["model"]: row for row in sure.to_dict("records")}
    models = [m for m in against_none(study)["model"].unique() if m in set(rows["model"])]
    return [{"model": model, **best.get(model, {})} for model in models]


def explosions(study: Evidence) -> pd.DataFrame:
    """Share of explosions of each clipping at each multiple, with its interval.

    ``learned`` is the share of the exploded trials that learned all the same.
    """
    rows, by = study.relative, ["model", "normalization", "clipping", "times"]
    rows = rows.assign(exploded=rows["exploded"].astype(bool))
    found = interval(rows, "exploded", by, statistic=mean)
    ends = rows[rows["exploded"]].groupby(by)["learned"].mean().reset_index()
    return found.merge(ends, on=by, how="left")
