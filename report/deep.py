"""What lets a deep plain network train at a rate that is too high for it."""

from __future__ import annotations

import functools
import math

import pandas as pd

from benchmark.statistics import (
    chosen_rates,
    interval,
    mean,
    over_seeds,
    rate_scores,
    tied_with_best,
)
from report.evidence import Evidence, where
from report.prose import setting

PLAIN = {"clipping": "none", "schedule": "constant", "normalization": "none"}
"""The network without a remedy; each remedy changes one of these."""
NOTHING = "no remedy"
MOST = 0.5
"""Share of diverged trials from which a rate counts as too high."""
KEYS = ["factor", "level", "remedy"]


@functools.lru_cache(8)
def remedies(study: Evidence, depth: float | None = None) -> pd.DataFrame:
    """The trials of one ``depth`` (the least, unless given) with the remedy of each.

    ``factor`` is what was changed, ``level`` to what, and ``remedy`` both in words; without a
    remedy the factor is empty. Trials with two remedies at once are left out.
    """
    rows = study.outcomes
    rows = where(rows, depth=float(rows["depth"].min()) if depth is None else depth)
    changed = pd.DataFrame({factor: rows[factor].ne(level) for factor, level in PLAIN.items()})
    rows, changed = rows[changed.sum(axis=1) <= 1], changed[changed.sum(axis=1) <= 1]
    factor = changed.idxmax(axis=1).where(changed.any(axis=1), "")
    level = [row[name] if name else "none" for name, row in zip(factor, _dicts(rows), strict=True)]
    said = [setting(*pair) if pair[0] else NOTHING for pair in zip(factor, level, strict=True)]
    return rows.assign(factor=factor, level=level, remedy=said, diverged=rows["diverged"].eq(1))


def _dicts(rows: pd.DataFrame) -> list[dict[str, object]]:
    return rows[list(PLAIN)].to_dict("records")  # type: ignore[return-value]


def depths(study: Evidence) -> list[float]:
    """The depths that were run, the least first."""
    return sorted(study.outcomes["depth"].unique())


@functools.lru_cache(8)
def cells(study: Evidence, depth: float | None = None) -> pd.DataFrame:
    """By remedy and rate: ``accuracy`` and the share ``diverged``, each with its interval.

    Columns `KEYS`, ``learning_rate``, ``clipping_threshold``, ``accuracy``, ``accuracy_low``,
    ``accuracy_high``, ``diverged``, ``diverged_low``, ``diverged_high``, the share ``exploded``,
    ``began``, the median first bad step of those that exploded, and ``trials``.
    """
    rows, by = remedies(study, depth), [*KEYS, "learning_rate"]
    began = rows["first_bad_step"].where(rows["exploded"].eq(1)).astype(float)
    groups = rows.assign(began=began).groupby(by, sort=False)
    found = groups.agg(
        clipping_threshold=("clipping_threshold", "first"),
        exploded=("exploded", "mean"),
        began=("began", "median"),
        trials=("trial", "size"),
    ).reset_index()
    for value in ("accuracy", "diverged"):
        part = interval(rows, value, by, statistic=mean).drop(columns="trials")
        ends = {"estimate": value, "low": f"{value}_low", "high": f"{value}_high"}
        found = found.merge(part.rename(columns=ends), on=by)
    return found


def too_high(study: Evidence) -> float:
    """The smallest rate at which most plain trials diverge; NaN where none does."""
    rows = where(cells(study), factor="")
    return float(rows.loc[rows["diverged"] >= MOST, "learning_rate"].min())


@functools.lru_cache(8)
def best_rates(study: Evidence, depth: float | None = None) -> pd.DataFrame:
    """By remedy its best rate by validation, the accuracy there, and up to where it trains.

    Columns of `cells` at that rate, the mean ``validation`` accuracy, ``edge`` where it is the
    least or the largest that was run, and ``safe``, the largest up to which no trial diverged.
    """
    chosen = chosen_rates(remedies(study, depth), KEYS)
    scores = rate_scores(remedies(study, depth), KEYS)[[*KEYS, "learning_rate", "validation"]]
    chosen = chosen.rename(columns={"best_rate": "learning_rate"})
    chosen = chosen.merge(scores, on=[*KEYS, "learning_rate"])
    every = cells(study, depth).sort_values("learning_rate", kind="stable")
    calm = every["diverged"].eq(0).groupby(every["remedy"]).cummin()
    safe = every[calm].groupby("remedy")["learning_rate"].max().rename("safe")
    found = chosen[[*KEYS, "learning_rate", "edge", "validation"]].merge(
        every, on=[*KEYS, "learning_rate"]
    )
    return found.merge(safe.reset_index(), on="remedy", how="left")


def plain_best(study: Evidence) -> pd.Series:
    """The row of `best_rates` without a remedy: what a lower rate gives."""
    return where(best_rates(study), factor="").iloc[0]


@functools.lru_cache(32)
def at_rate(study: Evidence, rate: float) -> pd.DataFrame:
    """Every remedy at one ``rate``, the most accurate first, and how far below a lower rate.

    Columns of `cells`; ``effect``, ``low`` and ``high``: its accuracy less that of the plain
    network at its best rate, paired by seed; ``best_rate`` and ``safe``, its best rate and the
    largest at which no trial diverged, and ``edge`` of `best_rates`.
    """
    rows = remedies(study)
    bare = where(rows, factor="", learning_rate=float(plain_best(study)["learning_rate"]))
    lower = bare.set_index("seed")["accuracy"]
    here = where(rows, learning_rate=rate)
    found = []
    for remedy, part in here.groupby("remedy", sort=False):
        part = part[part["seed"].isin(lower.index)]
        differences = part["accuracy"].to_numpy() - lower[part["seed"]].to_numpy()
        ends = over_seeds(differences, part["seed"], mean) if len(part) else (math.nan,) * 3
        found.append({"remedy": remedy, **dict(zip(("effect", "low", "high"), ends, strict=True))})
    own = best_rates(study).rename(columns={"learning_rate": "best_rate"})
    joined = where(cells(study), learning_rate=rate).merge(pd.DataFrame(found), on="remedy")
    joined = joined.merge(own[["remedy", "best_rate", "edge", "safe"]], on="remedy")
    return joined.sort_values("accuracy", ascending=False, kind="stable", ignore_index=True)


def leaders(study: Evidence, rate: float) -> pd.DataFrame:
    """The clippings of `at_rate` that cannot be told from the most accurate, which comes first.

    Of those under which no trial diverged, as `benchmark.statistics.tied_with_best` tells them.
    """
    rows = where(at_rate(study, rate), factor="clipping", diverged=0)
    if rows.empty:
        return rows
    trials = where(remedies(study), learning_rate=rate, remedy=list(rows["remedy"]))
    return where(rows, level=tied_with_best(trials, "clipping"))


def by_schedule(study: Evidence) -> pd.DataFrame:
    """`cells` of the schedules, the constant rate first, at rates at which some trial exploded."""
    rows = cells(study)
    rows = rows[rows["factor"].isin(["", "schedule"])]
    rows = rows.assign(schedule=rows["level"].where(rows["factor"] != "", "constant"))
    some = rows.groupby("learning_rate")["exploded"].transform("max") > 0
    return rows[some]
