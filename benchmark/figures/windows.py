"""Which learning rates train: accuracies where they matter, and the window of good ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from benchmark.figures.curves import ACCURACY, RATE, facet_axes, leftmost, legend_of, lowest
from benchmark.figures.layout import panel_title, rate_ticks
from benchmark.figures.limits import dodge, shade, squeeze
from benchmark.figures.style import BLACK, in_order, label_of, styles_of, tick_text

FOCUS = 10.0
"""Points of accuracy below the best that have most of the height."""
FIRST, APART = 22.0, 24.0
"""Points below 0 at which the first window is drawn, and from one to the next."""


def window_panels(
    trials: pd.DataFrame, windows: pd.DataFrame, chance: float | None = None
) -> Figure:
    """Test accuracy of single trials and their means by rate, and under them the good rates.

    A panel a ``remedy``, in the order of ``windows``, and a colour a ``model``. ``trials`` has both
    columns, ``learning_rate`` and ``accuracy`` (0..1); ``windows`` the rates ``least`` to ``good``
    of each pair, as `benchmark.statistics.good_windows` gives them, with ``least_edge`` and
    ``good_edge``. All panels have one axis, squeezed more than ten points below the best;
    ``chance`` (%) is a dotted line.
    """
    remedies = list(windows["remedy"].drop_duplicates())
    trials = trials[trials["remedy"].isin(remedies)]
    models = in_order(trials["model"])
    styles, rates = styles_of(models), sorted(trials["learning_rate"].unique())
    shifts = dodge(rates, len(models))
    means = trials.groupby(["remedy", "model", "learning_rate"])["accuracy"].mean()
    # whole fives, so that the ends of the middle are ticks
    high = 5 * np.ceil(ACCURACY.factor * trials["accuracy"].max() / 5)
    low = 5 * np.floor((ACCURACY.factor * means.max() - FOCUS) / 5)
    figure, axes = facet_axes(len(remedies), 3.0)
    for axis, remedy in zip(axes, remedies, strict=True):
        for shift, (place, model) in zip(shifts, enumerate(models), strict=True):
            here = trials[(trials["remedy"] == remedy) & (trials["model"] == model)]
            window = windows[(windows["remedy"] == remedy) & (windows["model"] == model)]
            if here.empty:
                continue
            style = styles[model]
            axis.plot(
                shift * here["learning_rate"],
                ACCURACY.factor * here["accuracy"],
                ".",
                color=style.colour,
                alpha=0.45,
                markersize=4,
                markeredgewidth=0,
            )
            line = means[remedy][model]
            axis.plot(
                shift * line.index.to_numpy(),
                ACCURACY.factor * line.to_numpy(),
                color=style.colour,
                marker=style.marker,
                linestyle=style.line,
                markersize=4.5,
                linewidth=1.5,
                label=label_of(model),
            )
            for row in window.to_dict("records"):
                _bar(axis, row, -FIRST - place * APART, style.colour)
        axis.set_xscale("log")
        axis.set_xlabel(RATE.label)
        axis.set_title(panel_title(label_of(remedy), len(remedies)))
    bottom = -FIRST - len(models) * APART + APART / 3
    squeeze(axes[0], low, high, (bottom, high), share=0.45)
    names = {-FIRST - place * APART: f"good: {label_of(m)}" for place, m in enumerate(models)}
    ticks = [*names, 0.0, 50.0, *np.arange(low, high + 1, 5)]
    axes[0].yaxis.set_major_locator(FixedLocator(sorted(t for t in ticks if t <= high)))
    axes[0].yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: names.get(value, tick_text(value)))
    )
    for axis in axes:
        rate_ticks(axis, rates)
        if axis is not axes[0]:
            shade(axis, low, high, (bottom, high))
        axis.axhline(0, color="white", linewidth=1.5, zorder=0.5)
        if chance is not None:
            axis.axhline(chance, color=BLACK, linestyle=":", linewidth=1)
        if axis not in lowest(axes):
            axis.set_xlabel("")
    for axis in leftmost(axes):
        axis.set_ylabel(ACCURACY.label)
    legend_of(figure, axes, "")
    return figure


def _bar(axis: Axes, row: dict[str, object], place: float, colour: str) -> None:
    """The good rates, with an arrow where they reach an end of those that were run."""
    ends = [float(str(row["least"])), float(str(row["good"]))]
    axis.plot(ends, [place, place], color=colour, linewidth=5, solid_capstyle="butt")
    for end, edge, mark in zip(ends, ("least_edge", "good_edge"), "<>", strict=True):
        axis.plot(end, place, mark if row[edge] else "|", color=colour, markersize=8)
