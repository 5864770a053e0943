"""Clippings at one and the same rate, and at multiples of each configuration's own best rate."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd

from benchmark.statistics import (
    RaisedRates,
    at_own_and_same_rates,
    choices_of_single_seeds,
    chosen_rates,
    outcome_means,
    rate_ratios,
)
from benchmark.statistics.rates import Choice, rates_as_good
from benchmark.statistics.selection import NETWORK, SETTING, where
from benchmark.statistics.tuned_thresholds import (
    at_every_threshold,
    chosen_thresholds,
    with_tuned_thresholds,
)
from report.evidence import Evidence
from report.prose import listing, name, number, phrase, rate

MULTIPLES = (1, 3, 10)
NEAR = 0.25
"""Accuracy (0..1) below that at the best rate, within which a network is nearly as good."""
CLUSTERS = 0.2
"""Gap between neighbouring accuracies (0..1) that sets those of networks apart in two clusters."""


@functools.lru_cache(8)
def raised(study: Evidence, *, same_rate: bool) -> RaisedRates:
    """The study's `RaisedRates`: each clipping at multiples of its own best rate, or at one."""
    return RaisedRates(study.outcomes, same_rate)


@functools.lru_cache(8)
def tuned(study: Evidence) -> RaisedRates | None:
    """`raised` at the same rate, each clipping at the threshold that other seeds choose.

    Of the clippings that were trained at further thresholds; None where none was.
    """
    if at_every_threshold(study.outcomes).empty:
        return None
    return RaisedRates(with_tuned_thresholds(study.outcomes), same_rate=True)


def against_none(study: Evidence) -> pd.DataFrame:
    """What each clipping saves at multiples of its own best rate (`RaisedRates`)."""
    return raised(study, same_rate=False).saved


@functools.lru_cache(8)
def networks(study: Evidence) -> pd.DataFrame:
    """The ``model``, ``normalization`` and name of each ``network``.

    In the order of the study's trials, the dense one first, and those without normalization.
    """
    rows = study.relative[NETWORK].drop_duplicates()
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


def never_acted(study: Evidence) -> pd.DataFrame:
    """By network each ``level`` that was idle at its own rates, and ``reach``, up to which."""
    idle = raised(study, same_rate=False).idle
    times = idle.groupby([*NETWORK, "level"])["times"].max().reset_index()
    reach = [f"up to {t} times the best rate" if t > 1 else "at the best rate" for t in times.times]
    return times.assign(reach=reach)


def rules(study: Evidence, *, same_rate: bool = True) -> pd.DataFrame:
    """The ranks of `RaisedRates`, in words the ``rank`` and each ``rule``, with its doubles."""
    return _in_networks(study, _in_words(raised(study, same_rate=same_rate).ranks))


def _in_words(ranks: pd.DataFrame) -> pd.DataFrame:
    each = zip(ranks["level"], ranks["also"], strict=True)
    said = [listing(map(name, [level, *also])) for level, also in each]
    places = ranks["place"].map("{:g}".format, na_action="ignore").fillna("–")
    return ranks.assign(rule=said, rank=places)


def from_the_largest(study: Evidence) -> pd.DataFrame:
    """`rules` at the same rate, of one network after the other, the largest multiple first."""
    rows = rules(study).sort_values(["times", "cost"], ascending=False, kind="stable")
    return _in_networks(study, rows.drop(columns="network"))


@functools.lru_cache(8)
def elsewhere(study: Evidence) -> pd.DataFrame:
    """The best clipping at ten times a best rate, chosen on one data set and reported on another.

    At one rate for all; where nothing was trained so, at multiples of each one's own. Beside it
    ``bare_diverged``, the share of the trials without clipping that diverge at ten times their own.
    """
    one = raised(study, same_rate=bool(len(study.shared)))
    bare = where(study.relative, clipping="none", times=10).groupby(SETTING)["diverged"].mean()
    found = one.elsewhere(times=10).merge(bare.rename("bare_diverged").reset_index(), "left")
    return _in_networks(study, found)


