"""Clippings at one and the same rate, and at multiples of each configuration's own best rate."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import (
    against_reference,
    at_own_and_same_rates,
    choices_of_single_seeds,
    chosen_rates,
    copies,
    cross_chosen,
    idle_in,
    mean_effects,
    outcome_means,
    paired_comparison,
    rate_ratios,
    with_ranks,
)
from benchmark.statistics.rates import Choice
from report.evidence import Evidence, where
from report.prose import listing, name, phrase, rate

NETWORK = ["model", "normalization"]
SETTING = ["dataset", *NETWORK]
RATES = ["same_rate", "times"]
MULTIPLES = (1, 3, 10)
BEST = "its best rate"
"""In the place of a clipping: the network without any, at its best rate."""
APART = ["learning_rate", "arm"]
"""What trials differ in that are compared at one multiple."""


@functools.lru_cache(8)
def trials(study: Evidence) -> pd.DataFrame:
    """`at_own_and_same_rates` of the study."""
    return at_own_and_same_rates(study.outcomes)


@functools.lru_cache(8)
def networks(study: Evidence) -> pd.DataFrame:
    """The ``model``, ``normalization`` and name of each ``network``.

    In the order of the study's trials, the dense one first, and those without normalization.
    """
    rows = trials(study)[NETWORK].drop_duplicates()
    rows = rows.sort_values("normalization", key=lambda n: n.ne("none"), kind="stable")
    rows = rows.sort_values("model", key=lambda m: m.ne("mlp"), kind="stable", ignore_index=True)
    return rows.assign(network=[f"{name(m)}, {phrase('normalization', n)}" for m, n in rows.values])


def _in_networks(study: Evidence, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one ``network`` after the other."""
    order = list(networks(study)["network"])
    found = rows.merge(networks(study), on=NETWORK)
    return found.sort_values(
        "network", key=lambda names: names.map(order.index), kind="stable", ignore_index=True
    )


@functools.lru_cache(8)
def against_none(study: Evidence, *, same_rate: bool = False) -> pd.DataFrame:
    """Every clipping against none in each setting and at each multiple, paired by seed.

    Each at multiples of its own best rate, or, at the ``same_rate``, all at multiples of the best
    without clipping. The columns of `paired_comparison`, of the setting and ``times``.
    """
    rows = where(trials(study), same_rate=same_rate)
    return paired_comparison(rows, "clipping", "none", by=[*SETTING, "times"], ignore=APART)


@functools.lru_cache(8)
def against_best(study: Evidence, *, same_rate: bool = False) -> pd.DataFrame:
    """Every clipping, and none, against the network without clipping at its best rate.

    What a rate costs with a clipping: a user could have lowered the rate instead. The rows, and
    the columns, of `against_none`, and those without clipping away from the best rate.
    """
    rows = where(trials(study), same_rate=same_rate)
    bare = where(trials(study), same_rate=False, clipping="none", times=1)
    rows = rows[rows["clipping"].ne("none") | rows["times"].ne(1)]
    kw = {"by": SETTING, "across": ["times"], "ignore": APART, "named": BEST}
    return against_reference(rows, bare, "clipping", **kw)


@functools.lru_cache(8)
def idle(study: Evidence) -> pd.DataFrame:
    """By network, ``same_rate`` and ``times`` each ``level`` that changed no step of a trial.

    Such a rule is training without clipping, whatever its accuracy, and is ranked nowhere.
    """
    rows = trials(study)
    return idle_in(rows[rows["clipping"].ne("none")], [*NETWORK, *RATES])


@functools.lru_cache(8)
def doubles(study: Evidence) -> pd.DataFrame:
    """By network each ``level`` that did the same as another one (`copies`), the ``original``."""
    rows, never = trials(study), where(idle(study), same_rate=False)
    found = []
    for network, part in rows.groupby(NETWORK, sort=False):
        still = where(never, **dict(zip(NETWORK, network, strict=True)))["level"]
        pairs = copies(part[~part["clipping"].isin(still)], "clipping", "none").items()
        found += [(*network, *pair) for pair in pairs if pair[1] != "none"]
    return pd.DataFrame(found, columns=[*NETWORK, "level", "original"])


