"""Which trials a claim is judged on: settings, budgets, and multiples of each one's best rate."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from benchmark import statistics
from benchmark.records import CONFIGURATION
from benchmark.statistics import best_per_arm, chosen_rates, cross_fitted, tied_with_best
from report import prose
from report.evidence import Evidence

STILL = ("fixed", "full")
"""Batch policies that keep one size and take it whole."""
NOT_DYNAMIC = (*STILL, "accumulate")
"""Batch policies under which the size of an update does not change."""
MULTIPLES = (1.0, 3.0, 10.0)
"""Of a configuration's own best learning rate, at which shares of explosions are stated."""
NEAR = 0.15
"""Decades that a rate of a grid may lie from a multiple of the best and stand for it."""
RELATIVE = r"x[\d.]+"
"""The arms of trials at a multiple of a rate that other trials had found."""
AT_BEST = "at the best rate"


@functools.lru_cache(32)
def at_multiples(source: Evidence) -> pd.DataFrame:
    """The outcomes at 1, 3 and 10 times each configuration's own best rate, with ``times``.

    A study that looked for the best rates first has them as arms, on other seeds than those that
    chose. In any other study the best rate of a trial's configuration is the one that validation
    chooses on all other seeds, and a multiple is the nearest rate that was run, where one lies
    within `NEAR` decades. A single seed has no others, and chooses for itself. Where a
    configuration has both, the rates of its map are left out.
    """
    frame = source.outcomes
    relative = frame["arm"].fillna("").str.fullmatch(RELATIVE)
    arms = frame[relative]
    found = [arms.assign(times=arms["arm"].str[1:].astype(float))]
    rest = _without(frame[~relative], arms)
    if len(rest):
        keys = [c for c in varying(rest) if c != "learning_rate"] or ["dataset"]
        several = rest["seed"].nunique() > 1
        best = (cross_fitted if several else best_per_arm)(rest, keys)
        best = best[[*keys, "seed", "learning_rate"]].drop_duplicates()
        best = best.rename(columns={"learning_rate": "best_rate"})
        rows = rest.merge(best, on=[*keys, "seed"])
        above = np.log10(rows["learning_rate"] / rows["best_rate"])
        for times in MULTIPLES:
            distance = (above - np.log10(times)).abs()
            near = rows.assign(times=times, _distance=distance)[distance <= NEAR]
            near = near.sort_values("_distance", kind="stable")
            found.append(near.drop_duplicates([*keys, "seed"]).sort_index())
    out = pd.concat(found, ignore_index=True)
    out = out.drop(columns=["best_rate", "_distance"], errors="ignore")
    return out[out["times"].isin(MULTIPLES)].reset_index(drop=True)