def far_above(study: Evidence, normalization: str) -> list[dict[str, Any]]:
    """By ``model`` what clipping saves at ten times the best rate without it, at one rate for all.

    ``sets``, the rows of `elsewhere`, one a data set: their effects may differ as much as the data
    sets do, and have no common mean. Where clipping surely gains on each of them, ``names`` are all
    that share the first rank.
    """
    chosen = where(elsewhere(study), normalization=normalization)
    first = where(rules(study, same_rate=bool(len(study.shared))), times=10, place=1)
    first = first[first["level"].ne("none")]
    found = []
    for model, here in chosen.groupby("model", sort=False):
        tied = where(first, model=model, normalization=normalization)["level"]
        names = listing(phrase("clipping", level) for level in tied)
        sure = {"names": names} if (here["low"] > 0).all() else {}
        found.append({"model": model, "sets": here.sort_values("dataset"), **sure})
    return found


@functools.lru_cache(8)
def tuned_rules(study: Evidence) -> pd.DataFrame:
    """The rules of `tuned` by network and data set, the best first, with their ranks.

    Each with ``rule`` and ``rank`` in words and ``place``, the number; the columns of
    `chosen_thresholds`; and, against no clipping at its best rate, ``cost`` with ``cost_low`` and
    ``cost_high``, beside ``default_cost``, that with the default threshold. ``tied``: shares the
    first place.
    """
    one = tuned(study)
    if one is None:
        return pd.DataFrame()
    keys, ends = [*SETTING, "level", "times"], ["", "_low", "_high"]
    named = {end: "cost" + more for end, more in zip(["effect", "low", "high"], ends, strict=True)}
    cost = one.cost.rename(columns=named)[[*keys, *named.values()]]
    default = raised(study, same_rate=True).cost.rename(columns={"effect": "default_cost"})
    saved = one.saved.rename(columns={"effect": "saved"})[[*keys, "saved"]]
    chosen = chosen_thresholds(study.outcomes).rename(columns={"clipping": "level"})
    found = _in_words(one.ranks)[[*NETWORK, "times", "level", "place", "rank", "rule"]]
    found = found.assign(at=range(len(found)), tied=found["place"].eq(1))
    for more in (cost, saved, default[[*keys, "default_cost"]], chosen):
        found = found.merge(more)
    order = found.sort_values(["dataset", "at"], ascending=[False, True], kind="stable")
    return _in_networks(study, order.drop(columns=["network", "at"], errors="ignore"))


def tuned_means(study: Evidence) -> pd.DataFrame:
    """`tuned_rules` by network and rule: means over the data sets of ``saved`` and the costs.

    With the ``thresholds`` on each, in words; ``sure``, a star, where all intervals of ``cost`` lie
    on one side of zero.
    """
    rows = tuned_rules(study)
    rows = rows.assign(
        _said=[number(t) for t in rows["threshold"]],
        _sign=(rows["cost_low"] > 0).astype(int) - (rows["cost_high"] < 0).astype(int),
    )
    keys = ["network", "model", "normalization", "level", "rule", "rank", "place", "default"]
    found = rows.groupby(keys, sort=False, dropna=False).agg(
        saved=("saved", "mean"),
        default_cost=("default_cost", "mean"),
        cost=("cost", "mean"),
        thresholds=("_said", lambda said: " / ".join(dict.fromkeys(said))),
        sure=("_sign", lambda signs: "*" if abs(signs.sum()) == len(signs) else ""),
    )
    return found.reset_index()


def at_best(study: Evidence) -> pd.DataFrame:
    """`against_none` at each one's own best rate, of the clippings that acted in that setting.

    ``within`` says that the difference is no larger than those of `noise_floor`.
    """
    rows = where(against_none(study), times=1)
    floor = noise_floor(study)
    keys = [*SETTING, "level"]
    known = pd.MultiIndex.from_frame(rows[keys]).isin(pd.MultiIndex.from_frame(floor[keys]))
    ends = floor["effect"].min(), floor["effect"].max()
    return rows[~known].assign(within=rows["effect"].between(*ends))


def noise_floor(study: Evidence) -> pd.DataFrame:
    """`RaisedRates.null_controls` at the best rates: what the choice of a rate does by itself."""
    return where(raised(study, same_rate=False).null_controls, times=1)


