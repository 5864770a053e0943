"""Batch sizes: what a target costs, which rate suits, and how policies change the size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.curves import facet_axes, leftmost, legend_of, plain_log
from benchmark.figures.style import (
    BLACK,
    BLUE,
    GREY,
    VERMILION,
    canvas,
    label_of,
    rate_ticks,
    styles_of,
)

PANELS = {
    "steps": "updates to the target",
    "samples": "examples to the target",
    "seconds": "seconds to the target",
}


def costs_by_batch_size(costs: pd.DataFrame, knees: pd.DataFrame) -> Figure:
    """Updates, examples and seconds to the target against the batch size, a line a model.

    ``costs`` comes from `benchmark.statistics.targets.cheapest` by ``model`` and ``batch_size``;
    ``knees`` has the columns ``model`` and ``knee``, and ``noise_low`` and ``noise_high``, between
    which the noise scale lies (a band in the second panel).
    """
    models = list(costs["model"].unique())
    styles = styles_of(models)
    sizes = sorted(costs["batch_size"].unique())
    figure, axes = facet_axes(3, 3.0, sharey=False)
    for axis, (value, label) in zip(axes, PANELS.items(), strict=True):
        for model in models:
            rows = costs[costs["model"] == model].sort_values("batch_size")
            estimate = rows[value]
            high = rows[f"{value}_high"].where(np.isfinite(rows[f"{value}_high"]), estimate)
            axis.errorbar(
                rows["batch_size"],
                estimate,
                yerr=np.clip([estimate - rows[f"{value}_low"], high - estimate], 0, None),
                color=styles[model].colour,
                marker=styles[model].marker,
                markersize=5,
                capsize=2,
                linewidth=1.4,
                label=label_of(model),
            )
        axis.set(xscale="log", xlabel="batch size (examples)", title=label)
        axis.title.set_fontsize(10)
        rate_ticks(axis, sizes)
        plain_log(axis)
    first = costs.sort_values("batch_size").drop_duplicates("model")
    for row in first.to_dict("records"):
        # as many examples whatever the size: half the updates at twice the size
        ideal = row["steps"] * row["batch_size"] / np.array(sizes)
        axes[0].plot(sizes, ideal, color=GREY, linestyle=":", linewidth=1.2, label="ideal")
    for row in knees.to_dict("records"):
        colour = styles[row["model"]].colour
        axes[1].axvline(row["knee"], color=colour, linestyle="--", linewidth=1.2, label="knee")
        if np.isfinite(row["noise_low"]):
            axes[1].axvspan(
                row["noise_low"],
                # beyond measure is beyond the largest size
                min(row["noise_high"], max(2 * max(sizes), row["noise_low"])),
                color=colour,
                alpha=0.12,
                linewidth=0,
                label="noise scale",
            )
    legend_of(figure, axes, "")
    return figure


def rates_by_batch_size(rules: pd.DataFrame) -> Figure:
    """Best learning rate against batch size and what the two rules say, a facet a model.

    ``rules`` comes from `benchmark.statistics.targets.scaled_rates`, with the column ``model``;
    bars are the rates within one point of the best.
    """
    models = list(rules["model"].unique())
    figure, axes = facet_axes(len(models), 3.0)
    for axis, model in zip(axes, models, strict=True):
        rows = rules[rules["model"] == model].sort_values("batch_size")
        best = rows["best_rate"]
        axis.errorbar(
            rows["batch_size"],
            best,
            yerr=[best - rows["low_rate"], rows["high_rate"] - best],
            color=BLACK,
            fmt="o",
            markersize=6,
            capsize=4,
            linewidth=1.6,
            label="best, and within 1 point of it",
        )
        axis.plot(
            rows["batch_size"], rows["linear"], "--", color=VERMILION, label="linear rule: rate ~ B"
        )
        axis.plot(
            rows["batch_size"],
            rows["root"],
            "-.",
            color=BLUE,
            label="square-root rule: rate ~ √B",
        )
        axis.set(xscale="log", xlabel="batch size (examples)", title=label_of(model))
        rate_ticks(axis, list(rows["batch_size"]))
        plain_log(axis)
    for axis in leftmost(axes):
        axis.set_ylabel("learning rate")
    legend_of(figure, axes, "")
    return figure


def batch_size_over_training(history: pd.DataFrame, rows: str) -> Figure:
    """Batch size against the share of the budget used, a line for each ``batch_policy``.

    ``history`` has the columns ``share`` (0..1), ``batch_size``, ``batch_policy`` and ``rows``, a
    facet each: lines are medians over seeds.
    """
    facets, levels = list(history[rows].unique()), list(history["batch_policy"].unique())
    styles = styles_of(levels)
    figure, axes = canvas(1, len(facets), 3.0, sharey=True)
    for axis, shown in zip(axes[0], facets, strict=True):
        here = history[history[rows] == shown]
        for level in levels:
            line = here[here["batch_policy"] == level]
            # every trial has its own checkpoints: on a grid of shares
            median = line.groupby(line["share"].round(2))["batch_size"].median()
            axis.plot(
                100 * median.index,
                median,
                color=styles[level].colour,
                linestyle=styles[level].line,
                linewidth=1.5,
                drawstyle="steps-pre",
                label=label_of(level),
            )
        axis.set(xlabel="budget used (%)", title=label_of(shown))
        plain_log(axis)
    axes[0][0].set_ylabel("batch size (examples)")
    legend_of(figure, list(axes[0]), "batch policy")
    return figure