def _without(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The rows of configurations, apart from rate, seed and arm, that no other row has."""
    if rows.empty or others.empty:
        return rows
    both = pd.concat([rows, others], keys=["rows", "others"])
    keys = [c for c in varying(both) if c != "learning_rate"] or ["dataset"]
    group = both.groupby(keys, dropna=False).ngroup()
    return rows[~group["rows"].isin(group["others"]).to_numpy()]


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a comparison: those at rates that were looked for, where there are any.

    The others are of a map, which has fewer seeds.
    """
    relative = frame["arm"].fillna("").str.fullmatch(RELATIVE)
    return frame[relative] if relative.any() else frame


def at_best(source: Evidence) -> pd.DataFrame:
    """The outcomes at each configuration's own best rate."""
    frame = at_multiples(source)
    return frame[frame["times"] == 1].reset_index(drop=True)


def chosen(frame: pd.DataFrame, by: Sequence[str], over: Sequence[str]) -> pd.DataFrame:
    """The rows at the levels of ``over`` that validation chooses, on other seeds than their own.

    They are chosen within each level of ``by``, each at its best rate already.
    """
    levels = [c for c in over if frame[c].nunique(dropna=False) > 1]
    return cross_fitted(frame, list(by), levels) if levels else frame


def by_setting(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each model and data set, or part of it, with their name in a sentence."""
    keys = ["dataset", "model", "train_fraction"]
    for (dataset, model, fraction), rows in frame.groupby(keys, sort=False):
        part = f"{prose.percent(fraction, 0)} of " if fraction < 1 else ""
        yield f"{prose.name(model)} on {part}{prose.name(dataset)}", rows


def by_times(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows at each multiple of the best rate, with its name in a sentence."""
    for times, rows in frame.groupby("times", sort=True):
        yield AT_BEST if times == 1 else f"at {times:g} times the best rate", rows


def by_budget(
    frame: pd.DataFrame, passes: str = "at equal examples"
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows whose budgets are stated in ``passes`` over the data, and those in updates."""
    for words, column in ((passes, "epochs"), ("at equal updates", "updates")):
        rows = frame[frame[column].notna()]
        if len(rows):
            yield words, rows


def constant(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose learning rate does not change during training."""
    return frame[frame["schedule"].eq("constant")]


def unclipped(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows without clipping."""
    return frame[frame["clipping"] == "none"]


def bare(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows without clipping and without normalization."""
    return frame[frame["clipping"].eq("none") & frame["normalization"].eq("none")]


def able(frame: pd.DataFrame, factor: str = "clipping") -> tuple[pd.DataFrame, str]:
    """The rows whose level of ``factor`` had steps after its warm-up, and a note on the others."""
    out = statistics.able(frame, factor)
    lost = frame.drop(out.index)
    if lost.empty:
        return out, ""
    verb = "is" if len(lost) == 1 else "are"
    return out, f"{unable(lost, factor)} {verb} left out."


def unable(lost: pd.DataFrame, factor: str) -> str:
    """How many trials could not show what their levels of ``factor`` do, and which these are."""
    rules = prose.listing(prose.phrase(factor, name) for name in lost[factor].drop_duplicates())
    return (
        f"{prose.count(len(lost), 'trial')} that ended within the warm-up of the "
        f"{prose.name(factor)} ({rules})"
    )


def varying(frame: pd.DataFrame) -> list[str]:
    """Configuration columns with more than one level, the seed and the arm apart."""
    columns = [c for c in CONFIGURATION if c not in ("seed", "arm")]
    return [c for c in columns if frame[c].nunique(dropna=False) > 1]


def sized(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of fixed and full batches, in which ``batch_size`` is what an update takes.

    ``full`` marks those of the full batch, whose size is that of the training set; where it was
    asked for in several sizes, the same trials were run several times, and count once. What is
    asked of sizes is asked at a constant rate.
    """
    rows = constant(frame[frame["batch_policy"].isin(STILL)])
    full = rows["batch_policy"] == "full"
    size = rows["examples"].where(full, rows["batch_size"]).astype(int)
    rows = rows.assign(full=full, batch_size=size, batch_policy="fixed")
    return rows.drop_duplicates([*CONFIGURATION, "full", *({"times"} & set(rows))])


def sizes(frame: pd.DataFrame) -> list[int]:
    """Batch sizes, ascending."""
    return sorted(int(size) for size in frame["batch_size"].unique())


def only_winner(frame: pd.DataFrame, factor: str, value: str, ignore: Sequence[str]) -> bool:
    """Whether one level of ``factor`` has the highest ``value``, with none that ties with it."""
    return len(tied_with_best(frame, factor, value, ignore=ignore)) == 1


@functools.lru_cache(32)
def edges(source: Evidence) -> str:
    """A note on the best rates that lie on the edge of those that were tried."""
    rows = source.tried
    keys = [c for c in varying(rows) if c != "learning_rate"] or ["dataset"]
    if rows.empty or rows["learning_rate"].nunique() < 2:
        return ""
    rates = chosen_rates(rows, keys)
    # one rate is no grid, and has no edge
    rates = rates[rates["low_rate"] < rates["high_rate"]]
    amount = int(rates["edge"].ne("").sum())
    if not amount:
        return ""
    return (
        f"Of {prose.count(len(rates), 'best rate')} in the study {amount} "
        f"{'lies' if amount == 1 else 'lie'} on the edge of the rates that were tried."
    )