def survival(study: Evidence, times: int = 10) -> pd.DataFrame:
    """Without clipping, by network and data set: the best rate, and who learns far above it.

    ``best``, ``alone``, the rates that each seed of the search would have chosen, and ``raised``,
    ``times`` the best; there the share ``learned`` with ``learned_low`` and ``learned_high``,
    ``near`` of ``trials`` that come within `NEAR` of the mean at the best rate, the ``median``
    accuracy, the ``lowest`` and the ``highest``, and the largest ``gap`` between neighbours.
    """
    rows = where(study.relative, clipping="none")
    at = where(rows, times=times)
    best_of = where(rows, times=1).groupby(SETTING)["accuracy"].mean().rename("top").reset_index()
    at = at.merge(best_of, on=SETTING)
    at = at.assign(near=at["accuracy"] >= at["top"] - NEAR)
    found = outcome_means(at, SETTING, ["learned"])
    each = at.groupby(SETTING)
    counts = each.agg(
        near=("near", "sum"),
        trials=("near", "size"),
        median=("accuracy", "median"),
        lowest=("accuracy", "min"),
        highest=("accuracy", "max"),
        gap=("accuracy", lambda values: values.sort_values().diff().max()),
    )
    found = found.merge(counts.reset_index())
    found = found.merge(at.groupby(SETTING)["learning_rate"].first().rename("raised").reset_index())
    best = where(rows, times=1).groupby(SETTING)["learning_rate"].first().rename("best")
    found = found.merge(best.reset_index())
    return _in_networks(study, found.merge(_chosen_alone(study), how="left"))


def best_elsewhere(other: Evidence, study: Evidence) -> pd.DataFrame:
    """By network and data set the ``best`` rate without clipping in another study, and ``here``.

    Of a study of rates, the best by validation over all of its seeds.
    """
    rows = where(other.outcomes, clipping="none", optimizer="sgd", schedule="constant")
    best = chosen_rates(rows, SETTING).rename(columns={"best_rate": "best"})[[*SETTING, "best"]]
    here = where(study.relative, clipping="none", times=1)
    here = here.groupby(SETTING)["learning_rate"].first().rename("here").reset_index()
    return _in_networks(study, best.merge(here))


def _chosen_alone(study: Evidence) -> pd.DataFrame:
    """By setting the ``alone`` rates without clipping that each seed of the search prefers."""
    looked = where(study.looked, clipping="none")
    each = [chosen_rates(part, SETTING) for _, part in looked.groupby("seed")]
    if not each:
        return pd.DataFrame(columns=[*SETTING, "alone"])
    rates = pd.concat(each).groupby(SETTING)["best_rate"]
    return rates.agg(alone=lambda r: listing(map(number, sorted(set(r))))).reset_index()


@functools.lru_cache(8)
def as_good(study: Evidence) -> pd.DataFrame:
    """By setting, without clipping, the rates as good as the best: ``low_rate`` to ``high_rate``.

    On the seeds that chose it (`rates_as_good`); ``best`` is the one that was taken, and ``wide``
    how many times the lowest the highest is. The widest first.
    """
    good = rates_as_good(where(study.looked, clipping="none"), SETTING)
    found = good.groupby(SETTING, sort=False).agg(
        low_rate=("learning_rate", "min"),
        high_rate=("learning_rate", "max"),
        best=("best_rate", "first"),
    )
    found = found.assign(wide=found["high_rate"] / found["low_rate"]).reset_index()
    return found.sort_values("wide", ascending=False, kind="stable", ignore_index=True)


def room(study: Evidence, normalization: str, model: str) -> pd.DataFrame:
    """`rate_ratios` of the best rates over that without clipping, the largest first."""
    rows = where(study.relative, times=1, normalization=normalization, model=model)
    found = rate_ratios(rows, "clipping", "none")
    return found.sort_values(["least", "most"], ascending=False, kind="stable")


def choices(study: Evidence) -> list[tuple[str, Choice]]:
    """`choices_of_single_seeds` of the rates looked for, without clipping and with: words, facts.

    Empty where none were looked for.
    """
    looked, keys = study.looked, [*SETTING, "clipping"]
    if looked.empty:
        return []
    bare = looked["clipping"].eq("none")
    kinds = (("without clipping", looked[bare]), ("with a clipping", looked[~bare]))
    return [(said, choices_of_single_seeds(rows, keys)) for said, rows in kinds if len(rows)]