def _distinct(study: Evidence, rows: pd.DataFrame, *, same_rate: bool) -> pd.DataFrame:
    """``rows`` without the levels that are `idle` there or `doubles`."""
    for out in (where(idle(study), same_rate=same_rate), doubles(study)):
        keys = [c for c in out if c in rows]
        rows = rows[~pd.MultiIndex.from_frame(rows[keys]).isin(pd.MultiIndex.from_frame(out[keys]))]
    return rows


def never_acted(study: Evidence) -> pd.DataFrame:
    """By network each ``level`` that was `idle` at its own rates, and ``reach``, up to which."""
    by = [*NETWORK, "level"]
    times = where(idle(study), same_rate=False).groupby(by)["times"].max().reset_index()
    reach = [f"up to {t} times the best rate" if t > 1 else "at the best rate" for t in times.times]
    return times.assign(reach=reach)


@functools.lru_cache(8)
def rules(study: Evidence, *, same_rate: bool = True) -> pd.DataFrame:
    """What the clippings do: a row a ``network``, multiple and distinct rule that acted.

    Columns ``level``, ``rule`` (its name, with those that did the same), ``times``; over the data
    sets the mean ``saved`` (against none at that rate, NaN where none was not trained at it) and
    ``cost`` (against none at its best rate), each as `mean_effects` has them; ``place``, the rank,
    which those share that cannot be told from the first of them. The best of each multiple first.
    """
    by = [*NETWORK, "times"]
    cost, saved = (
        mean_effects(effects(study, same_rate=same_rate), [*by, "level"], word)
        for word, effects in (("cost", against_best), ("saved", against_none))
    )
    found = cost.merge(saved, on=[*by, "level"], how="left").fillna({"saved_sure": ""})
    found = _distinct(study, found, same_rate=same_rate)
    found = found.sort_values(["times", "cost"], ascending=[True, False], kind="stable")
    found = _in_networks(study, found)
    rows = where(trials(study), same_rate=same_rate)
    also = doubles(study).groupby([*NETWORK, "original"])["level"].agg(list).to_dict()
    keys = found[[*NETWORK, "level"]].itertuples(index=False, name=None)
    said = [listing(map(name, [key[-1], *also.get(key, [])])) for key in keys]
    return with_ranks(found, rows, "clipping", by, ignore=APART).assign(rule=said)


def from_the_largest(study: Evidence) -> pd.DataFrame:
    """`rules` at the same rate, of one network after the other, the largest multiple first."""
    rows = rules(study).sort_values(["times", "cost"], ascending=False, kind="stable")
    return _in_networks(study, rows.drop(columns="network"))


@functools.lru_cache(8)
def elsewhere(study: Evidence, times: int = 10) -> pd.DataFrame:
    """The best clipping, chosen on one data set and reported on another, at one rate for all.

    `cross_chosen` by network, with the ``effect`` against none at that rate and its interval, and
    ``cost``, ``cost_low``, ``cost_high`` against none at its best rate. Where nothing was trained
    at such rates, at multiples of each one's own.
    """
    same_rate = bool(len(study.shared))
    rows = where(trials(study), same_rate=same_rate, times=times)
    chosen = cross_chosen(rows[rows["clipping"].ne("none")], "clipping", NETWORK)
    saved, cost = (
        where(against(study, same_rate=same_rate), times=times)
        for against in (against_none, against_best)
    )
    cost = cost.rename(columns={"effect": "cost", "low": "cost_low", "high": "cost_high"})
    keys = [*SETTING, "level"]
    cost = cost[[*keys, "cost", "cost_low", "cost_high"]]
    return _in_networks(study, chosen.merge(saved, on=keys).merge(cost, on=keys, how="left"))


def far_above(study: Evidence, normalization: str) -> list[dict[str, object]]:
    """By ``model`` what clipping saves at ten times the best rate without it, at one rate for all.

    Of the clippings chosen `elsewhere` the mean ``effect`` and ``cost``, with the mean ends of
    their intervals, and in ``names`` all that share the first rank; a model where one of them does
    not surely gain has no effect.
    """
    chosen = where(elsewhere(study), normalization=normalization)
    first = where(rules(study, same_rate=bool(len(study.shared))), times=10, place=1)
    first = first[first["level"].ne("none")].assign(said=lambda f: f["level"].map(_clipping))
    found = []
    for model, here in chosen.groupby("model", sort=False):
        numbers = here.select_dtypes("number").mean().to_dict()
        tied = where(first, model=model, normalization=normalization)["said"]
        best = numbers | {"names": listing(tied)} if (here["low"] > 0).all() else {}
        found.append({"model": model, **best})
    return found


