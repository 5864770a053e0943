"""Clippings at one and the same rate, and at multiples of each configuration's own best rate."""

from __future__ import annotations

import functools
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmark.statistics import (
    chosen_rates,
    interval,
    mean,
    paired_comparison,
    tied_ranks,
)
from benchmark.statistics.rates import Choice, choices_of_single_seeds
from report.evidence import Evidence, where
from report.prose import listing, name, phrase, rate

SETTING = ["dataset", "model", "normalization"]
NETWORK = ["model", "normalization"]
MULTIPLES = (1, 3, 10)
ENDS = ["effect", "low", "high"]
BEST = "its best rate"
"""In the place of a clipping: the network without any, at its best rate."""
FRACTIONS = ("clipped_fraction", "skipped_fraction")
"""Of the steps: in which a rule acted."""
ALIKE = 0.9
"""Share of pairs with one and the same accuracy from which two clippings are one rule."""


def _rows(study: Evidence, *, same_rate: bool) -> pd.DataFrame:
    """All at multiples of their own best rate, or all at those of the best without clipping."""
    if not same_rate:
        return study.relative
    bare = where(study.relative, clipping="none", times=list(study.shared["times"].unique()))
    return pd.concat([study.shared, bare])


@functools.lru_cache(8)
def against_none(
    study: Evidence, value: str = "accuracy", *, same_rate: bool = False
) -> pd.DataFrame:
    """Every clipping against none in each setting and at each multiple, paired by seed.

    Each at multiples of its own best rate, or, at the ``same_rate``, all at multiples of the best
    without clipping. The columns of `paired_comparison`, of the setting, ``times`` and ``panel``.
    """
    by, ignore = [*SETTING, "times"], ["arm" if same_rate else "learning_rate"]
    rows = _rows(study, same_rate=same_rate)
    found = paired_comparison(rows, "clipping", "none", value, by=by, ignore=ignore)
    of = "best rate without" if same_rate else "best rate"
    panels = {times: f"{times} × {of}" for times in MULTIPLES} | {1: of}
    return found.assign(panel=found["times"].map(panels))


@functools.lru_cache(8)
def against_best(study: Evidence, *, same_rate: bool = False) -> pd.DataFrame:
    """Every clipping, and none, against the network without clipping at its best rate.

    What a rate costs with a clipping: a user could have lowered the rate instead. The rows, and
    the columns, of `against_none`, and those without clipping away from the best rate.
    """
    bare = where(study.relative, clipping="none", times=1).assign(clipping=BEST)
    rows = _rows(study, same_rate=same_rate)
    rows = rows[rows["clipping"].ne("none") | rows["times"].ne(1)]
    parts = [bare.assign(times=times) for times in rows["times"].unique()]
    by, ignore = [*SETTING, "times"], ["arm", "learning_rate"]
    rows = pd.concat([*parts, rows])
    return paired_comparison(rows, "clipping", BEST, by=by, ignore=ignore)


@functools.lru_cache(8)
def idle(study: Evidence, *, same_rate: bool = False) -> frozenset[tuple[str, str, int, str]]:
    """Network, normalization, multiple and clipping of the rules that changed no step of a trial.

    Such a rule is training without clipping, whatever its accuracy, and is ranked nowhere.
    """
    rows = _rows(study, same_rate=same_rate)
    rows = rows[rows["clipping"].ne("none") & rows["clipped_fraction"].notna()]
    acted = rows[[c for c in FRACTIONS if c in rows]].gt(0).any(axis=1)
    ever = acted.groupby([rows[c] for c in (*NETWORK, "times", "clipping")]).any()
    return frozenset(ever.index[~ever])


@functools.lru_cache(8)
def twins(study: Evidence, model: str, normalization: str) -> dict[str, str]:
    """Clippings that did the same as another one, by name: the other, which stands for both.

    Two are one rule where nine in ten of their pairs of trials, at any multiple of either kind,
    end at the same accuracy to the last digit.
    """
    kinds = (study.relative.assign(kind="own"), study.shared.assign(kind="same"))
    rows = where(pd.concat(kinds), model=model, normalization=normalization)
    rows = rows[rows["clipping"].ne("none")]
    cells = rows.pivot_table("accuracy", ["dataset", "kind", "times", "seed"], "clipping")
    order = [level for level in rows["clipping"].unique() if level in cells]
    still = {level for *_, level in idle(study)}
    found: dict[str, str] = {}
    for first, second in combinations(sorted(order, key=len), 2):
        both = cells[[first, second]].dropna()
        same = float((both[first] == both[second]).mean()) if len(both) else 0.0
        if same >= ALIKE and not {first, second} & still:
            found[second] = found.get(first, first)
    return found


