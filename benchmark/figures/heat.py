"""Heat maps: a value over two numbers, and what goes with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.figures.curves import facet_axes, leftmost, legend_of, lowest
from benchmark.figures.style import BLACK, VERMILION, label_of, looks, thinned

COLOURS = "cividis"
"""Even in lightness, and made for the colour-blind."""
MOST_NUMBERS = 6
"""Columns up to which every cell has its number written in it."""


def heat_maps(cells: pd.DataFrame, x: str, y: str, facet: str, label: str) -> Figure:
    """``value`` over ``x`` and ``y``, a facet for each level of ``facet``, one scale for all.

    ``cells`` has the columns ``x``, ``y``, ``facet`` and ``value`` (0..1, shown in per cent);
    the best cell of each column has a frame. ``label`` says what the colour is.
    """
    facets = list(cells[facet].drop_duplicates())
    rates = sorted(cells[x].unique())
    tallest = int(cells.groupby(facet)[y].nunique().max())
    figure, axes = facet_axes(len(facets), 0.6 + 0.17 * tallest, sharey=False)
    image = None
    for axis, level in zip(axes, facets, strict=True):
        table = cells[cells[facet] == level].pivot_table(index=y, columns=x, values="value")
        table = table.reindex(columns=rates)
        values = 100 * table.to_numpy()
        image = axis.imshow(values, aspect="auto", origin="lower", cmap=COLOURS, vmin=0, vmax=100)
        _label_cells(axis, values)
        places = thinned(rates)
        axis.set_xticks(places, labels=[f"{rates[i]:g}" for i in places])
        heights = thinned(list(table.index), 9)
        axis.set_yticks(heights, labels=[f"{table.index[i]:.3g}" for i in heights])
        axis.set_title(label_of(level), fontsize=10)
        axis.grid(visible=False)
        axis.tick_params(labelsize=8)
    for axis in lowest(axes):
        axis.set_xlabel(label_of(x), fontsize=9)
    for axis in leftmost(axes):
        axis.set_ylabel(label_of(y).removeprefix("clipping "), fontsize=9)
    assert image is not None
    figure.colorbar(image, ax=axes, label=label, fraction=0.03, aspect=40)
    return figure


def _label_cells(axis: Axes, values: np.ndarray) -> None:
    if values.shape[1] > MOST_NUMBERS:
        return
    best = np.nanargmax(np.where(np.isnan(values), -1, values), axis=0)
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        if np.isnan(value):
            continue
        axis.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if value < 55 else BLACK,
            fontweight="bold" if row == best[column] else "normal",
        )


def clipped_against_accuracy(trials: pd.DataFrame, factor: str = "clipping") -> Figure:
    """Test accuracy against the share of clipped steps, a point a trial, a facet a rate."""
    rates = sorted(trials["learning_rate"].unique())
    rates = [rates[i] for i in thinned(rates)]
    levels = list(trials[factor].unique())
    styles = looks(levels)
    figure, axes = facet_axes(len(rates), 2.3)
    for axis, rate in zip(axes, rates, strict=True):
        here = trials[trials["learning_rate"] == rate]
        for level in levels:
            rows = here[here[factor] == level]
            axis.plot(
                100 * rows["clipped_fraction"],
                100 * rows["accuracy"],
                styles[level].marker,
                color=styles[level].colour,
                markersize=4,
                alpha=0.7,
                label=label_of(level),
                # dashed elsewhere: hollow here
                fillstyle="full" if styles[level].line == "-" else "none",
            )
        axis.axvline(50, color=BLACK, linestyle=":", linewidth=1)
        axis.set(title=f"rate {rate:g}", xlabel="clipped steps (%)", ylim=(0, 102), xlim=(-4, 104))
    for axis in leftmost(axes):
        axis.set_ylabel("test accuracy (%)")
    legend_of(figure, axes, label_of(factor))
    return figure


def accuracy_against_threshold(
    summary: pd.DataFrame, rules: pd.DataFrame, facet: str = "learning_rate"
) -> Figure:
    """Test accuracy against the threshold, a facet a rate, and what a rule would have taken.

    ``summary`` has the columns ``facet``, ``clipping_threshold``, ``estimate``, ``low`` and
    ``high``; ``rules`` the columns ``facet``, ``percentile`` and ``best_threshold``, as
    `benchmark.statistics.percentile_rule` gives them.
    """
    facets: Sequence[float] = sorted(summary[facet].unique())
    facets = [facets[i] for i in thinned(facets)]
    figure, axes = facet_axes(len(facets), 2.3)
    for axis, level in zip(axes, facets, strict=True):
        rows = summary[summary[facet] == level].sort_values("clipping_threshold")
        estimate = 100 * rows["estimate"]
        axis.errorbar(
            rows["clipping_threshold"],
            estimate,
            yerr=np.clip([estimate - 100 * rows["low"], 100 * rows["high"] - estimate], 0, None),
            color=looks(["global_norm"])["global_norm"].colour,
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.3,
            label="accuracy",
        )
        for rule in rules[rules[facet] == level].to_dict("records"):
            axis.axvline(
                rule["percentile"],
                color=VERMILION,
                linestyle="--",
                linewidth=1.5,
                label="90th percentile of unclipped norms",
            )
            chosen = rows[rows["clipping_threshold"] == rule["best_threshold"]]
            axis.plot(
                chosen["clipping_threshold"],
                100 * chosen["estimate"],
                "*",
                color=BLACK,
                markersize=10,
                label="best by validation",
                zorder=5,
            )
        axis.set(xscale="log", title=f"rate {level:g}", xlabel="threshold", ylim=(0, 102))
    for axis in leftmost(axes):
        axis.set_ylabel("test accuracy (%)")
    legend_of(figure, axes, "")
    return figure
