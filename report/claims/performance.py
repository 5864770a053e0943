"""Claims 11 and 12: whether complexity, size and data pay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from benchmark.records import OWNERS
from benchmark.statistics import cross_fitted
from report import prose
from report.claims.frames import at_best, by_budget, chosen
from report.claims.prevention import gained
from report.claims.records import Case, Found
from report.evidence import Evidence

CHOICES = ["normalization"]
"""What every size of a network may choose for itself, on validation, besides its learning rate."""
SIZES = ("width", "depth", "train_fraction")


def convolutions(source: Evidence) -> Found:
    """The most against the least complex convolutions: channels, and convolutions in a row."""
    families = (("cnn", "width"), ("cnn_deep", "depth"))
    return _ends_compared(source, families, "no convolutional network varies in size")


def convolutions_against_dense(source: Evidence) -> Found:
    """The CNN against the MLP, each at the best cell that validation finds on other seeds."""
    over = ["learning_rate", "normalization", "clipping", "batch_policy"]
    owned = [number for number, owner in OWNERS.items() if owner in over]
    cases = (
        Case(
            (f"{prose.name('cnn')} on {prose.name(dataset)}",),
            cross_fitted(rows, ["model"], over),
            *("model", "cnn", "mlp"),
        )
        for dataset, rows in source.outcomes.groupby("dataset", sort=False)
        if {"mlp", "cnn"} <= set(rows["model"])
    )
    return gained(cases, "there is no MLP and CNN on the same seeds", ignore=[*over, *owned])


def _family(frame: pd.DataFrame, model: str, factor: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows in which a model varies in ``factor`` alone, by data set."""
    rows = frame[frame["model"] == model]
    for dataset, group in rows.groupby("dataset", sort=False):
        for other in SIZES:
            if other != factor and group[other].nunique() > 1:
                # the level that goes with most levels of the factor
                spread = group.groupby(other)[factor].nunique()
                group = group[group[other] == spread.idxmax()]
        if group[factor].nunique() > 1:
            yield str(dataset), group


def _ends(
    frame: pd.DataFrame, model: str, factor: str
) -> Iterator[tuple[tuple[str, str, str], float, float, pd.DataFrame]]:
    """What it is about, smallest and largest level, and the rows of a family, by budget."""
    # of a part of the data, a pass has fewer examples
    passes = "at equal passes" if factor == "train_fraction" else "at equal examples"
    for dataset, family in _family(frame, model, factor):
        for budget, group in by_budget(family, passes):
            low, high = group[factor].min(), group[factor].max()
            if low < high:
                words = prose.name(factor) if factor != "train_fraction" else "training-set share"
                network = f"{prose.name(model)} on {prose.name(dataset)}"
                yield (f"{words} {high:g} against {low:g}", budget, network), low, high, group


def _ends_compared(source: Evidence, families: Iterable[tuple[str, str]], absent: str) -> Found:
    """The largest against the smallest of each family, a model and what it varies in."""
    cases = (
        Case(about, chosen(group, [factor], CHOICES), factor, high, low)
        for model, factor in families
        for about, low, high, group in _ends(at_best(source), model, factor)
    )
    return gained(cases, absent, ignore=CHOICES)


def larger_models(source: Evidence) -> Found:
    """The largest against the smallest network of each family."""
    families = (("mlp", "width"), ("mlp_deep", "depth"), ("cnn", "width"), ("cnn_deep", "depth"))
    return _ends_compared(source, families, "no network varies in size")


def more_data(source: Evidence) -> Found:
    """The largest against the smallest share of the data, at equal passes and equal updates."""
    families = ((model, "train_fraction") for model in source.outcomes["model"].drop_duplicates())
    return _ends_compared(source, families, "the share of the training set does not vary")
