"""Clippings at one, three and ten times each configuration's own best rate."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import chosen_rates, interval, mean, paired_comparison
from report.comparison import tied
from report.evidence import TIMES, Evidence, where
from report.prose import listing, phrase

SETTING = ["dataset", "model", "normalization"]
MULTIPLES = list(TIMES.values())


@functools.lru_cache(8)
def against_none(
    study: Evidence, value: str = "accuracy", *, same_rate: bool = False
) -> pd.DataFrame:
    """Every clipping against none in each setting and at each multiple, paired by seed.

    Each at multiples of its own best rate, or, at the ``same_rate``, all at multiples of the best
    without clipping. The columns of `paired_comparison`, of the setting, ``times``, ``panel`` and
    ``rate``, the multiple as a table says it.
    """
    rows = study.relative
    if same_rate:
        bare = where(rows, clipping="none", times=list(study.shared["times"].unique()))
        rows = pd.concat([study.shared, bare])
    by, ignore = [*SETTING, "times"], ["arm" if same_rate else "learning_rate"]
    found = paired_comparison(rows, "clipping", "none", value, by=by, ignore=ignore)
    of = "best rate without" if same_rate else "best rate"
    panels = {times: f"{times} × {of}" for times in MULTIPLES} | {1: of}
    return _labelled(found.assign(panel=found["times"].map(panels)), same_rate)


def _labelled(rows: pd.DataFrame, same_rate: bool) -> pd.DataFrame:
    """Rows with ``rate``, the multiple as a table says it."""
    suffix = ", one rate" if same_rate else ""
    return rows.assign(rate=[f"× {times}{suffix}" for times in rows["times"]])


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
def everywhere(study: Evidence, *, same_rate: bool = False) -> pd.DataFrame:
    """By network, multiple and clipping: on how many data sets it gains, and the mean ``effect``.

    Columns ``model``, ``normalization``, ``times``, ``level``, ``better``, ``worse``, ``settings``,
    ``effect``, and the mean ends of the intervals ``low`` and ``high``; ``agree``, whether the
    corrected test says the same in all of them. A data set counts as ``better`` or ``worse`` where
    the interval over seeds excludes zero. ``rate`` heads a column of a table. Those with the
    largest effect first.
    """
    rows = against_none(study, same_rate=same_rate)
    rows = rows.assign(better=rows["low"] > 0, worse=rows["high"] < 0, settings=1)
    found = rows.groupby(["model", "normalization", "times", "level"], sort=False).agg(
        dict.fromkeys(("better", "worse", "settings"), "sum")
        | dict.fromkeys(("effect", "low", "high"), "mean")
        | {"agree": "all"}
    )
    found = found.reset_index().sort_values("effect", ascending=False, kind="stable")
    return _labelled(found, same_rate)


def far_above(study: Evidence, normalization: str) -> list[dict[str, object]]:
    """By ``model`` what clipping saves at ten times the best rate without it, at one rate for all.

    The largest ``effect`` of those that gain on every data set, as in `everywhere`, and in
    ``names`` all that tie with it; a model where none gains has no effect. Where nothing was
    trained at such rates, at ten times each one's own best rate.
    """
    rows = everywhere(study, same_rate=bool(len(study.shared)))
    rows = where(rows, times=10, normalization=normalization)
    found = []
    for model in study.relative["model"].unique():
        here = where(rows, model=model)
        sure = here[here["better"].eq(here["settings"]) & here["agree"]]
        names = listing(phrase("clipping", level) for level in tied(sure)["level"])
        if len(here):
            best = sure.iloc[0].to_dict() | {"names": names} if len(sure) else {}
            found.append({"model": model, **best})
    return found


def explosions(study: Evidence) -> pd.DataFrame:
    """Share of explosions of each clipping at each multiple, with its interval.

    ``learned`` is the share of the exploded trials that learned all the same.
    """
    rows, by = study.relative, ["model", "normalization", "clipping", "times"]
    rows = rows.assign(exploded=rows["exploded"].astype(bool))
    found = interval(rows, "exploded", by, statistic=mean)
    ends = rows[rows["exploded"]].groupby(by)["learned"].mean().reset_index()
    return found.merge(ends, on=by, how="left")
