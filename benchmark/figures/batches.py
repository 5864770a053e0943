"""Batch sizes: what a target costs, which rate suits, and how policies change the size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.figures.curves import facet_axes, leftmost, legend_of, lowest, plain_log
from benchmark.figures.layout import canvas, value_ticks
from benchmark.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    VERMILION,
    in_order,
    label_of,
    styles_of,
)

PANELS = {
    "steps": "updates to the target",
    "samples": "examples to the target",
    "seconds": "seconds to the target",
}


def costs_by_batch_size(costs: pd.DataFrame, knees: pd.DataFrame) -> Figure:
    """Updates, examples and seconds to the target against the batch size, a row a model.

    ``costs`` comes from `benchmark.statistics.targets.cheapest` by ``model`` and ``batch_size``;
    ``knees`` has the columns ``model`` and ``knee``, and ``noise_low`` and ``noise_high``, between
    which the noise scale lies (a band in the second panel).
    """
    models = list(costs["model"].unique())
    styles = styles_of(models)
    sizes = sorted(costs["batch_size"].unique())
    figure, axes = canvas(len(models), len(PANELS), 2.4, sharex=True, sharey="col")
    for axis_row, model in zip(axes, models, strict=True):
        rows = costs[costs["model"] == model].sort_values("batch_size")
        for axis, value in zip(axis_row, PANELS, strict=True):
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
                label="median, least and greatest",
            )
            axis.set_xscale("log")
            value_ticks(axis, sizes)
            plain_log(axis)
        first = rows.iloc[0]
        # as many examples whatever the size: half the updates at twice the size
        ideal = first["steps"] * first["batch_size"] / np.array(sizes)
        seen = ideal >= np.nanmin(costs[["steps", "steps_low"]].to_numpy(float))
        places = np.array(sizes)[seen]
        axis_row[0].plot(places, ideal[seen], color=GREY, linestyle=":", label="ideal")
        for row in knees[knees["model"] == model].to_dict("records"):
            _mark_knee(axis_row[1], row, max(sizes))
        axis_row[0].set_ylabel(label_of(model), fontweight="bold")
    for axis, label in zip(axes[0], PANELS.values(), strict=True):
        axis.set_title(label, fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("batch size (examples)")
    legend_of(figure, list(axes.flat), "")
    return figure


def _mark_knee(axis: Axes, row: Mapping[Any, float], largest: float) -> None:
    axis.axvline(row["knee"], color=BLACK, linestyle="--", linewidth=1.2, label="knee")
    if np.isfinite(row["noise_low"]):
        axis.axvspan(
            row["noise_low"],
            # beyond measure is beyond the largest size
            min(row["noise_high"], max(2 * largest, row["noise_low"])),
            color=ORANGE,
            alpha=0.25,
            linewidth=0,
            label="noise scale",
        )


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
        value_ticks(axis, list(rows["batch_size"]))
        plain_log(axis)
    for axis in leftmost(axes):
        axis.set_ylabel("learning rate")
    legend_of(figure, axes, "")
    return figure


def batch_size_over_training(history: pd.DataFrame, line: str) -> Figure:
    """Batch size against the share of the budget used, a facet for each ``batch_policy``.

    ``history`` has the columns ``share`` (0..1), ``batch_size``, ``batch_policy`` and ``line``, a
    line each: medians over seeds.
    """
    lines, policies = list(history[line].unique()), in_order(history["batch_policy"])
    styles = styles_of(lines)
    figure, axes = facet_axes(len(policies), 1.9)
    for axis, policy in zip(axes, policies, strict=True):
        here = history[history["batch_policy"] == policy]
        for level in lines:
            rows = here[here[line] == level]
            # every trial has its own checkpoints: on a grid of shares
            median = rows.groupby(rows["share"].round(2))["batch_size"].median()
            axis.plot(
                100 * median.index,
                median,
                color=styles[level].colour,
                linewidth=1.5,
                drawstyle="steps-pre",
                label=label_of(level),
            )
        axis.set(title=label_of(policy), xlim=(0, 100))
        plain_log(axis)
    for axis in lowest(axes):
        axis.set_xlabel("budget used (%)")
    for axis in leftmost(axes):
        axis.set_ylabel("batch size")
    legend_of(figure, axes, "")
    return figure