_clipping = functools.partial(phrase, "clipping")


def room(study: Evidence, normalization: str, model: str) -> pd.DataFrame:
    """`rate_ratios` of the best rates over that without clipping, the largest first."""
    rows = where(trials(study), times=1, same_rate=False, normalization=normalization, model=model)
    found = rate_ratios(rows, "clipping", "none")
    return found.sort_values(["least", "most"], ascending=False, kind="stable")


def choice(study: Evidence) -> Choice | None:
    """`choices_of_single_seeds` of the rates that were looked for; None without any."""
    looked = study.looked
    return choices_of_single_seeds(looked, [*SETTING, "clipping"]) if len(looked) else None


def endings(study: Evidence) -> pd.DataFrame:
    """How the trials of each ``level`` end, by ``network`` and ``panel``: shares of them.

    ``diverged`` with its interval ``low`` and ``high``, ``healed`` and their sum ``exploded``; and
    ``stuck``, the share that neither spiked nor learned. At multiples of each one's own best rate,
    then at those of the best rate without clipping.
    """
    rows = trials(study)
    rows = rows.assign(
        stuck=rows["exploded"].eq(0) & rows["learned"].eq(0), healed=rows["overshoot"]
    )
    shares = outcome_means(
        rows, [*NETWORK, *RATES, "clipping"], ["diverged", "exploded", "healed", "stuck"]
    ).sort_values(RATES, kind="stable")
    of = shares["same_rate"].map({False: "own best", True: "one rate"})
    panels = shares["times"].map("{} × ".format) + of
    return _in_networks(study, shares.assign(panel=panels, level=shares["clipping"]))


def costs(study: Evidence, *, same_rate: bool) -> pd.DataFrame:
    """`against_best` as a figure has it, without rules that did not act or did as another one."""
    rows = _distinct(study, against_best(study, same_rate=same_rate), same_rate=same_rate)
    return _in_networks(study, rows.assign(panel=rows["dataset"]))


def own_rates(study: Evidence) -> pd.DataFrame:
    """By network and clipping the best ``rates`` on each data set, and what multiples cost.

    The rows of `rules` at multiples of each one's own best rate; at its best rate none is the
    baseline, and has no cost.
    """
    by = [*SETTING, "clipping"]
    best = where(study.relative, times=1).drop_duplicates(by).sort_values("dataset")
    edges = chosen_rates(study.looked, by)[[*by, "edge"]] if len(study.looked) else best[by]
    best = best.merge(edges.assign(edge=edges.get("edge", "")), on=by, how="left")
    said = [rate(*row) for row in best[["learning_rate", "edge"]].itertuples(index=False)]
    best = best.assign(rates=said).rename(columns={"clipping": "level"})
    keys = [*NETWORK, "level"]
    rates = best.groupby(keys, sort=False)["rates"].agg(" / ".join).reset_index()
    found = rules(study, same_rate=False).merge(rates, on=keys)
    return found.assign(sets=listing(map(name, best["dataset"].unique())))


def bare(study: Evidence) -> pd.DataFrame:
    """Without clipping, a row a network: ``rates``, and what explodes at each multiple.

    ``least`` and ``most`` of the best rates of the data sets, ``exploded_1`` to ``diverged_10``.
    """
    rows = where(study.relative, clipping="none")
    wide = rows.pivot_table(["exploded", "diverged"], NETWORK, "times")
    wide.columns = wide.columns.map("{0[0]}_{0[1]}".format)
    rates = where(rows, times=1).groupby(NETWORK)["learning_rate"].agg(least="min", most="max")
    return _in_networks(study, wide.join(rates).reset_index())


def moved_by_normalization(study: Evidence) -> pd.DataFrame:
    """Without clipping, by ``model``: the best rate with batch normalization over that without."""
    rows = where(study.relative, clipping="none", times=1)
    return where(rate_ratios(rows, "normalization", "none", ["model"]), level="batch")


def headroom(plain: pd.DataFrame) -> float:
    """Of `bare`: by how much more trials diverge without normalization than with batch, at most."""
    columns = [c for c in plain if str(c).startswith("diverged_")]
    sides = plain.pivot(index="model", columns="normalization", values=columns)
    without, batch = (sides.xs(level, axis=1, level=1) for level in ("none", "batch"))
    return float((without - batch).max(axis=None))
