"""Do better optimizers, more epochs and guards make training safer?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.records.rates import SHARED
from benchmark.statistics import best_per_arm, interval, mean, paired_comparison
from benchmark.statistics.multiples import MULTIPLES, in_relative_arms
from benchmark.statistics.rates import rates_as_good
from benchmark.statistics.selection import where
from report.claims.safety import sgd_at_rates_as_good
from report.evidence import Evidence
from report.prose import DASH, name, percent

LITTLE = 0.05
"""Accuracy (0..1) up to which a loss counts as little."""


def relative(study: Evidence) -> bool:
    """Whether rates are multiples of best ones: each one's own, or that without clipping."""
    return bool(len(_at_multiples(study)))


def compared(study: Evidence) -> pd.DataFrame:
    """The outcomes by which optimizers are compared: at multiples of best rates, where any are.

    The others are of one optimizer at rates that budgets share, for claim 13.
    """
    rows = _at_multiples(study)
    return rows if len(rows) else study.outcomes


def _at_multiples(study: Evidence) -> pd.DataFrame:
    arms = (in_relative_arms(study.outcomes, prefix) for prefix in ("", SHARED))
    places = [place for rows in arms for place in rows.index]
    return study.outcomes.loc[study.outcomes.index.isin(places)]


def bare(frame: pd.DataFrame) -> pd.DataFrame:
    """Trials without a guard, at a constant rate, with a ``panel`` for each model and budget."""
    return panels(where(frame, clipping="none", schedule="constant"))


