"""Gradient norms over the course of training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

from benchmark.figures.curves import shade_between
from benchmark.figures.layout import canvas, legend_below, thinned
from benchmark.figures.limits import limits_of_norms
from benchmark.figures.style import GREY, Style, label_of, rate_text, styles_of

MOST_RATES = 5
"""Columns that fit on a page."""


def gradient_norm_trajectories(history: pd.DataFrame, trials: pd.DataFrame) -> Figure:
    """Largest gradient norm since the last checkpoint against the examples seen.

    Rows are models, columns at most five of the learning rates. For each clipping a
    line at the median over the trials (seeds) and a band from their least to their greatest norm.
    A cross marks the checkpoint by which a trial's first bad step fell; a triangle at the upper
    edge one of whose norms lies beyond the axis, is infinite or not a number.
    """
    models, levels = list(trials["model"].unique()), list(trials["clipping"].unique())
    rates = sorted(trials["learning_rate"].unique())
    rates = [rates[i] for i in thinned(rates, MOST_RATES)]
    styles = styles_of(levels)
    columns = ["trial", "model", "learning_rate", "first_bad_step", "clipping"]
    # the study's own learning rate, not that of the schedule at the checkpoint
    rows = history.drop(columns="learning_rate").merge(trials[columns], on="trial")
    rows = rows[(rows["step"] > 0) & rows["learning_rate"].isin(rates)]
    rows["norm"] = rows["gradient_norm_max"].astype(float)
    figure, axes = canvas(len(models), len(rates), 2.0, sharex=True, sharey="row")
    for axis_row, model in zip(axes, models, strict=True):
        of_model = rows[rows["model"] == model]
        bottom, top = limits_of_norms(of_model["norm"])
        for axis, rate in zip(axis_row, rates, strict=True):
            here = of_model[of_model["learning_rate"] == rate]
            if here.empty:
                axis.text(0.5, 0.5, "not run", ha="center", color=GREY, transform=axis.transAxes)
            for level in levels:
                _draw_level(axis, here[here["clipping"] == level], styles[level], top)
            axis.set(yscale="log")
            axis.set_ylim(bottom / 3, 3 * top)
            axis.yaxis.set_major_locator(LogLocator(numticks=6))
            axis.xaxis.set_major_locator(MaxNLocator(3))
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
            axis.tick_params(labelsize=8)
            axis.grid(visible=False, axis="x")
        axis_row[0].set_ylabel(f"{label_of(model)}: gradient norm")
    for axis, rate in zip(axes[0], rates, strict=True):
        axis.set_title(f"rate {rate_text(rate)}", fontsize=10)
    axes[-1][len(rates) // 2].set_xlabel("training examples seen")
    lines = [
        Line2D([], [], color=styles[v].colour, linestyle=styles[v].line, label=label_of(v))
        for v in levels
    ]
    marks = [
        Line2D([], [], color="black", marker="x", linestyle="", label="first bad step"),
        Line2D([], [], color="black", marker="^", linestyle="", label="beyond the axis"),
    ]
    handles = lines + marks
    legend_below(figure, handles, [str(h.get_label()) for h in handles], columns=5)
    return figure


def _draw_level(axis: Axes, rows: pd.DataFrame, style: Style, top: float) -> None:
    # a log axis has no place for zero, infinity or NaN
    drawn = rows[np.isfinite(rows["norm"]) & (rows["norm"] > 0)]
    over_trials = drawn.groupby("samples")["norm"].agg(["min", "median", "max"])
    shade_between(axis, over_trials, style)
    axis.plot(
        over_trials.index,
        over_trials["median"],
        color=style.colour,
        linestyle=style.line,
        linewidth=1.2,
    )
    lost = rows[~(rows["norm"] <= top)].drop_duplicates("trial")
    axis.plot(lost["samples"], np.full(len(lost), top), "^", color=style.colour, markersize=4)
    onset = rows[rows["step"] >= rows["first_bad_step"].astype(float)].drop_duplicates("trial")
    norms = onset["norm"].where(onset["norm"] <= top, top)
    axis.plot(onset["samples"], norms, "x", color=style.colour, markersize=5)
