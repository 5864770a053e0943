"""Clippings at one, three and ten times each configuration's own best rate."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.figures import words
from benchmark.records import SELECT
from benchmark.statistics import chosen_rates, interval, mean, outcomes, paired_comparison
from report.evidence import Evidence
from report.prose import DASH, listing, signed

TIMES = {"x1": 1, "x3": 3, "x10": 10}
"""Arms of the second stage, with the multiple of the best rate that they train at."""
SETTING = ["dataset", "model", "normalization"]


@functools.lru_cache(8)
def trained(study: Evidence) -> pd.DataFrame:
    """The trials of the second stage, on fresh seeds, with ``times`` the best rate."""
    rows = study.outcomes[study.outcomes["arm"].isin(list(TIMES))]
    return rows.assign(times=rows["arm"].map(TIMES))


def best_rates(study: Evidence) -> list[dict[str, object]]:
    """By setting the best rates that were found, each with the clippings whose it is.

    Columns of the setting and ``rates``, in words; a rate on the edge of those tried says so.
    """
    trials = outcomes(study.results.trials)
    tried = trials[trials["arm"] == SELECT]
    if tried.empty:
        return []
    chosen = chosen_rates(tried, [*SETTING, "clipping"])
    found = []
    for setting, rows in chosen.groupby(SETTING, sort=False):
        each = [
            f"{rate:g}{' (edge)' if edge else ''}: {listing(map(words, part['clipping']))}"
            for (rate, edge), part in rows.groupby(["best_rate", "edge"])
        ]
        found.append(dict(zip(SETTING, setting, strict=True), rates="; ".join(each)))
    return found


@functools.lru_cache(8)
def against_none(study: Evidence, value: str = "accuracy") -> pd.DataFrame:
    """Every clipping against none in each setting and at each multiple, paired by seed.

    The columns of `paired_comparison`, of the setting, ``times`` and ``panel``.
    """
    parts = []
    for (*setting, times), rows in trained(study).groupby([*SETTING, "times"], sort=False):
        found = paired_comparison(rows, "clipping", "none", value, ignore=["learning_rate"])
        where = dict(zip(SETTING, setting, strict=True))
        panel = "best rate" if times == 1 else f"{times} × best rate"
        parts.append(found.assign(**where, times=times, panel=panel))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def at(study: Evidence, times: int, normalization: str, model: str) -> pd.DataFrame:
    """The rows of `against_none` of one network, normalization and multiple."""
    rows = against_none(study)
    if rows.empty:
        return rows
    here = (rows["times"] == times) & (rows["normalization"] == normalization)
    return rows[here & (rows["model"] == model)]


def room(study: Evidence, normalization: str, model: str) -> list[dict[str, object]]:
    """By clipping: its best rate over that without, the ``least`` and ``most`` of the data sets.

    The largest first; empty where no rates were searched.
    """
    trials = outcomes(study.results.trials)
    tried = trials[trials["arm"] == SELECT]
    tried = tried[(tried["normalization"] == normalization) & (tried["model"] == model)]
    if tried.empty:
        return []
    chosen = chosen_rates(tried, ["dataset", "clipping"])
    wide = chosen.pivot(index="clipping", columns="dataset", values="best_rate")
    if "none" not in wide.index:
        return []
    ratios = wide.div(wide.loc["none"], axis=1).drop(index="none")
    found = [
        {"level": level, "least": row.min(), "most": row.max()} for level, row in ratios.iterrows()
    ]
    return sorted(found, key=lambda row: (-row["least"], -row["most"]))


def holding(study: Evidence, times: int, normalization: str) -> list[dict[str, object]]:
    """By ``model`` the clipping that gains most among those that gain on every data set.

    The row of `everywhere`; without ``level`` where no clipping does.
    """
    found: list[dict[str, object]] = []
    for model in against_none(study)["model"].unique():
        rows = everywhere(study, times, normalization, model)
        if len(rows):
            sure = rows[(rows["better"] == rows["settings"]) & rows["agreed"]]
            best = sure.iloc[0].to_dict() if len(sure) else {}
            found.append({"model": model, **best})
    return found


def everywhere(study: Evidence, times: int, normalization: str, model: str) -> pd.DataFrame:
    """By clipping at a multiple: on how many data sets it gains, and the mean ``effect``.

    Columns ``level``, ``better``, ``worse``, ``settings``, ``effect``, and the mean ends of the
    intervals ``low`` and ``high``; ``agreed``, whether the corrected test says the same in all of
    them. A data set counts as ``better`` or ``worse`` where the interval over seeds excludes zero.
    Of one network, since not every network was trained with every clipping.
    """
    rows = at(study, times, normalization, model)
    found = [
        (
            level,
            int((part["low"] > 0).sum()),
            int((part["high"] < 0).sum()),
            len(part),
            *part[["effect", "low", "high"]].mean(),
            bool(part["agree"].all()),
        )
        for level, part in (rows.groupby("level", sort=False) if len(rows) else ())
    ]
    columns = ["level", "better", "worse", "settings", "effect", "low", "high", "agreed"]
    return pd.DataFrame(found, columns=columns).sort_values("effect", ascending=False)


def told_apart(sure: pd.DataFrame) -> pd.DataFrame:
    """Of the clippings that gain everywhere, those whose interval holds the largest effect."""
    return sure[sure["high"] >= sure["effect"].max()] if len(sure) else sure


def others(sure: pd.DataFrame, best: pd.DataFrame) -> str:
    """How many more gain everywhere than those that are named."""
    more = len(sure) - len(best)
    return f", ahead of {more} more that {'do' if more > 1 else 'does'} too" if more else ""


def detectable(study: Evidence, times: int, normalization: str, model: str) -> float:
    """The smallest difference that the comparisons at a multiple find, in the median."""
    return float(at(study, times, normalization, model)["detectable"].median())


def overview(study: Evidence, normalization: str, model: str) -> pd.DataFrame:
    """`everywhere` with a column for each multiple: ``x1``, ``x3``, ``x10``."""
    wide: dict[str, pd.Series] = {}
    for arm, times in TIMES.items():
        rows = everywhere(study, times, normalization, model)
        if len(rows):
            wide[arm] = pd.Series(
                [
                    f"{signed(r.effect)} ({r.better} and {r.worse} of {r.settings})"
                    for r in rows.itertuples()
                ],
                index=rows["level"],
            )
    return pd.DataFrame(wide).rename_axis("level").fillna(DASH).reset_index()


def explosions(study: Evidence) -> pd.DataFrame:
    """Share of explosions of each clipping at each multiple, with its interval.

    ``learned`` is the share of the exploded trials that learned all the same.
    """
    rows, by = trained(study), ["model", "normalization", "clipping", "times"]
    found = interval(
        rows.assign(exploded=rows["exploded"].astype(bool)), "exploded", by, statistic=mean
    )
    ends = rows[rows["exploded"] == 1].groupby(by)["learned"].mean().reset_index()
    return found.merge(ends, on=by, how="left")
