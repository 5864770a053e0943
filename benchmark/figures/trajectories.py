"""Gradient norms over the course of training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.figures.style import canvas, palette, words


def gradient_norm_trajectories(
    history: pd.DataFrame, trials: pd.DataFrame, factor: str = "clipping"
) -> Figure:
    """Gradient norm over examples seen: rows are models, columns learning rates.

    A line for each trial in ``trials``, coloured by ``factor``: solid the median over the steps
    since the last checkpoint, faint the maximum. A cross marks the checkpoint by which the first
    bad step fell; a triangle at the upper edge a norm that was infinite or not a number.
    """
    models, rates = list(trials["model"].unique()), sorted(trials["learning_rate"].unique())
    levels = list(trials[factor].unique())
    colours = palette(levels)
    columns = ["trial", "model", "learning_rate", "first_bad_step", factor]
    # the study's own learning rate, not that of the schedule at the checkpoint
    rows = history.drop(columns="learning_rate").merge(trials[columns], on="trial")
    rows = rows[rows["step"] > 0]
    norms = rows["gradient_norm_max"].to_numpy(dtype=float)
    finite = norms[np.isfinite(norms) & (norms > 0)]
    top = float(finite.max()) * 5 if len(finite) else 1.0
    figure, axes = canvas(len(models), len(rates), 2.0, sharex=True, sharey="row")
    for axis_row, model in zip(axes, models, strict=True):
        for axis, rate in zip(axis_row, rates, strict=True):
            here = rows[(rows["model"] == model) & (rows["learning_rate"] == rate)]
            for _, run in here.groupby("trial", sort=False):
                _draw_run(axis, run, colours[run[factor].iloc[0]], top)
            axis.set(yscale="log")
            axis.tick_params(labelsize=8)
            axis.grid(visible=False, axis="x")
        axis_row[0].set_ylabel(f"{words(model)}: gradient norm")
    for axis, rate in zip(axes[0], rates, strict=True):
        axis.set_title(f"rate {rate:g}", fontsize=10)
    axes[-1][len(rates) // 2].set_xlabel("training examples seen")
    lines = [Line2D([], [], color=colours[v], label=words(v)) for v in levels]
    marks = [
        Line2D([], [], color="black", marker="x", linestyle="", label="first bad step"),
        Line2D([], [], color="black", marker="^", linestyle="", label="not finite"),
    ]
    columns_shown = min(len(lines + marks), 4)
    figure.legend(
        handles=lines + marks, loc="outside lower center", ncols=columns_shown, frameon=False
    )
    return figure


def _draw_run(axis: Axes, run: pd.DataFrame, colour: str, top: float) -> None:
    samples = run["samples"].to_numpy(dtype=float)
    median = run["gradient_norm_median"].to_numpy(dtype=float)
    largest = run["gradient_norm_max"].to_numpy(dtype=float)
    # a log axis has no place for zero, infinity or NaN
    drawn = np.where(np.isfinite(median) & (median > 0), median, np.nan)
    peaks = np.where(np.isfinite(largest) & (largest > 0), largest, np.nan)
    axis.plot(samples, peaks, color=colour, alpha=0.35, linewidth=0.8)
    axis.plot(samples, drawn, color=colour, alpha=0.9, linewidth=1.1)
    lost = ~np.isfinite(largest) | ~np.isfinite(median)
    axis.plot(samples[lost], np.full(lost.sum(), top), "^", color=colour, markersize=4)
    onset = run["first_bad_step"].iloc[0]
    after = run["step"].to_numpy() >= onset if pd.notna(onset) else np.zeros(len(run), dtype=bool)
    if after.any():
        first = int(after.argmax())
        height = peaks[first] if np.isfinite(peaks[first]) else top
        axis.plot(samples[first], height, "x", color=colour, markersize=5)
