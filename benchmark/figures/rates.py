"""Accuracy against learning rate."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.style import canvas, legend_below, markers, palette, rate_ticks, words
from benchmark.statistics import interval


def accuracy_against_rate(frame: pd.DataFrame, factor: str) -> Figure:
    """Test accuracy against learning rate, a line for each level of ``factor``, a facet a model.

    Points are interquartile means over all other factors and seeds, bars their 95% bootstrap
    intervals over seeds; the dotted line is chance. ``frame`` comes from
    `benchmark.statistics.outcomes`.
    """
    models, levels = list(frame["model"].unique()), list(frame[factor].unique())
    colours, shapes = palette(levels), markers(levels)
    rates = sorted(frame["learning_rate"].unique())
    summary = interval(frame, "accuracy", ["model", factor, "learning_rate"])
    figure, axes = canvas(1, len(models), 3.0, sharey=True)
    for axis, model in zip(axes[0], models, strict=True):
        for place, level in enumerate(levels):
            rows = summary[(summary["model"] == model) & (summary[factor] == level)]
            rows = rows.sort_values("learning_rate")
            # lines that lie on each other are told apart by a shift of a few per cent
            shift = 1.06 ** (place - (len(levels) - 1) / 2)
            accuracy = 100 * rows["estimate"]
            axis.errorbar(
                rows["learning_rate"] * shift,
                accuracy,
                yerr=[accuracy - 100 * rows["low"], 100 * rows["high"] - accuracy],
                color=colours[level],
                marker=shapes[level],
                markersize=4.5,
                linewidth=1.4,
                elinewidth=1.2,
                capsize=2,
                label=words(level),
            )
        axis.axhline(100 / frame["classes"].iloc[0], color="black", linestyle=":", linewidth=1)
        axis.set(xscale="log", title=words(model), xlabel="learning rate", ylim=(0, 102))
        rate_ticks(axis, rates)
    axes[0][0].set_ylabel("test accuracy (%)")
    axes[0][0].annotate(
        "chance", (0.02, 100 / frame["classes"].iloc[0] + 1.5), xycoords=("axes fraction", "data")
    )
    legend_below(figure, axes[0][0], len(levels), words(factor))
    return figure
