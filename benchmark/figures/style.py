"""What all figures share: colours by level, markers, sizes and the words on axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PAGE_WIDTH = 7.6
"""Inches: the width of the text column, at which the type stays readable."""

# Okabe and Ito's palette, which stays distinct for the common colour blindnesses
BLACK, ORANGE, SKY, GREEN = "#222222", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#9A9A9A"

STATUS_COLOURS: dict[str, str] = {
    "stable": BLUE,
    "recovered": SKY,
    "stalled": "#C9C9C9",
    "collapsed": ORANGE,
    "dead": VERMILION,
    "nonfinite": BLACK,
}
"""Colour of each status of a finished trial, in the order in which bars are stacked."""

COLOURS: dict[str, str] = {
    "none": "#666666",
    "value": ORANGE,
    "global_norm": BLUE,
    "per_layer_norm": SKY,
    "adaptive": GREEN,
    "batch": VERMILION,
    "layer": PURPLE,
    "group": "#8C6D00",
    "fixed": "#666666",
    "accumulate": SKY,
    "doubling": VERMILION,
    "tpe": BLUE,
    "random": ORANGE,
    "quasi-random": GREEN,
    "grid": "#666666",
    "mlp": BLUE,
    "cnn": VERMILION,
}
"""Colour of each level: the same one in every figure."""

SPARE = (PURPLE, GREEN, ORANGE, SKY, VERMILION, BLUE)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def palette(levels: Iterable[str]) -> dict[str, str]:
    """Colour of each level; a level that is not known takes a spare colour, in order.

    >>> palette(["none"])
    {'none': '#666666'}
    """
    unknown = [level for level in levels if level not in COLOURS]
    spare = {level: SPARE[i % len(SPARE)] for i, level in enumerate(unknown)}
    return {level: COLOURS.get(level, spare.get(level, BLACK)) for level in levels}


def markers(levels: Sequence[str]) -> dict[str, str]:
    """Marker of each level, so that colour is never the only difference."""
    return {level: MARKERS[i % len(MARKERS)] for i, level in enumerate(levels)}


def words(name: str) -> str:
    """A column or level as a reader's words: underscores become spaces."""
    return {"mlp": "MLP", "cnn": "CNN", "tpe": "TPE"}.get(name, name.replace("_", " "))


def canvas(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure of page width with (rows, columns) axes, ``height`` inches a row."""
    sns.set_theme(
        context="paper",
        style="whitegrid",
        font_scale=1.15,
        rc={"axes.titlesize": 11, "axes.titleweight": "bold", "grid.linewidth": 0.6},
    )
    mpl.rcParams["svg.fonttype"] = "path"
    # the same data give the same file
    mpl.rcParams["svg.hashsalt"] = "benchmark"
    figure = Figure(figsize=(PAGE_WIDTH, 0.7 + height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def legend_below(figure: Figure, axis: Axes, columns: int, title: str = "") -> None:
    """One legend for all facets, under them."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, title=title
    )


def rate_ticks(axis: Axes, rates: Sequence[float]) -> None:
    """Ticks at the learning rates that were run, written as plain numbers."""
    shown = list(rates) if len(rates) <= 6 else list(rates)[::2]
    axis.set_xticks(shown, labels=[f"{rate:g}" for rate in shown])
    axis.minorticks_off()
