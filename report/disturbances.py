"""What trouble late in training costs, and which guard makes it up."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.records.rates import SHARED
from benchmark.statistics import copies, idle
from benchmark.statistics.disturbances import (
    LEAST,
    accuracy_lost,
    at_one_rate,
    losses_saved,
    made_up,
    recovery,
)
from report.evidence import Evidence, where
from report.prose import name, phrase

NETWORK = ["model", "normalization"]


@functools.lru_cache(8)
def no_guards(study: Evidence) -> dict[object, object]:
    """Clippings that at the one rate trained as another did, or never acted: copy -> original.

    Under disturbances, that is: without one, two rules for what is unusual may both have nothing
    to do.
    """
    rows = at_one_rate(study.outcomes)
    unused = [level for level in idle(rows) if level != "none"]
    disturbed = rows[rows["disturbance"] != "none"]
    return copies(disturbed, "clipping", "none") | dict.fromkeys(unused, "none")


@functools.lru_cache(8)
def losses(study: Evidence) -> pd.DataFrame:
    """`losses_saved` by network and clipping: all at the rate of training without clipping.

    ``effect`` is ``lost``. Without those of `no_guards`.
    A guard harms where ``extra_low``, the least that it loses more than none, is above zero.
    """
    rows = losses_saved(study.outcomes, NETWORK)
    rows = rows[~rows["clipping"].isin([*no_guards(study)])]
    return rows.assign(effect=rows["lost"])


@functools.lru_cache(8)
def bare(study: Evidence) -> pd.DataFrame:
    """`accuracy_lost` without a guard, by network, the dearest disturbance last."""
    rows = accuracy_lost(where(study.outcomes, clipping="none"), NETWORK)
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


def best_guards(study: Evidence) -> pd.DataFrame:
    """By clipping, over all losses of a point or more: how many, and the ``least`` share saved.

    ``cases`` says how many losses it was run at, ``least_in`` names that of which it saves least.
    The one that saves most there comes first.
    """
    rows = losses(study).dropna(subset=["saved"])
    least = rows.loc[rows.groupby("clipping")["saved"].idxmin()]
    counts = rows.groupby("clipping").size().rename("cases").reset_index()
    found = least.assign(least=least["saved"], least_in=panels(least)).merge(counts, on="clipping")
    return found.sort_values("least", ascending=False, kind="stable", ignore_index=True)


def panels(rows: pd.DataFrame) -> list[str]:
    """What is disturbed by what, in a few words, of each row."""
    cells = zip(rows["model"], rows["normalization"], rows["disturbance"], strict=True)
    return [
        f"{name(disturbance)}, {name(model)}"
        + ("" if norm == "none" else f" with {phrase('normalization', norm)}")
        for model, norm, disturbance in cells
    ]


def shares(study: Evidence) -> pd.DataFrame:
    """The shares saved of losses of a point or more; the guard whose least is the most comes first.

    ``panel`` names the loss.
    """
    rows = losses(study).dropna(subset=["saved"])
    rows = rows.assign(panel=panels(rows))
    order = list(best_guards(study)["clipping"])
    return rows.sort_values("clipping", key=lambda levels: levels.map(order.index), kind="stable")


def commonest(study: Evidence) -> pd.DataFrame:
    """`shares` of the disturbance that costs a point in most networks, for a forest plot."""
    rows = shares(study)
    rows = where(rows, disturbance=rows.groupby("disturbance")["bare"].agg("size").idxmax())
    cells = zip(rows["model"], rows["normalization"], strict=True)
    networks = [name(model) + ("" if n == "none" else f", {name(n)} norm") for model, n in cells]
    rows = rows.assign(panel=networks, level=rows["clipping"], effect=rows["saved"])
    return rows.assign(low=rows["saved_low"], high=rows["saved_high"])


def rates(study: Evidence) -> pd.DataFrame:
    """The one ``learning_rate`` of all guards, by data set and network."""
    rows = where(study.outcomes, clipping="none")
    keys = ["dataset", *NETWORK, "learning_rate"]
    return rows[keys].drop_duplicates().sort_values(keys[1:], ascending=False, kind="stable")


def not_at_one_rate(study: Evidence) -> list[str]:
    """Guards that were not run at the rate of training without clipping in every network."""
    keys = ["dataset", *NETWORK, "clipping"]
    planned = study.outcomes[keys].drop_duplicates()
    there = at_one_rate(study.outcomes)[keys].drop_duplicates()
    both = planned.merge(there, how="left", indicator=True)
    missing = both.loc[both["_merge"] == "left_only", "clipping"].drop_duplicates()
    return [phrase("clipping", level) for level in missing]


@functools.lru_cache(8)
def at_own_rates(study: Evidence) -> pd.DataFrame:
    """`accuracy_lost` of each guard at its own rate, with the least and most ``learning_rate``."""
    asked = study.outcomes["arm"].fillna("").str.startswith(SHARED)
    rows, keys = study.outcomes[~asked], [*NETWORK, "clipping"]
    ends = rows.groupby(keys)["learning_rate"].agg(low_rate="min", high_rate="max").reset_index()
    found = accuracy_lost(rows, keys).merge(ends, on=keys, how="left")
    return found.sort_values(NETWORK, ascending=False, kind="stable")


@functools.lru_cache(8)
def recoveries(study: Evidence) -> pd.DataFrame:
    """`recovery` by network and clipping at one rate: who made up the loss, in how many updates."""
    rows = made_up(at_one_rate(study.outcomes), study.results.history)
    return recovery(rows, [*NETWORK, "clipping"])
