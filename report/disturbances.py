"""What trouble late in training costs, and which guard makes it up."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pandas as pd

from benchmark.records.rates import SHARED
from benchmark.statistics import copies, idle, paired_comparison
from benchmark.statistics.disturbances import (
    LEAST,
    accuracy_lost,
    at_one_rate,
    losses_saved,
    made_up,
    recovery,
)
from benchmark.statistics.selection import where
from report.evidence import Evidence
from report.prose import name, phrase

NETWORK = ["model", "normalization"]
UNDISTURBED = "undisturbed"
"""The column of what a guard does where nothing happens."""


def trials(study: Evidence, optimizer: str) -> pd.DataFrame:
    """The outcomes under one optimizer: what a guard does under one says nothing of another."""
    return where(study.outcomes, optimizer=optimizer)


@functools.lru_cache(8)
def no_guards(study: Evidence, optimizer: str = "sgd") -> dict[object, object]:
    """Clippings that at the one rate trained as another did, or never acted: copy -> original.

    Under disturbances, that is: without one, two rules for what is unusual may both have nothing
    to do.
    """
    rows = at_one_rate(trials(study, optimizer))
    unused = [level for level in idle(rows) if level != "none"]
    disturbed = rows[rows["disturbance"] != "none"]
    return copies(disturbed, "clipping", "none") | dict.fromkeys(unused, "none")


@functools.lru_cache(8)
def losses(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """`losses_saved` by network and clipping: all at the rate of training without clipping.

    Without those of `no_guards`. A guard harms where ``gained_high``, the most by which it ends
    above none, is below zero.
    """
    rows = losses_saved(trials(study, optimizer), NETWORK)
    rows = rows[~rows["clipping"].isin([*no_guards(study, optimizer)])]
    ends = {"effect": "gained", "low": "gained_low", "high": "gained_high"}
    return rows.assign(**{end: rows[column] for end, column in ends.items()})


@functools.lru_cache(8)
def bare(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """`accuracy_lost` without a guard, by network, the dearest disturbance last."""
    rows = accuracy_lost(where(trials(study, optimizer), clipping="none"), NETWORK)
    return rows.sort_values(["model", "lost"], kind="stable", ascending=[False, True])


def beside_batch_norm(study: Evidence) -> pd.DataFrame:
    """`bare` without normalization, with ``batch``, ``batch_low``, ``batch_high`` of batch's.

    ``harmless`` says that batch normalization surely leaves less than half a point of a loss that
    surely is above a point without; ``helpless`` that with it, too, a point is surely lost.
    """
    rows, ends = bare(study), ["lost", "low", "high"]
    batch = where(rows, normalization="batch")[["disturbance", "model", *ends]]
    named = {end: f"batch_{end}" for end in ends[1:]} | {"lost": "batch"}
    found = where(rows, normalization="none").merge(
        batch.rename(columns=named), on=["disturbance", "model"]
    )
    harmless = (found["low"] > LEAST) & (found["batch_high"] < LEAST / 2)
    return found.assign(harmless=harmless, helpless=found["batch_low"] > LEAST)


def beside_sgd(study: Evidence, optimizer: str) -> pd.DataFrame:
    """`bare` under ``optimizer`` with ``sgd``, ``sgd_low`` and ``sgd_high``: the same under SGD.

    The rates are three tenths of the best under each.
    """
    ends = {"lost": "sgd", "low": "sgd_low", "high": "sgd_high"}
    keys = ["disturbance", *NETWORK]
    plain = bare(study)[[*keys, *ends]].rename(columns=ends)
    return bare(study, optimizer).merge(plain, on=keys)


def felt(study: Evidence, optimizer: str = "sgd", least: float = LEAST) -> pd.DataFrame:
    """`losses` after disturbances that surely cost at least ``least`` without a guard."""
    rows = losses(study, optimizer)
    return rows[rows["bare"].ge(least) & rows["bare_low"].gt(0)]


@functools.lru_cache(8)
def best_guards(study: Evidence, optimizer: str = "sgd", least: float = LEAST) -> pd.DataFrame:
    """By clipping, how it ends after all disturbances that surely cost something without a guard.

    Those that cost at least ``least`` of accuracy. ``effect``, ``low`` and ``high`` are the least
    by which it ends above none, ``least_in`` where that is, ``most`` the most; ``premium``,
    ``premium_low`` and ``premium_high`` the most that it costs where nothing happens; ``saved`` the
    least share of its own loss that it saves; ``cases`` how many disturbances of how many networks
    it was run at. The one of the highest ``effect`` comes first.
    """
    rows = felt(study, optimizer, least)
    by = rows.groupby("clipping")
    worst = rows.loc[by["gained"].idxmin(), ["clipping", "effect", "low", "high"]]
    dearest = rows.loc[by["premium"].idxmax()]
    dearest = dearest[["clipping", "premium", "premium_low", "premium_high"]]
    found = by.agg(cases=("gained", "size"), most=("gained", "max"), saved=("saved", "min"))
    places = panels(rows.loc[by["gained"].idxmin()])
    found = worst.assign(least_in=places).merge(dearest, on="clipping").merge(found, on="clipping")
    return found.sort_values("effect", ascending=False, kind="stable", ignore_index=True)


def panels(rows: pd.DataFrame) -> list[str]:
    """What is disturbed by what, in a few words, of each row."""
    cells = zip(rows["model"], rows["normalization"], rows["disturbance"], strict=True)
    return [
        f"{name(disturbance)}, {name(model)}"
        + ("" if norm == "none" else f" with {phrase('normalization', norm)}")
        for model, norm, disturbance in cells
    ]


def ended(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """How far each guard ends above none at one rate, undisturbed and after each disturbance.

    The columns of `paired_comparison` by network, with the ``threshold`` and the ``panel``.
    Without those of `no_guards`.
    """
    rows = at_one_rate(trials(study, optimizer))
    return _against_none(rows[~rows["clipping"].isin([*no_guards(study, optimizer)])])


def window_of_all(study: Evidence) -> pd.DataFrame:
    """The published rule for skipping steps after each disturbance, against none and ZClip.

    The columns of `paired_comparison` by ``baseline``, network and disturbance, under SGD and at
    one rate, of the networks in which the rule met all of the study's disturbances; empty without.
    """
    rule = "skip_step_all"
    rows = at_one_rate(trials(study, "sgd"))
    rows = rows[rows["disturbance"] != "none"]
    met = where(rows, clipping=rule).groupby(NETWORK, sort=False)["disturbance"].nunique()
    networks = met.index[met == rows["disturbance"].nunique()].to_frame(index=False)
    rows = rows.merge(networks, on=NETWORK)
    by = [*NETWORK, "disturbance"]
    parts = [pd.DataFrame(columns=["baseline", "low", *by])]
    for other in ("none", "zclip"):
        both = where(rows, clipping=[other, rule])
        if other in both["clipping"].tolist():
            parts.append(paired_comparison(both, "clipping", other, by=by))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def ended_at_own_rates(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """`ended` of each guard at three tenths of its own best rate, with ``low_rate``, ``high_rate``.

    Against none at three tenths of its best; no comparison of guards, whose rates differ.
    """
    rows = trials(study, optimizer)
    rows = rows[~rows["arm"].fillna("").str.startswith(SHARED)]
    keys = [*NETWORK, "clipping"]
    ends = rows.groupby(keys)["learning_rate"].agg(low_rate="min", high_rate="max").reset_index()
    found = _against_none(rows, ["learning_rate"])
    return found.merge(ends.rename(columns={"clipping": "level"}), on=[*NETWORK, "level"])


def tuned(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """`ended_at_own_rates` by ``level``: its highest ``premium``, least ``effect`` and ``most``.

    After disturbances that cost a point or more without a guard; the premium where nothing happens.
    """
    rows = ended_at_own_rates(study, optimizer)
    if rows.empty:
        return rows
    costs = bare(study, optimizer)
    costs = costs.loc[costs["lost"] >= LEAST, [*NETWORK, "disturbance"]]
    hit = rows.merge(costs).groupby("level")["effect"].agg(effect="min", most="max")
    calm = rows[~rows["disturbed"]].groupby("level")["effect"].min()
    return hit.assign(premium=(-calm).clip(lower=0)).reset_index()


def priced(study: Evidence) -> pd.DataFrame:
    """`best_guards` with the ``own_premium``, ``own_effect`` and ``own_most`` of `tuned`.

    The last three NaN where a guard was run at no rate of its own.
    """
    own = tuned(study)
    names = {"level": "clipping", **{c: f"own_{c}" for c in ("premium", "effect", "most")}}
    own = own.rename(columns=names) if len(own) else pd.DataFrame(columns=list(names.values()))
    return best_guards(study).merge(own, on="clipping", how="left")


def _against_none(rows: pd.DataFrame, ignore: Sequence[str] = ()) -> pd.DataFrame:
    by = [*NETWORK, "disturbance"]
    found = paired_comparison(rows, "clipping", "none", by=by, ignore=ignore)
    if found.empty:
        return found
    thresholds = rows.groupby("clipping")["clipping_threshold"].first()
    found = found.assign(
        threshold=found["level"].map(thresholds),
        panel=[UNDISTURBED if d == "none" else name(d) for d in found["disturbance"]],
    )
    disturbed = found["disturbance"] != "none"
    least = found[disturbed].groupby([*NETWORK, "level"])["effect"].min().rename("least")
    found = found.join(least, on=[*NETWORK, "level"]).assign(disturbed=disturbed)
    order = [*NETWORK, "least", "level", "disturbed"]
    return found.sort_values(order, ascending=[False] * 3 + [True] * 2, kind="stable")


def drawn(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """`ended` with the ``network`` in words, for a figure."""
    rows = ended(study, optimizer)
    cells = zip(rows["model"], rows["normalization"], strict=True)
    networks = [
        name(m) + ("" if n == "none" else f", {phrase('normalization', n)}") for m, n in cells
    ]
    return rows.assign(network=networks)


def rates(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """The one ``learning_rate`` of all guards, by data set and network."""
    rows = where(trials(study, optimizer), clipping="none")
    keys = ["dataset", *NETWORK, "learning_rate"]
    return rows[keys].drop_duplicates().sort_values(keys[1:], ascending=False, kind="stable")


def not_at_one_rate(study: Evidence) -> list[str]:
    """Guards that were not run at the rate of training without clipping in every network."""
    keys = ["dataset", *NETWORK, "clipping"]
    rows = trials(study, "sgd")
    planned = rows[keys].drop_duplicates()
    there = at_one_rate(rows)[keys].drop_duplicates()
    both = planned.merge(there, how="left", indicator=True)
    missing = both.loc[both["_merge"] == "left_only", "clipping"].drop_duplicates()
    return [phrase("clipping", level) for level in missing]


@functools.lru_cache(8)
def recoveries(study: Evidence) -> pd.DataFrame:
    """`recovery` by network and clipping at one rate: who made up the loss, in how many updates."""
    rows = made_up(at_one_rate(trials(study, "sgd")), study.results.history)
    return recovery(rows, [*NETWORK, "clipping"])
