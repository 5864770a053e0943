"""Do larger models, more data and more complex convolutions pay?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics.growing import KINDS, at_each_size, gains_of_size
from report.evidence import Evidence

DIMENSIONS = {
    "depth, MLP": ("mlp_deep", "depth", "hidden layers"),
    "width, MLP": ("mlp", "width", "hidden units"),
    "channels, CNN": ("cnn", "width", "channels (first layer)"),
    "convolutions, CNN": ("cnn_deep", "depth", "convolutions"),
    "data, MLP": ("mlp", "examples", "training examples"),
    "data, CNN": ("cnn", "examples", "training examples"),
}
"""Ways in which a network or its data can grow: the model, the column and what it counts."""
WORDS = {
    "depth, MLP": "more layers in the MLP",
    "width, MLP": "a wider MLP",
    "channels, CNN": "a wider CNN",
    "convolutions, CNN": "more convolutions in the CNN",
    "data, MLP": "more data for the MLP",
    "data, CNN": "more data for the CNN",
}
"""What grows, in a sentence."""
LABELS = {
    f"{title}{kind}": label
    for title, (_, _, label) in DIMENSIONS.items()
    for kind in ("", *(f", {words}" for words in KINDS.values()))
}


@functools.lru_cache(8)
def sizes(study: Evidence) -> pd.DataFrame:
    """`at_each_size` of every dimension."""
    dimensions = {title: (model, column) for title, (model, column, _) in DIMENSIONS.items()}
    return at_each_size(study.outcomes, study.tried, dimensions)


@functools.lru_cache(8)
def gains(study: Evidence) -> pd.DataFrame:
    """`gains_of_size` of every dimension."""
    return gains_of_size(sizes(study))


def in_words(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `gains` with what grows as ``said``, and by its sign what that does: ``does``.

    The budget is told where the sign depends on it. ``does`` is 1, -1 or, where the interval holds
    zero, 0.
    """
    whole = rows["dimension"].str.split(", ").str[:2].str.join(", ")
    kinds = rows["dimension"].str.split(", ").str[2]
    does = (rows["low"] > 0).astype(int) - (rows["high"] < 0).astype(int)
    of_both = does.groupby([whole, rows["normalization"]]).transform("nunique") > 1
    words = whole.map(WORDS)
    said = words.where(~of_both | kinds.isna(), words + " at " + kinds.astype(object).fillna(""))
    return rows.assign(said=said, does=does)


def updates_of(study: Evidence, dimensions: list[str]) -> int:
    """The most updates that a trial of these ``dimensions`` made."""
    return int(sizes(study).query("dimension in @dimensions")["steps"].max())
