"""Do larger models, more data and more complex convolutions pay?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from benchmark.statistics import best_per_arm, over_seeds
from report.evidence import Evidence, with_edges


@dataclass(frozen=True)
class Dimension:
    """One way in which a network or its data can grow."""

    title: str
    column: str
    label: str
    chosen: Callable[[pd.DataFrame], pd.Series]


def _whole(frame: pd.DataFrame) -> pd.Series:
    return frame["train_fraction"] == frame["train_fraction"].max()


def _usual(frame: pd.DataFrame) -> pd.Series:
    """Of each model, the width with the most training-set fractions: its own."""
    counts = frame.groupby(["model", "width"])["train_fraction"].nunique()
    usual = counts.groupby("model").idxmax().to_dict()
    pairs = zip(frame["model"], frame["width"], strict=True)
    return pd.Series([usual.get(m) == (m, w) for m, w in pairs], index=frame.index)


def _model(name: str, rows: Callable[[pd.DataFrame], pd.Series]) -> Callable[..., pd.Series]:
    return lambda frame: frame["model"].eq(name) & rows(frame)


DIMENSIONS = (
    Dimension("depth, MLP", "depth", "hidden layers", lambda f: f["model"] == "mlp_deep"),
    Dimension("width, MLP", "width", "hidden units", _model("mlp", _whole)),
    Dimension("channels, CNN", "width", "channels (first layer)", _model("cnn", _whole)),
    Dimension("convolutions, CNN", "depth", "convolutions", lambda f: f["model"] == "cnn_deep"),
    Dimension("data, MLP", "examples", "training examples", _model("mlp", _usual)),
    Dimension("data, CNN", "examples", "training examples", _model("cnn", _usual)),
)
KINDS = {"epochs": "equal passes", "updates": "equal updates"}
"""Ways to give sizes the same budget, by the column that has it."""
LABELS = {d.title: d.label for d in DIMENSIONS} | {
    f"{d.title}, {kind}": d.label for d in DIMENSIONS for kind in KINDS.values()
}


@functools.lru_cache(8)
def sizes(study: Evidence) -> pd.DataFrame:
    """The trials of every dimension at the rate that validation chooses for each size.

    Adds ``dimension``, ``size`` and ``edge``; a dimension with one size is left out.
    """
    network = ["dataset", "model", "depth", "width", "normalization", "train_fraction"]
    budget = ["epochs", "updates"]
    frame = with_edges(study.outcomes, study.tried, [*network, *budget])
    parts = []
    for dimension in DIMENSIONS:
        chosen = frame[dimension.chosen(frame)]
        alike = [(kind, chosen[chosen[column].notna()]) for column, kind in KINDS.items()]
        alike = [(kind, rows) for kind, rows in alike if rows[dimension.column].nunique() > 1]
        for kind, rows in alike:
            title = dimension.title if len(alike) == 1 else f"{dimension.title}, {kind}"
            rows = rows.assign(size=rows[dimension.column].astype(float), dimension=title)
            parts.append(best_per_arm(rows, ["dimension", "normalization", "size"]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


@functools.lru_cache(8)
def gains(study: Evidence) -> pd.DataFrame:
    """What the largest size of every dimension gains over the smallest, paired by seed.

    Columns ``dimension``, ``normalization``, ``small``, ``large``, ``effect``, ``low``, ``high``
    (test accuracy), ``times`` (ratio of mean seconds a trial), ``rate_small``, ``rate_large``, and
    ``edge_small``, ``edge_large``: whether these lie on the edge of the rates that were tried.
    """
    out = []
    rows = sizes(study)
    groups = rows.groupby(["dimension", "normalization"], sort=False) if len(rows) else ()
    for (title, normalization), part in groups:
        small, large = (
            part[part["size"] == part["size"].agg(end)].set_index("seed") for end in ("min", "max")
        )
        seeds = small.index.intersection(large.index)
        if seeds.empty or part["size"].nunique() < 2:
            continue
        gap = (large["accuracy"][seeds] - small["accuracy"][seeds]).to_numpy()
        found = over_seeds(gap, seeds)
        times = large["seconds"].mean() / small["seconds"].mean()
        chosen = ("size", "learning_rate", "edge")
        ends = [side[c].iloc[0] for c in chosen for side in (small, large)]
        out.append((title, normalization, *found, times, *ends))
    columns = ["dimension", "normalization", "effect", "low", "high", "times"]
    columns += ["small", "large", "rate_small", "rate_large", "edge_small", "edge_large"]
    return pd.DataFrame(out, columns=columns)
