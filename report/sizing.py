"""Do larger models, more data and more complex convolutions pay: the page of scaling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.figures.curves import Measure
from benchmark.figures.sizes import size_curves
from benchmark.statistics import best_per_arm, bootstrap, interval, mean
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, number, phrase
from report.remembering import once


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
    return pd.Series([usual[m] == (m, w) for m, w in pairs], index=frame.index)


DIMENSIONS = (
    Dimension("depth, MLP", "depth", "hidden layers", lambda f: f["model"] == "mlp_deep"),
    Dimension("width, MLP", "width", "hidden units", lambda f: (f["model"] == "mlp") & _whole(f)),
    Dimension(
        "channels, CNN",
        "width",
        "channels (first layer)",
        lambda f: (f["model"] == "cnn") & _whole(f),
    ),
    Dimension("convolutions, CNN", "depth", "convolutions", lambda f: f["model"] == "cnn_deep"),
    Dimension(
        "data, MLP", "examples", "training examples", lambda f: (f["model"] == "mlp") & _usual(f)
    ),
    Dimension(
        "data, CNN", "examples", "training examples", lambda f: (f["model"] == "cnn") & _usual(f)
    ),
)


@once
def sizes(source: Evidence) -> pd.DataFrame:
    """The trials of every dimension at the rate that validation chooses for each size.

    Adds ``dimension`` and ``size``; a dimension with one size is
    left out.
    """
    frame = source.outcomes
    parts = []
    for dimension in DIMENSIONS:
        rows = frame[dimension.chosen(frame)]
        if rows[dimension.column].nunique() < 2:
            continue
        rows = rows.assign(size=rows[dimension.column].astype(float), dimension=dimension.title)
        parts.append(best_per_arm(rows, ["dimension", "normalization", "size"]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


@once
def largest_against_smallest(source: Evidence) -> pd.DataFrame:
    """What the largest size of every dimension gains over the smallest, paired by seed.

    Columns ``dimension``, ``normalization``, ``small``, ``large``, ``effect``, ``low``, ``high``
    (test accuracy) and ``times`` (ratio of mean seconds a trial).
    """
    out = []
    for (title, normalization), rows in sizes(source).groupby(
        ["dimension", "normalization"], sort=False
    ):
        ends = [
            rows[rows["size"] == end].set_index("seed")
            for end in (rows["size"].min(), rows["size"].max())
        ]
        small, large = ends
        seeds = small.index.intersection(large.index)
        gap = (large["accuracy"][seeds] - small["accuracy"][seeds]).to_numpy()
        if not len(gap) or small["size"].iloc[0] == large["size"].iloc[0]:
            continue
        found = bootstrap(gap, np.zeros(len(gap)), mean)
        times = large["seconds"].mean() / small["seconds"].mean()
        out.append(
            (title, normalization, small["size"].iloc[0], large["size"].iloc[0], *found, times)
        )
    columns = ["dimension", "normalization", "small", "large", "effect", "low", "high", "times"]
    return pd.DataFrame(out, columns=columns)


@needs("scaling")
def answer(source: Evidence) -> str:
    """What grows accuracy, and at what cost."""
    rows = largest_against_smallest(source)
    plain = rows[rows["normalization"] == "none"]
    if plain.empty:
        return "The study varies no size without normalization."
    groups = {
        "**accuracy rises** with": plain[plain["low"] > 0],
        "it does not measurably change with": plain[(plain["low"] <= 0) & (plain["high"] >= 0)],
        "it falls with": plain[plain["high"] < 0],
        "a single seed cannot tell for": plain[plain["low"].isna()],
    }
    parts = [
        f"{verb} {prose.listing(map(_gain, rows.to_dict('records')))}"
        for verb, rows in groups.items()
        if len(rows)
    ]
    return (
        "Without normalization, from the smallest to the largest size: "
        f"{prose.listing(parts, ';')}."
    )


def _gain(row: prose.Row) -> str:
    return (
        f"{row['dimension']} ({row['small']:g} to {row['large']:g}: {prose.points(row['effect'])} "
        f"at {number(row['times'])} times the time)"
    )


@needs("scaling")
def size_figure(source: Evidence, value: str) -> str:
    """Accuracy, or time, against every size."""
    rows = sizes(source)
    if rows.empty:
        return "The study has one size of everything."
    measure = {
        "accuracy": Measure("accuracy", "test accuracy (%)", factor=100),
        "seconds": Measure("seconds", "time a trial (s)", log=True),
    }[value]
    by = ["dimension", "normalization", "size"]
    summary = interval(rows, value, by, statistic=mean)
    labels = {d.title: d.label for d in DIMENSIONS}
    caption = {
        "accuracy": "Test accuracy against the size of the network and of its data, with and "
        "without batch normalization, each size at the learning rate that validation chooses for "
        "it. Points are means over seeds, bars 95% bootstrap intervals.",
        "seconds": "Time of the same trials: a trial's share of that of the trials trained "
        "together with it.",
    }[value]
    last = summary.sort_values("size").drop_duplicates(by[:2], keep="last")
    alt = f"{measure.label} by size. At the largest: " + prose.listing(
        f"{r['dimension']} with {phrase('normalization', r['normalization'])} "
        f"{number(measure.factor * r['estimate'])}"
        for r in last.to_dict("records")
    )
    drawing = size_curves(summary, measure, labels)
    return figure(source, f"scaling-{value}", drawing, caption, f"{alt}.")


@needs("scaling")
def table(source: Evidence) -> str:
    """Largest against smallest size of every dimension."""
    rows = largest_against_smallest(source)
    if rows.empty:
        return ""
    shown = pd.DataFrame(
        {
            "what grows": rows["dimension"],
            "normalization": rows["normalization"].map(name),
            "from": rows["small"].map(number),
            "to": rows["large"].map(number),
            "accuracy (points)": rows["effect"].map(prose.signed),
            "95% interval": prose.intervals(rows),
            "time (ratio)": rows["times"].map(number),
        }
    )
    return prose.table(shown)


@needs("scaling")
def best_rates(source: Evidence) -> str:
    """Whether the best rate moves with the size."""
    rows = sizes(source)
    if rows.empty:
        return ""
    plain = rows[rows["normalization"] == "none"]
    parts = []
    for title, group in plain.groupby("dimension", sort=False):
        chosen = group.drop_duplicates("size").sort_values("size")
        first, last = chosen.iloc[0], chosen.iloc[-1]
        parts.append(f"{title} from {first['learning_rate']:g} to {last['learning_rate']:g}")
    return (
        "Best learning rate at the smallest and at the largest size, without normalization: "
        f"{prose.listing(parts)}."
    )