def panels(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with model and budget in words, as ``panel``."""
    budgets = zip(rows["model"], rows["epochs"], rows["updates"], strict=True)
    named = [
        f"{name(m)}, {f'{updates:,.0f} updates' if pd.isna(epochs) else f'{epochs:g} epochs'}"
        for m, epochs, updates in budgets
    ]
    return rows.assign(panel=named)


def shared(study: Evidence) -> pd.DataFrame:
    """`bare` at the budgets at which every optimizer was trained: they alone rank optimizers."""
    rows = bare(compared(study))
    counts = rows.groupby("panel")["optimizer"].nunique()
    whole = counts.index[counts == rows["optimizer"].nunique()]
    return rows[rows["panel"].isin(whole)]


def ranked(study: Evidence, rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The mean ``accuracy`` of ``rows`` at their best rates, with its ``low`` and ``high``.

    By the columns of ``by``, at the budgets of `shared`, the most accurate first; and the share
    ``exploded`` over all rates.
    """
    rows = where(rows, panel=list(shared(study)["panel"].unique()))
    if rows.empty:
        return pd.DataFrame()
    shares = rows.groupby(by, sort=False)["exploded"].mean().reset_index()
    found = interval(best_per_arm(rows, ["panel", *by]), "accuracy", by, statistic=mean)
    return shares.merge(found.rename(columns={"estimate": "accuracy"}), on=by).sort_values(
        "accuracy", ascending=False, kind="stable", ignore_index=True
    )


@functools.lru_cache(8)
def multiples(study: Evidence) -> pd.DataFrame:
    """What every setting reaches at each multiple of its best rate.

    Columns ``panel``, ``optimizer``, ``schedule``, ``clipping``, ``times``, ``rate`` (the one that
    was used at the best), ``accuracy`` (mean), ``diverged`` and ``exploded`` (shares). The first
    optimizer, and of each a constant rate without a guard, come first. ``ended`` has the shares in
    words: a dash where no trial exploded.
    """
    rows = panels(study.relative)
    by = ["panel", "optimizer", "schedule", "clipping"]
    used = rows[rows["times"] == 1].groupby(by)["learning_rate"].first().rename("rate")
    values = ["accuracy", "diverged", "exploded"]
    found = rows.groupby([*by, "times"], sort=False)[values].mean().reset_index()
    shares = zip(found["diverged"], found["exploded"], strict=True)
    said = [f"{percent(d, 0)} ({percent(e, 0)})" if e else DASH for d, e in shares]
    return (
        found.assign(ended=said)
        .merge(used.reset_index(), on=by)
        .sort_values(
            ["schedule", "clipping"], key=lambda c: ~c.isin(["constant", "none"]), kind="stable"
        )
    )


def plainly(study: Evidence) -> pd.DataFrame:
    """`multiples` at a constant rate and without a guard, where all optimizers were trained."""
    shown = list(shared(study)["panel"].unique())
    return where(multiples(study), clipping="none", schedule="constant", panel=shown)


def kept(study: Evidence) -> pd.DataFrame:
    """What each optimizer loses from its best rate to the largest multiple of it, least first.

    Columns ``optimizer``, ``lost`` (of accuracy, 0..1), ``diverged`` and ``exploded`` there, and
    ``times``.
    """
    rows = plainly(study)
    most = rows[rows["times"] == rows["times"].max()]
    # the mean over budgets, where all optimizers had several
    found = most.groupby("optimizer", sort=False)[["accuracy", "diverged", "exploded"]].mean()
    best = rows[rows["times"] == 1].groupby("optimizer")["accuracy"].mean()
    lost = best.reindex(found.index) - found.pop("accuracy")
    found = found.assign(lost=lost, times=rows["times"].max()).dropna(subset=["lost"])
    return found.reset_index().sort_values("lost", kind="stable", ignore_index=True)


def with_other_schedules(study: Evidence) -> pd.DataFrame:
    """The most accurate optimizer at a constant rate against the others, whose rate changes.

    The columns of `paired_comparison`, each ``level`` minus that optimizer, both at their best
    rates, with the schedule and the guard that validation chooses for each; empty where none of the
    others had a schedule.
    """
    rows = panels(study.relative)
    shown = list(shared(study)["panel"].unique())
    rows = where(rows[rows["times"] == 1], panel=shown)
    ranks = ranked(study, bare(compared(study)), ["optimizer"])
    changing = rows[rows["schedule"] != "constant"]
    if ranks.empty or changing.empty:
        return pd.DataFrame()
    first = ranks["optimizer"].iloc[0]
    own = ["schedule", "clipping", "clipping_threshold"]
    others = changing[changing["optimizer"] != first]
    chosen = best_per_arm(others, ["panel", "optimizer"], own[:2])
    both = pd.concat([where(bare(rows), optimizer=first), chosen])
    return paired_comparison(both, "optimizer", first, ignore=["learning_rate", *own])


def clipped_alike(study: Evidence) -> pd.DataFrame:
    """Each clipping against none at one and the same rate, by ``optimizer`` and ``times``.

    The columns of `paired_comparison`, where clippings were run at multiples of the best rate
    without; empty elsewhere.
    """
    same = study.shared
    if same.empty:
        return pd.DataFrame()
    bare = where(study.relative, clipping="none", optimizer=list(same["optimizer"].unique()))
    rows = pd.concat([bare, same], ignore_index=True)
    by, ignore = ["optimizer", "times"], ["arm", "clipping_threshold"]
    return paired_comparison(rows, "clipping", "none", by=by, ignore=ignore)


def far_above(study: Evidence) -> pd.DataFrame:
    """`clipped_alike` at multiples beyond those of all other comparisons, where any were run.

    With the shares of trials that ``diverged`` and that ``learned``, and the same of no clipping:
    ``bare_diverged`` and ``bare_learned``; ``case`` is optimizer and multiple in words.
    """
    arms = [in_relative_arms(study.outcomes, prefix) for prefix in ("", SHARED)]
    arms[0] = where(arms[0], clipping="none")
    rows = pd.concat(arms, ignore_index=True)
    rows = rows[rows["times"] > max(MULTIPLES)]
    if rows.empty:
        return pd.DataFrame()
    by, ignore = ["optimizer", "times"], ["arm", "clipping_threshold"]
    found = paired_comparison(rows, "clipping", "none", by=by, ignore=ignore)
    shares = rows.groupby([*by, "clipping"])[["diverged", "learned"]].mean().reset_index()
    bare = where(shares, clipping="none").drop(columns="clipping")
    bare = bare.rename(columns={end: f"bare_{end}" for end in ("diverged", "learned")})
    own = shares.rename(columns={"clipping": "level"})
    joined = found.merge(own, on=[*by, "level"]).merge(bare, on=by)
    cases = zip(joined["optimizer"], joined["times"], strict=True)
    return joined.assign(case=[f"{name(rule)}, {times:g} × best" for rule, times in cases])


def plateaus(study: Evidence) -> pd.DataFrame:
    """By optimizer, ``low_rate`` and ``high_rate``: the rates that are as good as the best.

    Of those that were tried without a guard at a constant rate and the shortest budget; ``best``
    is the one that was taken, ``seeds`` on how many it was chosen.
    """
    tried = bare(study.looked)
    if tried.empty:
        return pd.DataFrame()
    tried = tried[tried["updates"] == tried["updates"].min()]
    good = rates_as_good(tried, ["optimizer"])
    found = good.groupby("optimizer", sort=False).agg(
        low_rate=("learning_rate", "min"),
        high_rate=("learning_rate", "max"),
        best=("best_rate", "first"),
    )
    return found.assign(seeds=tried.groupby("optimizer")["seed"].nunique()).reset_index()


def sgd_as_good(study: Evidence) -> pd.DataFrame:
    """What SGD loses at the largest multiple of each ``rate`` that is as good as its best one.

    Columns ``rate``, ``times`` and ``lost``, in accuracy (0..1): `sgd_at_rates_as_good`.
    """
    found = []
    for rate, rows in sgd_at_rates_as_good(study).items():
        times = rows["times"].max()
        found.append((rate, times, where(rows, times=times)["lost"].mean()))
    return pd.DataFrame(found, columns=["rate", "times", "lost"])


def guards(study: Evidence) -> pd.DataFrame:
    """Each guard of most optimizers at the largest multiple, with ``panel`` and ``row``.

    The columns of `paired_comparison`, at a constant rate and the budget that all optimizers had,
    each setting at the multiple of its own best rate.
    """
    shown = list(shared(study)["panel"].unique())
    rows = where(panels(study.relative), schedule="constant", panel=shown)
    rows = rows[rows["times"] == rows["times"].max()]
    counts = rows[rows["clipping"] != "none"].groupby("clipping")["optimizer"].nunique()
    if counts.empty:
        return pd.DataFrame()
    rows = where(rows, clipping=["none", *counts.index[counts == counts.max()]])
    parts = {
        title: paired_comparison(
            rows, "clipping", "none", value, by=["optimizer"], ignore=["learning_rate"]
        )
        for title, value in (("diverged trials", "diverged"), ("test accuracy", "accuracy"))
    }
    # no two shares differ by more than all trials, whatever Student's interval of few seeds says
    shares = parts["diverged trials"]
    parts["diverged trials"] = shares.assign(
        low=shares["low"].clip(-1.0), high=shares["high"].clip(upper=1.0)
    )
    found = pd.concat(parts, names=["panel"]).reset_index("panel")
    return found.assign(row=found["optimizer"], clipping=found["level"])
