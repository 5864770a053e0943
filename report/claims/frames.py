"""Which trials a claim is judged on: settings, budgets, and multiples of each one's best rate."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from benchmark import statistics
from benchmark.records import CONFIGURATION
from benchmark.statistics import chosen_rates, cross_fitted, multiples, tied_with_best, where
from benchmark.statistics.budgets import planned_examples, usual_budget
from benchmark.statistics.multiples import varying_but_rate
from report import prose
from report.claims.records import About
from report.evidence import Evidence

STILL = ["fixed", "full"]
"""Batch policies that keep one size and take it whole."""
AT_BEST = "at the best rate"
PLAIN = {"clipping": "none", "normalization": "none"}


@functools.lru_cache(32)
def at_multiples(source: Evidence) -> pd.DataFrame:
    """`benchmark.statistics.multiples.at_multiples` of the outcomes."""
    return multiples.at_multiples(source.outcomes)


@functools.lru_cache(8)
def at_multiples_of_one_budget(source: Evidence) -> pd.DataFrame:
    """`at_multiples` of the trials of the usual budget: a configuration counts once."""
    return multiples.at_multiples(usual_budget(source.outcomes))


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a comparison of batch sizes: at rates that were looked for, where there are any.

    The others are of a map, which has fewer seeds; where they have as many, sizes that were run at
    chosen rates alone stay.
    """
    relative = frame.loc[multiples.in_relative_arms(frame).index]
    if relative.empty:
        return frame
    others = frame[~frame["batch_size"].isin(relative["batch_size"])]
    seeds = others.groupby("batch_size")["seed"].transform("nunique")
    kept = others.index[seeds >= relative["seed"].nunique()]
    return frame.loc[frame.index.isin(kept) | frame.index.isin(relative.index)]


def at_best(source: Evidence) -> pd.DataFrame:
    """The outcomes at each configuration's own best rate."""
    return where(at_multiples(source), times=1).reset_index(drop=True)


def chosen(frame: pd.DataFrame, by: Sequence[str], over: Sequence[str]) -> pd.DataFrame:
    """The rows at the one choice of levels of ``over`` that validation makes within each of ``by``.

    For each seed it chooses on all other seeds, and what most of these choices agree on holds for
    all: among equally good levels a choice for each seed jumps from one to another.
    """
    levels = [c for c in over if frame[c].nunique(dropna=False) > 1]
    if not levels:
        return frame
    made = cross_fitted(frame, list(by), levels)
    keys = [*by, *levels]
    seeds = made.groupby(keys, dropna=False)["seed"].nunique().rename("_seeds").reset_index()
    most = seeds.sort_values("_seeds", ascending=False, kind="stable").drop_duplicates([*by])
    return frame.merge(most[keys], on=keys)


Split = Callable[[pd.DataFrame], Iterator[tuple[str, pd.DataFrame]]]
"""Parts of a frame, each with its name in a sentence."""


def parts(frame: pd.DataFrame, *splits: Split) -> Iterator[tuple[About, pd.DataFrame]]:
    """The rows of every part that the ``splits`` make one within another, and what it is about.

    In the order of `About`, that of the innermost split first.
    """
    if not splits:
        yield (), frame
        return
    for words, rows in splits[0](frame):
        for about, part in parts(rows, *splits[1:]):
            yield (*about, words), part


def by_setting(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each model and data set, or part of it, with their name in a sentence."""
    keys = ["dataset", "model", "train_fraction"]
    for _, rows in frame.groupby(keys, sort=False):
        dataset, model, fraction = rows[keys].iloc[0]
        part = f"{prose.percent(fraction, 0)} of " if fraction < 1 else ""
        yield f"{prose.name(model)} on {part}{prose.name(dataset)}", rows


def by_times(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows at each multiple of the best rate, with its name in a sentence."""
    for times, rows in frame.groupby("times", sort=True):
        yield AT_BEST if times == 1 else f"at {times:g} times the best rate", rows


def by_normalization(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows with each normalization, with its name in a sentence."""
    for level, rows in frame.groupby("normalization", sort=False):
        yield prose.phrase("normalization", level), rows


def by_budget(
    frame: pd.DataFrame, passes: str = "at equal examples"
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows whose budgets are stated in ``passes`` over the data, and those in updates."""
    for words, column in ((passes, "epochs"), ("at equal updates", "updates")):
        rows = frame[frame[column].notna()]
        if len(rows):
            yield words, rows


def sizes_by_budget(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """`by_budget` of `sized` rows, each budget by itself: equal examples, and equal updates.

    Trials whose budget is stated in updates are given as many examples as others whose size is
    another, where the numbers of updates are chosen so; these are equal examples, too, and have
    the passes that they amount to as ``epochs``.
    """
    passes = frame["epochs"].notna()
    keys = ["batch_size", "full"]
    for examples, rows in frame.groupby(planned_examples(frame)):
        stated = passes[rows.index]
        there = pd.MultiIndex.from_frame(rows.loc[stated, keys])
        more = rows[~stated & ~pd.MultiIndex.from_frame(rows[keys]).isin(there)]
        group = rows.loc[rows.index.isin(more.index) | stated]
        if stated.any() or group["batch_size"].nunique() > 1:
            yield (
                "at equal examples",
                group.assign(epochs=examples / group["examples"], updates=None),
            )
    for _, rows in frame[frame["updates"].notna()].groupby("updates"):
        yield "at equal updates", rows


def budgets_of(frame: pd.DataFrame) -> list[str]:
    """What trials are given, in words: passes over the data, and updates.

    >>> budgets_of(pd.DataFrame({"epochs": [10.0, None], "updates": [None, 1500.0]}))
    ['10 passes', '1,500 updates']
    """
    kinds = (("epochs", "pass", "passes"), ("updates", "update", "updates"))
    return [
        f"{value:,g} {one if value == 1 else several}"
        for column, one, several in kinds
        for value in sorted(frame[column].dropna().unique())
    ]


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


def sized(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of fixed and full batches, in which ``batch_size`` is what an update takes.

    ``full`` marks those of the full batch, whose size is that of the training set; where it was
    asked for in several sizes, the same trials were run several times, and count once. What is
    asked of sizes is asked at a constant rate.
    """
    rows = where(frame, batch_policy=STILL, schedule="constant")
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
    keys = varying_but_rate(rows)
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
