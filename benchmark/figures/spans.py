"""Which learning rates train: ranges, sensitivities, range tests and the curvature."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.figures.curves import facet_axes, legend_of, plain_log
from benchmark.figures.style import BLACK, GREY, canvas, label_of, looks, rate_ticks


def span_chart(spans: pd.DataFrame, factor: str, rates: list[float]) -> Figure:
    """Stable range, its width and the sensitivity to the rate, a row for each level of ``factor``.

    ``spans`` comes from `benchmark.statistics.spans.rate_spans`, one row a level; ``rates`` are
    those that were run. The first level is the baseline: a dotted line through its figures.
    """
    levels = list(spans[factor])
    styles = looks(levels)
    figure, axes = canvas(1, 3, 0.7 + 0.26 * len(levels), sharey=True)
    for y, row in enumerate(spans.to_dict("records")):
        look = styles[row[factor]]
        axes[0][0].plot(
            [row["low_rate"], row["high_rate"]], [y, y], color=look.colour, linewidth=5, alpha=0.4
        )
        axes[0][0].plot(row["best_rate"], y, look.marker, color=look.colour, markersize=6)
        for axis, value in zip(axes[0][1:], ("decades", "sensitivity"), strict=True):
            estimate = row[value]
            ends = [[estimate - row[f"{value}_low"]], [row[f"{value}_high"] - estimate]]
            axis.errorbar(
                estimate,
                y,
                xerr=np.clip(ends, 0, None),
                fmt=look.marker,
                color=look.colour,
                capsize=3,
                markersize=5,
            )
            if y == 0:
                axis.axvline(estimate, color=GREY, linestyle=":", linewidth=1)
    axes[0][0].set(xscale="log", xlabel="learning rate", title="within 1 point")
    axes[0][0].set_xlim(rates[0] / 2, rates[-1] * 2)
    rate_ticks(axes[0][0], rates)
    axes[0][1].set(xlabel="decades", title="width of the range")
    axes[0][2].set(xlabel="nats", title="sensitivity")
    for axis in axes[0][1:]:
        # where every range is a single rate, all widths are zero and set no scale
        right = max(axis.get_xlim()[1], 0.5)
        axis.set_xlim(-0.05 * right, right)
        axis.locator_params(axis="x", nbins=5)
    for axis in axes[0]:
        axis.set_ylim(len(levels) - 0.5, -0.5)
        axis.grid(visible=False, axis="y")
        axis.set_yticks(range(len(levels)), labels=[label_of(level) for level in levels])
    return figure


def range_tests(history: pd.DataFrame, factor: str, facet: str = "model") -> Figure:
    """Training loss against the learning rate of range tests, a line for each level of ``factor``.

    ``history`` has the rows of range tests with the columns ``factor`` and ``facet`` of their
    trials: lines are medians over seeds of the mean loss since the checkpoint before; a triangle
    at the upper edge marks where a level's first loss stopped being finite.
    """
    facets = list(history[facet].drop_duplicates())
    figure, axes = facet_axes(len(facets), 2.9)
    levels = list(history[factor].drop_duplicates())
    styles = looks(levels)
    start = history.groupby("trial")["train_loss"].first().median()
    top = 10 * float(start)
    for axis, shown in zip(axes, facets, strict=True):
        here = history[history[facet] == shown]
        for level in here[factor].drop_duplicates():
            rows = here[here[factor] == level]
            loss = rows["train_loss"].astype(float).replace([np.inf, -np.inf], np.nan)
            median = loss.groupby(rows["learning_rate"]).median().dropna()
            look = styles[level]
            axis.plot(
                median.index,
                median.clip(upper=top),
                color=look.colour,
                linestyle=look.line,
                linewidth=1.4,
                label=label_of(level),
            )
            lost = rows.loc[loss.isna(), "learning_rate"]
            if len(lost):
                axis.plot(lost.min(), top, "^", color=look.colour, markersize=5)
        axis.set(xscale="log", xlabel="learning rate", title=label_of(shown))
        plain_log(axis)
    axes[0].set_ylabel("training loss (nats)")
    legend_of(figure, axes, label_of(factor))
    return figure


def sharpness_against_bound(history: pd.DataFrame, facet: str) -> Figure:
    """Sharpness times the learning rate over 2, over training, a line for each rate.

    ``history`` has the columns ``samples``, ``rate`` (the trial's), ``edge`` (sharpness times
    rate / 2) and ``facet``. At 1, dotted, plain gradient descent on a quadratic stops being
    stable. Lines are medians over seeds, bands from the least to the greatest.
    """
    facets = list(history[facet].drop_duplicates())
    rates = sorted(history["rate"].unique())
    styles = looks(rates)
    figure, axes = facet_axes(len(facets), 2.8)
    for axis, shown in zip(axes, facets, strict=True):
        here = history[history[facet] == shown]
        for rate in rates:
            _draw_edge(axis, here[here["rate"] == rate], styles[rate].colour, f"{rate:g}")
        axis.axhline(1, color=BLACK, linestyle=":", linewidth=1.2)
        axis.set(title=f"{label_of(facet)} {label_of(shown)}", xlabel="training examples seen")
        plain_log(axis)
        axis.locator_params(axis="x", nbins=4)
    axes[0].set_ylabel("sharpness × rate / 2")
    legend_of(figure, axes, "learning rate")
    return figure


def _draw_edge(axis: Axes, rows: pd.DataFrame, colour: str, label: str) -> None:
    over_seeds = rows.groupby("samples")["edge"].agg(["min", "median", "max"])
    if over_seeds.empty:
        return
    axis.fill_between(
        over_seeds.index,
        over_seeds["min"],
        over_seeds["max"],
        color=colour,
        alpha=0.2,
        linewidth=0,
    )
    axis.plot(over_seeds.index, over_seeds["median"], color=colour, linewidth=1.4, label=label)