def never_acted(study: Evidence) -> list[tuple[str, str]]:
    """Each clipping that was `idle`, and in which networks up to which multiple."""
    found: dict[str, list[str]] = {}
    ever = {(*key[:2], key[3]): key[2] for key in sorted(idle(study))}
    for (model, normalization, level), times in ever.items():
        network = f"in the {name(model)} with {phrase('normalization', normalization)}"
        upto = "at the best rate" if times == 1 else f"up to {times} times the best rate"
        found.setdefault(level, []).append(f"{network} {upto}")
    return [(level, listing(places, ";")) for level, places in found.items()]


class Network(NamedTuple):
    """A network with what was compared on it: the rules that act, and those that did not."""

    model: str
    normalization: str

    @property
    def name(self) -> str:
        """As a figure and a table name it."""
        return f"{name(self.model)}, {phrase('normalization', self.normalization)}"


def networks(study: Evidence) -> list[Network]:
    """The networks of the study, in the order of its trials, those without normalization first."""
    found = study.relative[NETWORK].drop_duplicates().itertuples(index=False, name=None)
    return [Network(*pair) for pair in sorted(found, key=lambda n: (n[0] != "mlp", n[1] != "none"))]


@functools.lru_cache(16)
def rules(study: Evidence, network: Network) -> pd.DataFrame:
    """What the clippings do for a network: a row a multiple and distinct rule that acted.

    Columns ``level``, ``rule`` (its name, with those that did the same), ``rate``, ``times``,
    ``same_rate``; over the data sets the mean ``saved`` (against none at that rate, NaN at a rate
    that none was not trained at) and ``cost`` (against none at its best rate), each with a
    ``..._sure`` star where the intervals of all data sets exclude zero; ``place``, the rank, which
    those share that cannot be told from the first of them.
    """
    parts = [_ranked(study, network, same_rate=same_rate) for same_rate in (True, False)]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def each_rule(study: Evidence) -> pd.DataFrame:
    """`rules` at the same rate, of one network after the other, the first at the largest first."""
    found = pd.concat(
        [where(rules(study, n), same_rate=True).assign(network=n.name) for n in networks(study)]
    )
    order = {n.name: place for place, n in enumerate(networks(study))}
    keys = [found["network"].map(order), -found["times"], -found["cost"]]
    return found.iloc[np.lexsort([key.to_numpy() for key in reversed(keys)])]


def _ranked(study: Evidence, network: Network, *, same_rate: bool) -> pd.DataFrame:
    here = network._asdict()
    if same_rate and study.shared.empty:
        return pd.DataFrame()
    cost = where(against_best(study, same_rate=same_rate), **here)
    saved = where(against_none(study, same_rate=same_rate), **here)
    by = ["times", "level"]
    found = _means(cost, by, "cost").merge(_means(saved, by, "saved"), on=by, how="left")
    found["saved_sure"] = found["saved_sure"].fillna("")
    still, double = idle(study, same_rate=same_rate), twins(study, *network)
    kept = [
        (*network, times, level) not in still and level not in double
        for times, level in zip(found["times"], found["level"], strict=True)
    ]
    found = found[kept].sort_values(["times", "cost"], ascending=[True, False], kind="stable")
    rows = where(_rows(study, same_rate=same_rate), **here)
    ignore = ["learning_rate", "arm"]
    places = []
    for times, part in found.groupby("times"):
        there, order = rows[rows["times"] == times], list(part["level"])
        ranks = tied_ranks(there, "clipping", order, ignore=ignore)
        places.append(pd.Series(ranks, part.index))
    also: dict[str, list[str]] = {}
    for level, first in double.items():
        also.setdefault(first, [first]).append(level)
    return found.assign(
        place=pd.concat(places) if places else [],
        rule=[listing(map(name, also.get(level, [level]))) for level in found["level"]],
        same_rate=same_rate,
        **here,
    )


