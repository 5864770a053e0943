"""When training explodes, and what gradients do before it."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics import chosen_rates, interval, mean
from benchmark.statistics.explosions import least_exploding_rate, missed_by_nan_test
from benchmark.statistics.multiples import in_relative_arms, varying_but_rate
from benchmark.statistics.onset import (
    norms_before_onset,
    rises_before_onset,
    windows_before_onset,
)
from report import evidence
from report.evidence import Evidence, share_of, where
from report.prose import DASH

EARLY = 10
"""Steps within which an explosion counts as early."""
LATE = 100
"""Steps after which an explosion counts as late."""
PLAIN = {"clipping": "none", "disturbance": "none"}
BANDS = {"at most 3.5 ×": 3.5, "3.5 to 10 ×": 10.5, "beyond 10 ×": np.inf}
"""Multiples of a configuration's best rate up to which each band reaches; rates are rounded."""
NO_RATE = "no rate trains"
"""The band of configurations that do not learn at their best rate."""
STUDIES = (
    *("explosion", "deep", "headline", "grid", "learning_rate", "batch_updates", "optimizers"),
    *("article", "architectures"),
)
"""Studies whose explosions are counted, where they were run."""
RANGE_TEST, WARM = "range_test", ("warmup_cosine", "one_cycle")
SCHEDULED = ("learning_rate", "deep")
"""Studies that vary the schedule at the same learning rates."""
LABELLED = ("detectors", "labelled_steps")
"""The study and its table that has every step."""


def mapped(study: Evidence) -> pd.DataFrame:
    """The trials of the map: those of the budget that most have."""
    rows = study.outcomes
    budget = rows.groupby(["epochs", "updates"], dropna=False)["trial"].transform("size")
    return rows[budget == budget.max()]


def longer(study: Evidence) -> pd.DataFrame:
    """The trials that were given more updates than those of the map, to see what comes late."""
    return study.mapped[study.mapped["updates"] > mapped(study)["updates"].max()]


def by_clipping(study: Evidence) -> pd.DataFrame:
    """The share of explosions of each clipping, over the networks that were run with all."""
    rows = mapped(study)
    networks = ["normalization", "depth", "init_gain", "learning_rate"]
    levels = rows.groupby(networks)["clipping"].transform("nunique")
    alike = rows[levels == rows["clipping"].nunique()]
    return alike.groupby("clipping", sort=False)["exploded"].mean().reset_index()


def missed(rows: pd.DataFrame) -> dict[str, float]:
    """The share of the exploded ``rows`` that a test for NaN misses, with its interval."""
    return share_of(rows["status"].ne("nonfinite"), rows["seed"])


def near_best(source: Evidence) -> pd.DataFrame:
    """Explosions without clipping and normalization, up to ten times the best rate."""
    rows = where(placed(source), exploded=1, normalization="none")
    return rows[rows["band"].isin(list(BANDS)[:-1])]


