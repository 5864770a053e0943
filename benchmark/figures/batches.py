"""Batch sizes: what a target costs, which rate suits, and how policies change the size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmark.figures.curves import facet_axes, leftmost, legend_of, lowest, plain_log
from benchmark.figures.layout import by_width, canvas, panel_title, value_ticks
from benchmark.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    VERMILION,
    in_order,
    label_of,
    styles_of,
    tick_text,
)

PANELS = {"steps": "updates", "samples": "examples"}
SHARE = 0.05
"""Of the budget, over which the size of a policy is averaged."""
BELOW = 4.0
"""Times by which the rates that are shown reach below the lowest limit: none fails farther down."""
NOISE_AT = 0.05
"""Height, as a share of the panel, at which the noise scale is drawn."""


def failing_by_batch_size(
    cells: pd.DataFrame, limits: pd.DataFrame, spikes: pd.DataFrame
) -> Figure:
    """At which learning rates training fails, against the batch size, a facet a ``panel``.

    ``cells`` has the columns ``panel``, ``batch_size``, ``learning_rate`` and ``diverged``, the
    share (0..1) of the trials that diverge: a square each, the darker the more of them. ``limits``
    and ``spikes`` come from `benchmark.statistics.failing_rates` by ``panel``, of trials that
    diverge and of those whose loss spikes, as lines; with the rates that the rules derive from the
    limit of the smallest batch.
    """
    panels = list(limits["panel"].drop_duplicates())
    figure, axes = facet_axes(len(panels), 2.9)
    rates = cells["learning_rate"]
    lowest_shown = rates[rates >= limits["rate"].min() / BELOW].min()
    for axis, panel in zip(axes, panels, strict=True):
        squares = cells[cells["panel"] == panel]
        axis.scatter(
            squares["batch_size"],
            squares["learning_rate"],
            c=squares["diverged"],
            cmap="Greys",
            # the darkest grey leaves the lines to be seen
            vmin=0,
            vmax=1.6,
            marker="s",
            s=by_width(46, 34),
            edgecolors=GREY,
            linewidths=0.6,
            zorder=1,
        )
        _draw_limits(axis, spikes[spikes["panel"] == panel], ORANGE, "o", "half of the seeds spike")
        own = limits[limits["panel"] == panel]
        _draw_limits(axis, own, BLACK, "D", "half diverge")
        size, limit = (own[column].to_numpy(dtype=float) for column in ("batch_size", "rate"))
        ratio = size / size[0]
        axis.plot(size, limit[0] * ratio, "--", color=VERMILION, label="linear rule")
        axis.plot(size, limit[0] * np.sqrt(ratio), "-.", color=BLUE, label="square-root rule")
        axis.set(xscale="log", xlabel="batch size (examples)")
        axis.set_title(panel_title(panel, len(lowest(axes))), fontsize=9)
        value_ticks(axis, list(size))
        plain_log(axis)
        axis.set_ylim(lowest_shown / 1.5, rates.max() * 1.5)
    for axis in leftmost(axes):
        axis.set_ylabel("learning rate")
    legend_of(figure, axes, "")
    return figure


def _draw_limits(axis: Axes, rows: pd.DataFrame, colour: str, marker: str, label: str) -> None:
    rows = rows.sort_values("batch_size")
    rate, low, high = (rows[column] for column in ("rate", "low", "high"))
    axis.errorbar(
        rows["batch_size"],
        rate,
        yerr=np.clip([rate - low.fillna(rate), high.fillna(rate) - rate], 0, None),
        color=colour,
        marker=marker,
        markersize=5,
        capsize=3,
        linewidth=1.5,
        label=label,
        zorder=3,
    )


def critical_by_target(rows: pd.DataFrame) -> Figure:
    """Critical batch size and noise scale against the target, a facet a model.

    ``rows`` comes from `benchmark.statistics.critical_by_target` by ``model``. A critical size
    beyond the largest that was run is an arrow there.
    """
    models = list(rows["model"].unique())
    figure, axes = facet_axes(len(models), 2.6)
    for axis, model in zip(axes, models, strict=True):
        own = rows[rows["model"] == model].sort_values("target")
        known = own[np.isfinite(own["critical"])]
        ends = known[["low", "high"]].clip(upper=2 * own["largest"].max())
        axis.errorbar(
            100 * known["target"],
            known["critical"],
            yerr=np.clip(
                [known["critical"] - ends["low"], ends["high"] - known["critical"]], 0, None
            ),
            color=BLACK,
            marker="D",
            capsize=3,
            linewidth=1.5,
            label="critical batch size",
        )
        beyond = own[np.isinf(own["critical"])]
        if len(beyond):
            axis.plot(
                100 * beyond["target"],
                beyond["largest"],
                "^",
                color=BLACK,
                label="beyond the largest size",
            )
        axis.fill_between(
            100 * own["target"], own["noise_low"], own["noise_high"], color=ORANGE, alpha=0.2
        )
        axis.plot(100 * own["target"], own["noise"], "-o", color=ORANGE, label="noise scale")
        axis.set(xlabel="target validation accuracy (%)")
        _name_facet(axis, model, len(models))
        plain_log(axis)
    for axis in leftmost(axes):
        axis.set_ylabel("batch size (examples)")
    legend_of(figure, axes, "")
    return figure


def _name_facet(axis: Axes, model: str, count: int) -> None:
    """The model as the title of its facet, where there is another."""
    if count > 1:
        axis.set_title(label_of(model))


def costs_by_batch_size(costs: pd.DataFrame, critical: pd.DataFrame, target: str) -> Figure:
    """Updates and examples to the ``target`` against the batch size, a row a model.

    ``costs`` comes from `benchmark.statistics.targets.trade` by ``model``. ``critical`` has a row a
    model: ``model``, ``critical``, ``low`` and ``high``, the critical batch size with its interval
    (a line and a band), and ``noise``, ``noise_low`` and ``noise_high``, the noise scale (a bar in
    the second panel). Dotted: as many examples at every size, as few as at the best of them, which
    is half the updates at twice the size.
    """
    models = list(costs["model"].unique())
    sizes = sorted(costs["batch_size"].unique())
    figure, axes = canvas(len(models), len(PANELS), 2.9, sharex=True)
    for axis_row, model in zip(axes, models, strict=True):
        rows = costs[costs["model"] == model].sort_values("batch_size")
        least = rows["samples"].min()
        ideals = (least / rows["batch_size"], np.full(len(rows), least))
        (found,) = critical[critical["model"] == model].to_dict("records")
        for axis, value, ideal in zip(axis_row, PANELS, ideals, strict=True):
            estimate = rows[value]
            high = rows[f"{value}_high"].where(np.isfinite(rows[f"{value}_high"]), estimate)
            _mark_critical(axis, found, max(sizes))
            axis.plot(rows["batch_size"], ideal, color=GREY, linestyle=":", label="perfect scaling")
            axis.errorbar(
                rows["batch_size"],
                estimate,
                yerr=np.clip([estimate - rows[f"{value}_low"], high - estimate], 0, None),
                color=BLUE,
                marker="o",
                markersize=5,
                capsize=2,
                linewidth=1.4,
                label="measured",
            )
            axis.set(xscale="log", xlim=(min(sizes) / 1.25, max(sizes) * 1.25))
            axis.set_xticks(sizes, labels=[tick_text(size) for size in sizes])
            axis.xaxis.set_minor_locator(NullLocator())
            plain_log(axis)
        _mark_noise(axis_row[1], found)
        if len(models) > 1:
            axis_row[0].set_ylabel(label_of(model), fontweight="bold")
    for axis, label in zip(axes[0], PANELS.values(), strict=True):
        axis.set_title(f"{label} to {target}", fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("batch size (examples)")
    legend_of(figure, list(axes.flat), "")
    return figure


def _mark_critical(axis: Axes, row: Mapping[Any, float], largest: float) -> None:
    if np.isfinite(row["critical"]):
        label = "critical batch size"
        axis.axvline(row["critical"], color=BLACK, linestyle="--", linewidth=1.2, label=label)
    if np.isfinite(row["low"]):
        # beyond measure is beyond the largest size
        high = min(row["high"], 2 * largest)
        axis.axvspan(row["low"], high, color=GREY, alpha=0.2, linewidth=0)


def _mark_noise(axis: Axes, row: Mapping[Any, float]) -> None:
    middle, low, high = (row[f"noise{end}"] for end in ("", "_low", "_high"))
    if np.isfinite([middle, low, high]).all():
        place = axis.get_xaxis_transform()
        axis.plot([low, high], [NOISE_AT] * 2, color=ORANGE, linewidth=3, transform=place)
        label = "noise scale"
        axis.plot(middle, NOISE_AT, "D", color=ORANGE, transform=place, label=label)


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
        axis.set(xscale="log", xlabel="batch size (examples)")
        _name_facet(axis, model, len(models))
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
            # every trial has its own checkpoints, and some policies jump at each
            part = np.ceil(rows["share"] / SHARE) * SHARE
            median = rows.groupby(part.round(2))["batch_size"].median()
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
