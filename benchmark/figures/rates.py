"""Accuracy against learning rate, and how accuracies are distributed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.figures.layout import canvas, legend_below, rate_ticks
from benchmark.figures.limits import dodge
from benchmark.figures.style import label_of, styles_of
from benchmark.statistics import interval


def accuracy_against_rate(frame: pd.DataFrame, factor: str) -> Figure:
    """Test accuracy against learning rate, a line for each level of ``factor``, a facet a model.

    Points are interquartile means over all other factors and seeds, bars their 95% bootstrap
    intervals over seeds; the dotted line is chance. ``frame`` comes from
    `benchmark.statistics.outcomes`.
    """
    models, levels = list(frame["model"].unique()), list(frame[factor].unique())
    styles = styles_of(levels)
    rates = sorted(frame["learning_rate"].unique())
    summary = interval(frame, "accuracy", ["model", factor, "learning_rate"])
    figure, axes = canvas(1, len(models), 3.0, sharey=True)
    for axis, model in zip(axes[0], models, strict=True):
        for shift, level in zip(dodge(rates, len(levels)), levels, strict=True):
            rows = summary[(summary["model"] == model) & (summary[factor] == level)]
            rows = rows.sort_values("learning_rate")
            style = styles[level]
            accuracy = 100 * rows["estimate"]
            # an interval of few seeds may reach beyond what a share can be
            low, high = (100 * rows[end].clip(0, 1) for end in ("low", "high"))
            axis.errorbar(
                rows["learning_rate"] * shift,
                accuracy,
                # a percentile interval need not contain its estimate
                yerr=np.clip([accuracy - low, high - accuracy], 0, None),
                color=style.colour,
                marker=style.marker,
                linestyle=style.line,
                markersize=4.5,
                linewidth=1.4,
                elinewidth=0.9,
                capsize=2,
                label=label_of(level),
            )
        axis.set(xscale="log", title=label_of(model), xlabel="learning rate", ylim=(-3, 103))
        rate_ticks(axis, rates)
        _draw_chance(axis, 1 / frame["classes"].iloc[0])
    axes[0][0].set_ylabel("test accuracy (%)")
    legend_below(figure, *axes[0][0].get_legend_handles_labels(), title=label_of(factor))
    return figure


def _draw_chance(axis: Axes, chance: float) -> None:
    axis.axhline(100 * chance, color="black", linestyle=":", linewidth=1)
    axis.annotate(
        "chance",
        (0.02, 100 * chance),
        xycoords=("axes fraction", "data"),
        xytext=(0, -2),
        textcoords="offset points",
        va="top",
        fontsize=8.5,
    )
