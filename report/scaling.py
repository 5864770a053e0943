"""Do larger models, more data and more complex convolutions pay?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import best_per_arm, interval, mean
from benchmark.statistics.rates import with_edges
from report.evidence import Evidence, where

DIMENSIONS = {
    "depth, MLP": ("mlp_deep", "depth", "hidden layers"),
    "width, MLP": ("mlp", "width", "hidden units"),
    "channels, CNN": ("cnn", "width", "channels (first layer)"),
    "convolutions, CNN": ("cnn_deep", "depth", "convolutions"),
    "data, MLP": ("mlp", "examples", "training examples"),
    "data, CNN": ("cnn", "examples", "training examples"),
}
"""Ways in which a network or its data can grow: the model, the column and what it counts."""
KINDS = {"epochs": "equal passes", "updates": "equal updates"}
"""Ways to give sizes the same budget, by the column that has it."""
LABELS = {
    f"{title}{kind}": label
    for title, (_, _, label) in DIMENSIONS.items()
    for kind in ("", *(f", {words}" for words in KINDS.values()))
}


def _varied(frame: pd.DataFrame, model: str, column: str) -> pd.DataFrame:
    """The trials of a model in which ``column`` alone varies."""
    rows = where(frame, model=model)
    if column == "width":
        return where(rows, train_fraction=frame["train_fraction"].max())
    fractions = rows.groupby("width")["train_fraction"].nunique()
    if column == "examples" and len(fractions):
        # its own width is that with the most shares of the training set
        return where(rows, width=fractions.idxmax())
    return rows


@functools.lru_cache(8)
def sizes(study: Evidence) -> pd.DataFrame:
    """The trials of every dimension at the rate that validation chooses for each size.

    Adds ``dimension``, ``size`` and ``edge``; a dimension with one size is left out.
    """
    network = ["dataset", "model", "depth", "width", "normalization", "train_fraction"]
    frame = with_edges(study.outcomes, study.tried, [*network, *KINDS])
    parts = [frame.iloc[:0].assign(dimension="", size=0.0)]
    for title, (model, column, _) in DIMENSIONS.items():
        chosen = _varied(frame, model, column)
        alike = {words: chosen[chosen[budget].notna()] for budget, words in KINDS.items()}
        alike = {words: rows for words, rows in alike.items() if rows[column].nunique() > 1}
        for words, rows in alike.items():
            named = title if len(alike) == 1 else f"{title}, {words}"
            rows = rows.assign(size=rows[column].astype(float), dimension=named)
            parts.append(best_per_arm(rows, ["dimension", "normalization", "size"]))
    return pd.concat(parts[1:] or parts, ignore_index=True)


@functools.lru_cache(8)
def gains(study: Evidence) -> pd.DataFrame:
    """What the largest size of every dimension gains over the smallest, paired by seed.

    Columns ``dimension``, ``normalization``, ``effect``, ``low``, ``high`` (test accuracy),
    ``times`` (ratio of mean seconds a trial), and of both ends (``_small``, ``_large``) the
    ``size``, its ``learning_rate`` and whether that is on the ``edge`` of those that were tried.
    """
    rows, by = sizes(study), ["dimension", "normalization"]
    small, large = (
        rows[rows["size"] == rows.groupby(by)["size"].transform(end)] for end in ("min", "max")
    )
    pairs = small.merge(large, on=[*by, "seed"], suffixes=("_small", "_large"))
    pairs = pairs[pairs["size_small"] < pairs["size_large"]]
    pairs = pairs.assign(effect=pairs["accuracy_large"] - pairs["accuracy_small"])
    groups = pairs.groupby(by, sort=False)
    seconds = groups[["seconds_large", "seconds_small"]].mean()
    chosen = [f"{c}_{end}" for c in ("size", "learning_rate", "edge") for end in ("small", "large")]
    ends = groups[chosen].first().assign(times=seconds["seconds_large"] / seconds["seconds_small"])
    effects = interval(pairs, "effect", by, statistic=mean).rename(columns={"estimate": "effect"})
    return rows[by].drop_duplicates().merge(effects, on=by).merge(ends.reset_index(), on=by)