def _means(rows: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Over the data sets the mean effect as ``value``, with its mean ends, and its star."""
    sure = (rows["low"] > 0) | (rows["high"] < 0)
    agree = np.sign(rows["effect"]).groupby([rows[c] for c in by]).transform("nunique").eq(1)
    groups = rows.assign(sure=sure & agree).groupby(by, sort=False)
    found = groups[ENDS].mean().rename(columns={"effect": value})
    found = found.rename(columns={end: f"{value}_{end}" for end in ENDS[1:]})
    found[f"{value}_sure"] = groups["sure"].all().map({True: "*", False: ""})
    return found.reset_index()


@functools.lru_cache(8)
def elsewhere(study: Evidence, times: int = 10) -> pd.DataFrame:
    """The best clipping, chosen on one data set and reported on another, at one rate for all.

    Columns ``model``, ``normalization``, ``chosen_on``, ``dataset``, ``level``, the ``effect``
    against none at that rate with its interval, and ``cost``, ``cost_low``, ``cost_high`` against
    none at its best rate. A largest of many is larger by chance where it is chosen; with a single
    data set it is chosen by validation accuracy, and reported by test accuracy. Where nothing was
    trained at such rates, at multiples of each one's own.
    """
    same_rate = bool(len(study.shared))
    rows = where(_rows(study, same_rate=same_rate), times=times)
    rows = rows[rows["clipping"].ne("none")]
    saved, cost = (
        where(against(study, same_rate=same_rate), times=times)
        for against in (against_none, against_best)
    )
    cost = cost.rename(columns={"effect": "cost", "low": "cost_low", "high": "cost_high"})
    cost = cost[[*SETTING, "level", "cost", "cost_low", "cost_high"]]
    found = []
    for network in networks(study):
        group = where(rows, **network._asdict())
        sets = list(group["dataset"].unique())
        for chosen_on in sets:
            value = "accuracy" if len(sets) > 1 else "validation"
            means = where(group, dataset=chosen_on).groupby("clipping", sort=False)[value].mean()
            others = [d for d in sets if d != chosen_on] or sets
            here = where(saved, level=means.idxmax(), dataset=others)
            found.append(where(here, **network._asdict()).assign(chosen_on=chosen_on))
    if not found:
        return pd.DataFrame()
    return pd.concat(found).merge(cost, on=[*SETTING, "level"], how="left").reset_index(drop=True)


def far_above(study: Evidence, normalization: str) -> list[dict[str, object]]:
    """By ``model`` what clipping saves at ten times the best rate without it, at one rate for all.

    Of the clippings chosen `elsewhere` the mean ``effect`` and ``cost``, with the mean ends of
    their intervals, and in ``names`` all that share the first rank; a model where one of them does
    not surely gain has no effect.
    """
    chosen = elsewhere(study)
    found = []
    for network in networks(study):
        if network.normalization != normalization:
            continue
        here = where(chosen, **network._asdict())
        if len(here):
            sure = bool((here["low"] > 0).all())
            numbers = here.select_dtypes("number").mean().to_dict()
            best = numbers | {"names": _first(study, network)} if sure else {}
            found.append({"model": network.model, **best})
    return found


def _first(study: Evidence, network: Network) -> str:
    """The clippings that share the first rank at ten times the best rate."""
    rows = where(rules(study, network), times=10, same_rate=bool(len(study.shared)), place=1)
    return listing(phrase("clipping", level) for level in rows["level"] if level != "none")


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


def choice(study: Evidence) -> Choice | None:
    """`choices_of_single_seeds` of the rates that were looked for; None without any."""
    looked = study.looked
    return choices_of_single_seeds(looked, [*SETTING, "clipping"]) if len(looked) else None


def outcomes_at(study: Evidence, *, same_rate: bool = False) -> pd.DataFrame:
    """How the trials of each clipping end at a multiple, as shares of them.

    ``diverged`` with its interval ``low`` and ``high``, ``healed`` and their sum ``exploded``; and
    ``stuck``, the share that neither spiked nor learned.
    """
    rows, by = _rows(study, same_rate=same_rate), [*NETWORK, "clipping", "times"]
    stuck = rows["exploded"].eq(0) & rows["learned"].eq(0)
    rows = rows.assign(diverged=rows["diverged"].astype(bool), stuck=stuck)
    found = interval(rows, "diverged", by, statistic=mean)
    shares = rows.groupby(by, sort=False)[["exploded", "overshoot", "stuck"]].mean().reset_index()
    found = found.rename(columns={"estimate": "diverged"}).merge(shares, on=by)
    return found.rename(columns={"overshoot": "healed"}).assign(same_rate=same_rate)


def endings(study: Evidence) -> pd.DataFrame:
    """Shares of `outcomes_at` as a figure has them: ``network``, ``panel`` and ``level``.

    At multiples of each one's own best rate, then at those of the best rate without clipping.
    """
    parts = []
    for same_rate, of in ((False, "own best"), (True, "one rate")):
        if same_rate and study.shared.empty:
            continue
        rows = outcomes_at(study, same_rate=same_rate).sort_values("times", kind="stable")
        panels = [f"{times} × {of}" for times in rows["times"]]
        parts.append(rows.assign(panel=panels, level=rows["clipping"]))
    return _in_networks(study, pd.concat(parts))


def costs(study: Evidence, *, same_rate: bool) -> pd.DataFrame:
    """`against_best` as a figure has it, without rules that did not act or did as another one."""
    rows = against_best(study, same_rate=same_rate)
    still = idle(study, same_rate=same_rate)
    double = {(*n, level) for n in networks(study) for level in twins(study, *n)}
    out = [
        (*key, times, level) in still or (*key, level) in double
        for *key, times, level in rows[[*NETWORK, "times", "level"]].itertuples(index=False)
    ]
    return _in_networks(study, rows[~np.array(out, dtype=bool)].assign(panel=rows["dataset"]))


def _in_networks(study: Evidence, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one network after the other, with the ``network`` as a figure names it."""
    return pd.concat(
        [where(rows, **n._asdict()).assign(network=n.name) for n in networks(study)],
        ignore_index=True,
    )


def own_rates(study: Evidence) -> pd.DataFrame:
    """By network and clipping the best ``rates`` on each data set, and what multiples cost.

    The rows of `rules` at multiples of each one's own best rate; at its best rate none is the
    baseline, and has no cost.
    """
    found = pd.concat(
        [where(rules(study, n), same_rate=False).assign(network=n.name) for n in networks(study)]
    )
    by = [*SETTING, "clipping"]
    best = where(study.relative, times=1).drop_duplicates(by).sort_values("dataset")
    edges = chosen_rates(study.looked, by)[[*by, "edge"]] if len(study.looked) else best[by]
    best = best.merge(edges.assign(edge=edges.get("edge", "")), on=by, how="left")
    said = [rate(*row) for row in best[["learning_rate", "edge"]].itertuples(index=False)]
    groups = best.assign(rates=said).groupby([*NETWORK, "clipping"], sort=False)["rates"]
    keys = [*NETWORK, "level"]
    out = found.merge(groups.agg(" / ".join).rename_axis(keys).reset_index(), on=keys)
    return out.assign(sets=listing(map(name, best["dataset"].unique())))


def bare(study: Evidence) -> pd.DataFrame:
    """Without clipping, a row a network: ``rates``, and what explodes at each multiple.

    ``least`` and ``most`` of the best rates of the data sets, ``exploded_1`` to ``diverged_10``.
    """
    shares = where(outcomes_at(study), clipping="none")
    wide = shares.pivot(index=NETWORK, columns="times", values=["exploded", "diverged"])
    wide.columns = [f"{value}_{times}" for value, times in wide.columns]
    rates = where(study.relative, clipping="none", times=1).groupby(NETWORK)["learning_rate"]
    found = wide.assign(least=rates.min(), most=rates.max())
    order = [tuple(network) for network in networks(study) if tuple(network) in found.index]
    return found.loc[order].reset_index()


def moved_by_normalization(study: Evidence) -> pd.DataFrame:
    """Without clipping, by ``model``: the best rate with batch normalization over that without.

    ``least`` and ``most`` of the data sets; empty where both were not trained.
    """
    rows = where(study.relative, clipping="none", times=1)
    rates = rows.pivot_table("learning_rate", ["model", "dataset"], "normalization")
    if not {"none", "batch"} <= set(rates):
        return pd.DataFrame(columns=["model", "least", "most"])
    ratios = (rates["batch"] / rates["none"]).dropna().groupby("model", sort=False)
    return pd.DataFrame({"least": ratios.min(), "most": ratios.max()}).reset_index()


def headroom(plain: pd.DataFrame) -> float:
    """Of `bare`: by how much more trials diverge without normalization than with batch, at most."""
    columns = [c for c in plain if str(c).startswith("diverged_")]
    sides = plain.pivot(index="model", columns="normalization", values=columns)
    without, batch = (sides.xs(level, axis=1, level=1) for level in ("none", "batch"))
    return float((without - batch).max(axis=None))
