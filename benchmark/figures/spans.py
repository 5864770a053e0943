"""Which learning rates train: ranges, sensitivities, range tests and the curvature."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmark.figures.curves import (
    PALE,
    facet_axes,
    leftmost,
    legend_of,
    lowest,
    plain_log,
    shade_between,
)
from benchmark.figures.layout import (
    canvas,
    legend_below,
    name_rows,
    rate_ticks,
    row_inches,
    thinned,
)
from benchmark.figures.phrases import phrase
from benchmark.figures.style import (
    BLACK,
    GREY,
    Style,
    label_of,
    ordered_styles,
    rate_text,
    styles_of,
    tick_text,
)

MOST_LINES = 9
"""Learning rates of the sharpness that can be told apart."""


def span_chart(spans: pd.DataFrame, factor: str, rates: list[float]) -> Figure:
    """Stable range, its width and the sensitivity to the rate, a row for each level of ``factor``.

    ``spans`` comes from `benchmark.statistics.spans.rate_spans`, one row a level; ``rates`` are
    those that were run: a best one at their edge is called so. The first level is the baseline: a
    dotted line through its figures.
    """
    levels = list(spans[factor])
    styles = styles_of(levels)
    names = list(map(label_of, levels))
    height = 0.7 + row_inches(names, 0.26) * len(levels)
    figure, axes = canvas(1, 3, height, abreast=1, sharey=True)
    for y, row in enumerate(spans.to_dict("records")):
        style = styles[row[factor]]
        axes[0][0].plot(
            [row["low_rate"], row["high_rate"]], [y, y], color=style.colour, linewidth=5, alpha=0.4
        )
        best = row["best_rate"]
        axes[0][0].plot(best, y, style.marker, color=style.colour, markersize=6)
        edge = " (edge)" if len(rates) > 1 and best in (rates[0], rates[-1]) else ""
        # the answer in numbers, on the side that has room
        beyond = best > np.sqrt(rates[0] * rates[-1])
        axes[0][0].annotate(
            f"{rate_text(best)}{edge}",
            (row["low_rate"] if beyond else row["high_rate"], y),
            xytext=(-7 if beyond else 7, 0),
            textcoords="offset points",
            ha="right" if beyond else "left",
            va="center",
            fontsize=8,
        )
        for axis, value in zip(axes[0][1:], ("decades", "sensitivity"), strict=True):
            estimate = row[value]
            ends = [[estimate - row[f"{value}_low"]], [row[f"{value}_high"] - estimate]]
            axis.errorbar(
                estimate,
                y,
                xerr=np.clip(ends, 0, None),
                fmt=style.marker,
                color=style.colour,
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
        name_rows(axis, names)
    return figure


def range_tests(history: pd.DataFrame, factor: str) -> Figure:
    """Training loss against the learning rate of range tests, a facet for each model and level.

    ``history`` has the rows of range tests with the columns ``model`` and ``factor`` of their
    trials. The first level is the baseline, a broad grey line behind that of every facet, which
    shows where the two are the same. Lines are medians over seeds of the mean loss since the
    checkpoint before, bands reach from the least to the greatest; a triangle at the upper edge
    marks where a level's first loss stopped being finite.
    """
    models, levels = (list(history[column].drop_duplicates()) for column in ("model", factor))
    shown = [(model, level) for model in models for level in levels[1:] or levels]
    figure, axes = facet_axes(len(shown), 1.75)
    top = 10 * float(history.groupby("trial")["train_loss"].first().median())
    rates = history["learning_rate"]
    for axis, (model, level) in zip(axes, shown, strict=True):
        here = history[history["model"] == model]
        for drawn in dict.fromkeys((levels[0], level)):
            style, width = styles_of([drawn])[drawn], 1.4
            if drawn == levels[0] != level:
                style, width = Style(PALE, style.marker), 4.0
            _draw_test(axis, here[here[factor] == drawn], style, drawn, top, width)
        title = label_of(level) if len(models) == 1 else f"{label_of(model)}, {label_of(level)}"
        axis.set_title(title, fontsize=9.5)
        axis.set(xscale="log", xlim=(rates.min(), rates.max()))
        axis.tick_params(labelsize=8)
        plain_log(axis)
        rate_ticks(axis, [rates.min(), rates.max()])
    for axis in lowest(axes):
        axis.set_xlabel("learning rate", fontsize=9)
    for axis in leftmost(axes):
        axis.set_ylabel("loss (nats)", fontsize=9)
    lines = [axes[0].get_lines()[0]]
    legend_below(figure, lines, [f"{label_of(levels[0])} (in every panel)"])
    return figure


def _draw_test(
    axis: Axes, rows: pd.DataFrame, style: Style, level: object, top: float, width: float
) -> None:
    loss = rows["train_loss"].astype(float).replace([np.inf, -np.inf], np.nan)
    over_seeds = loss.groupby(rows["learning_rate"]).agg(["min", "median", "max"]).dropna()
    over_seeds = over_seeds.clip(upper=top)
    axis.plot(
        over_seeds.index,
        over_seeds["median"],
        color=style.colour,
        linestyle=style.line,
        linewidth=width,
        label=label_of(level),
    )
    shade_between(axis, over_seeds, style)
    lost = rows.loc[loss.isna(), "learning_rate"]
    if len(lost):
        axis.plot(lost.min(), top, "^", color=style.colour, markersize=5)


def sharpness_against_bound(history: pd.DataFrame, facet: str) -> Figure:
    """Sharpness times the learning rate over 2, over training, a line for each rate.

    ``history`` has the columns ``samples``, ``rate`` (the trial's), ``edge`` (sharpness times
    rate / 2) and ``facet``. At 1, dotted, plain gradient descent on a quadratic stops being
    stable. Lines are medians over seeds, bands from the least to the greatest. Of many
    rates at most nine are drawn.
    """
    facets = list(history[facet].drop_duplicates())
    rates = sorted(history["rate"].unique())
    rates = [rates[i] for i in thinned(rates, MOST_LINES)]
    styles = ordered_styles(rates)
    figure, axes = facet_axes(len(facets), 3.1)
    for axis, shown in zip(axes, facets, strict=True):
        here = history[history[facet] == shown]
        for rate in rates:
            _draw_edge(axis, here[here["rate"] == rate], styles[rate].colour, rate_text(rate))
        axis.axhline(1, color=BLACK, linestyle=":", linewidth=1.2)
        axis.set(title=label_of(phrase(facet, shown)), xlabel="training examples seen")
        plain_log(axis)
        axis.locator_params(axis="x", nbins=4)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
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