def plain_and_aided(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ``rows`` without normalization and clipping, and those with either."""
    plain = rows["normalization"].eq("none") & rows["clipping"].eq("none")
    return rows[plain], rows[~plain]


@functools.lru_cache(16)
def placed(source: Evidence) -> pd.DataFrame:
    """Trials without clipping, at ``times`` their configuration's best rate, in a ``band``.

    The multiple is that of the arm, or the rate over the best one, as validation chooses it for
    each configuration. What no rate trains, where most seeds do not learn at the best one, is a
    band of its own; where a single rate was run there is none (NaN).
    """
    rows = where(source.outcomes, **PLAIN)
    rows = rows[rows["schedule"] != RANGE_TEST].reset_index(drop=True)
    keys = varying_but_rate(rows)
    chosen = where(rows.assign(arm=rows["arm"].fillna("")), arm="")
    times = in_relative_arms(rows)["times"].reindex(rows.index)
    at_best = rows[times == 1]
    if len(chosen):
        best = chosen_rates(chosen, keys)
        best = best[best["low_rate"] < best["high_rate"]][[*keys, "best_rate"]]
        rate = rows[keys].merge(best, on=keys, how="left")["best_rate"]
        times = times.fillna(rows["learning_rate"] / rate)
        at_best = rows[np.isclose(times, 1)]
    learned = at_best.groupby(keys, dropna=False)["learned"].mean().rename("at_best")
    able = rows[keys].merge(learned.reset_index(), on=keys, how="left")["at_best"] >= 0.5
    reach = [-np.inf, *BANDS.values()]
    band = pd.cut(times, reach, labels=list(BANDS)).astype(object).where(able, NO_RATE)
    return rows.assign(times=times, band=band.where(times.notna()))


def by_band(source: Evidence) -> pd.DataFrame:
    """Explosions of a map without clipping by ``band``: how many, which share, and how they ended.

    ``exploded``, ``share`` of all; ``early``, the share that began by step `EARLY`, with ``low``
    and ``high``; ``missed``, the share that a test for NaN misses, and ``learned``, that learned
    all the same.
    """
    rows = placed(source)
    bad = rows[(rows["exploded"] == 1) & rows["trial"].isin(mapped(source)["trial"])]
    bad = bad.assign(early=bad["first_bad_step"] <= EARLY, missed=bad["status"].ne("nonfinite"))
    if bad.empty:
        return pd.DataFrame()
    found = interval(bad, "early", ["band"], statistic=mean)
    found = found.rename(columns={"estimate": "early", "trials": "exploded"})
    ended = bad.groupby("band")[["missed", "learned"]].mean().reset_index()
    order = {band: place for place, band in enumerate([*BANDS, NO_RATE])}
    found = found.merge(ended, on="band").assign(share=found["exploded"] / len(bad))
    return found.sort_values("band", key=lambda names: names.map(order), ignore_index=True)


def missed_by_network() -> pd.DataFrame:
    """What a test for NaN misses without clipping and normalization, by study and network.

    Columns ``study``, ``network``, ``band``, ``exploded`` and ``missed`` (how many) and ``said``,
    both in words; a row for every band of each network that explodes in a study that was run.
    """
    parts, bands, by = [], [*BANDS, NO_RATE], ["model", "band"]
    for study in STUDIES:
        source = evidence.load(study)
        if source is None:
            continue
        rows = where(placed(source), normalization="none").dropna(subset=["band"])
        found = missed_by_nan_test(rows, by)[[*by, "exploded", "missed"]].set_index(by)
        every = pd.MultiIndex.from_product([found.index.unique("model"), bands], names=by)
        found = found.reindex(every, fill_value=0).reset_index().assign(study=study)
        parts.append(found.rename(columns={"model": "network"}))
    if not parts:
        return pd.DataFrame()
    rows = pd.concat(parts, ignore_index=True)
    counts = zip(rows["missed"], rows["exploded"], strict=True)
    said = [f"{missed:,} of {exploded:,}" if exploded else DASH for missed, exploded in counts]
    return rows.assign(said=said)


def by_schedule() -> pd.DataFrame:
    """When explosions begin under each schedule, without clipping and normalization.

    Columns ``study``, ``network``, ``schedule``, ``exploded`` and ``trials`` (how many),
    ``early``, the share of explosions that began by step `EARLY`, with ``low`` and ``high``,
    ``began``, the median first bad step, and ``warm``, whether the rate rises at first.
    """
    parts = []
    for study in SCHEDULED:
        source = evidence.load(study)
        if source is None:
            continue
        rows = where(placed(source), normalization="none")
        by = ["model", "schedule"]
        bad = rows[rows["exploded"] == 1]
        bad = bad.assign(early=bad["first_bad_step"] <= EARLY)
        found = interval(bad, "early", by, statistic=mean)
        found = found.rename(columns={"estimate": "early", "trials": "exploded"})
        counts = rows.groupby(by).size().rename("trials").reset_index()
        began = bad.groupby(by)["first_bad_step"].median().rename("began").reset_index()
        found = found.merge(counts, on=by).merge(began, on=by)
        parts.append(found.assign(study=study).rename(columns={"model": "network"}))
    if not parts:
        return pd.DataFrame()
    rows = pd.concat(parts, ignore_index=True)
    # those that warm up stand last
    rows = rows.assign(warm=rows["schedule"].isin(WARM))
    return rows.sort_values(["study", "warm"], kind="stable", ascending=[False, True])


def before() -> tuple[Evidence, pd.DataFrame, pd.DataFrame] | None:
    """The study with every step, how often norms grew before explosions, and their course.

    By schedule (`benchmark.statistics.onset`); None where the study was not run, or nothing
    exploded late enough to be seen.
    """
    found = evidence.load_table(*LABELLED)
    if found is None:
        return None
    source, steps = found
    windows = windows_before_onset(steps)
    rises = rises_before_onset(windows, ["schedule"])
    if not rises["observed"].sum():
        return None
    return source, rises, norms_before_onset(steps, windows, ["schedule"])


def boundary(study: Evidence) -> pd.DataFrame:
    """`least_exploding_rate` without clipping, by normalization, depth and gain."""
    keys = ["normalization", "depth", "init_gain"]
    first = least_exploding_rate(where(mapped(study), clipping="none"), keys)
    place = {name: i for i, name in enumerate(first["normalization"].unique())}
    by = ["normalization", "depth"]
    return first.sort_values(by, key=lambda c: c.map(place) if c.name == by[0] else c)


def at_gain_one(rows: pd.DataFrame) -> pd.DataFrame:
    """Of `boundary` at gain 1: the rates of the ``shallow``est and the ``deep``est network.

    By normalization, with their depths ``least`` and ``most``; rows without both are left out.
    """
    rows = where(rows, init_gain=1.0).dropna(subset=["rate"])
    found = []
    for level, part in rows.groupby("normalization", sort=False):
        part = part.sort_values("depth")
        first, last = part.iloc[0], part.iloc[-1]
        if first["depth"] < last["depth"]:
            ends = {"least": first["depth"], "most": last["depth"]}
            rates = {"shallow": first["rate"], "deep": last["rate"]}
            found.append({"normalization": level, **ends, **rates})
    return pd.DataFrame(found)
