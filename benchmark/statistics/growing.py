"""What larger networks and more data gain, one size at a time."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from benchmark.statistics.rates import best_per_arm, with_edges
from benchmark.statistics.seeds import interval, mean
from benchmark.statistics.selection import where

KINDS = {"epochs": "equal passes", "updates": "equal updates"}
"""Ways to give sizes the same budget, by the column that has it."""
RATE_CHOSEN_IN = ["dataset", "model", "depth", "width", "normalization", "train_fraction"]
"""Columns that, with the budget, have a best rate of their own."""


def at_each_size(
    frame: pd.DataFrame, tried: pd.DataFrame, dimensions: Mapping[str, tuple[str, str]]
) -> pd.DataFrame:
    """The trials of every dimension at the rate that validation chooses for each size.

    ``dimensions`` names for each the model and the column that grows (``depth``, ``width`` or
    ``examples``). Adds ``dimension``, ``size`` and ``edge``, whether the rate lies on the edge of
    those ``tried`` (`with_edges`). A dimension that was run at equal passes and at equal updates is
    two, with the budget in its name; one with a single size is left out.
    """
    frame = with_edges(frame, tried, [*RATE_CHOSEN_IN, *KINDS])
    parts = [frame.iloc[:0].assign(dimension="", size=0.0)]
    for title, (model, column) in dimensions.items():
        chosen = _varied(where(frame, model=model), column, frame["train_fraction"].max())
        alike = {words: chosen[chosen[budget].notna()] for budget, words in KINDS.items()}
        alike = {words: rows for words, rows in alike.items() if rows[column].nunique() > 1}
        for words, rows in alike.items():
            named = title if len(alike) == 1 else f"{title}, {words}"
            rows = rows.assign(size=rows[column].astype(float), dimension=named)
            parts.append(best_per_arm(rows, ["dimension", "normalization", "size"]))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _varied(rows: pd.DataFrame, column: str, whole: float) -> pd.DataFrame:
    """The trials of a model in which ``column`` alone varies."""
    if column == "width":
        return where(rows, train_fraction=whole)
    fractions = rows.groupby("width")["train_fraction"].nunique()
    if column == "examples" and len(fractions):
        # its own width is that with the most shares of the training set
        return where(rows, width=fractions.idxmax())
    return rows


def gains_of_size(sizes: pd.DataFrame) -> pd.DataFrame:
    """What the largest size of every dimension gains over the smallest, paired by seed.

    Columns ``dimension``, ``normalization``, ``effect``, ``low``, ``high`` (test accuracy),
    ``times`` (ratio of mean seconds a trial), and of both ends (``_small``, ``_large``) the
    ``size``, its ``learning_rate`` and whether that is on the ``edge``. ``sizes`` are the rows of
    `at_each_size`.
    """
    by = ["dimension", "normalization"]
    small, large = (
        sizes[sizes["size"] == sizes.groupby(by)["size"].transform(end)] for end in ("min", "max")
    )
    pairs = small.merge(large, on=[*by, "seed"], suffixes=("_small", "_large"))
    pairs = pairs[pairs["size_small"] < pairs["size_large"]]
    pairs = pairs.assign(effect=pairs["accuracy_large"] - pairs["accuracy_small"])
    groups = pairs.groupby(by, sort=False)
    seconds = groups[["seconds_large", "seconds_small"]].mean()
    chosen = [f"{c}_{end}" for c in ("size", "learning_rate", "edge") for end in ("small", "large")]
    ends = groups[chosen].first().assign(times=seconds["seconds_large"] / seconds["seconds_small"])
    effects = interval(pairs, "effect", by, statistic=mean).rename(columns={"estimate": "effect"})
    return sizes[by].drop_duplicates().merge(effects, on=by).merge(ends.reset_index(), on=by)