def endings(study: Evidence) -> pd.DataFrame:
    """How the trials of each ``level`` end, by ``network`` and ``panel``: shares of them.

    ``diverged`` with its interval ``low`` and ``high``, ``healed`` and their sum ``exploded``; and
    ``stuck``, the share that neither spiked nor learned. At multiples of each one's own best rate,
    then at those of the best rate without clipping.
    """
    rows, rates = at_own_and_same_rates(study.outcomes), ["same_rate", "times"]
    stuck = rows["exploded"].eq(0) & rows["learned"].eq(0)
    rows = rows.assign(stuck=stuck, healed=rows["overshoot"])
    values = ["diverged", "exploded", "healed", "stuck"]
    shares = outcome_means(rows, [*NETWORK, *rates, "clipping"], values)
    shares = shares.sort_values(rates, kind="stable")
    of = shares["same_rate"].map({False: "own best", True: "same rate"})
    panels = shares["times"].map("{} × ".format) + of
    return _in_networks(study, shares.assign(panel=panels, level=shares["clipping"]))


def every_trial(study: Evidence, *, same_rate: bool) -> pd.DataFrame:
    """The trials of each distinct rule that acted, as `accuracies_by_network` draws them.

    At multiples of a best rate, a ``series`` each, and at tuned thresholds another one. ``level``
    is the rule with its default threshold; the one of the highest median at the largest multiple
    comes first.
    """
    one, own = raised(study, same_rate=same_rate), where(study.relative, clipping="none", times=1)
    rows = one.distinct(one.trials.rename(columns={"clipping": "level"}))
    default = rows.groupby("level")["clipping_threshold"].first()
    words = rows["times"].map("{} ×, default threshold".format)
    rows = rows.assign(series=words, tuned=False)
    if same_rate and (best := tuned(study)) is not None:
        more = best.trials[best.trials["clipping"].ne("none")]
        more = more.rename(columns={"clipping": "level"})
        words = more["times"].map("{} ×, tuned threshold".format)
        rows = pd.concat([rows, one.distinct(more.assign(series=words, tuned=True))])
    reference = own.groupby(SETTING)["accuracy"].mean().rename("best").reset_index()
    rows = rows.merge(reference, on=SETTING).assign(panel=lambda r: r["dataset"])
    rows = _in_networks(study, rows.assign(chance=1 / rows["classes"]))
    keys = ["network", "tuned", "times"]
    median = rows.groupby([*keys, "level"])["accuracy"].median().reset_index()
    # by the last of these series that a rule has: tuned, else at the largest multiple
    last = median.sort_values(["tuned", "times"], kind="stable")
    last = last.drop_duplicates(["network", "level"], keep="last")
    order = last.sort_values("accuracy", ascending=False, kind="stable")
    place = {key: at for at, key in enumerate(zip(order["network"], order["level"], strict=True))}
    at = [place[key] for key in zip(rows["network"], rows["level"], strict=True)]
    rows = rows.assign(_at=at).sort_values(["_at", "tuned", "times"], kind="stable")
    said = {
        level: name(level) + (f" ({value:g})" if pd.notna(value) else "")
        for level, value in default.items()
    }
    columns = ["network", "panel", "level", "series", "seed", "accuracy", "best", "chance"]
    # each multiple has one look in every figure of them
    multiples = sorted(study.relative["times"].unique())
    series = [f"{t} ×, {kind} threshold" for kind in ("default", "tuned") for t in multiples]
    rows = rows.assign(
        level=rows["level"].map(said), series=pd.Categorical(rows["series"], categories=series)
    )
    return _in_networks(study, rows.drop(columns="network"))[[*columns, "clipping_threshold"]]


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


def mixed_devices(study: Evidence) -> float:
    """The share of the compared pairs whose two trials were trained on different devices.

    Of every trial at a multiple of a best rate and the one without clipping at its best rate.
    """
    rows = at_own_and_same_rates(study.outcomes)
    bare = where(study.relative, clipping="none", times=1)
    pairs = rows.merge(bare[[*SETTING, "seed", "device"]], on=[*SETTING, "seed"])
    return float((pairs["device_x"] != pairs["device_y"]).mean())
