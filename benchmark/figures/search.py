"""A search against the grid."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.curves import plain_log
from benchmark.figures.layout import canvas, legend_below, name_rows, row_inches
from benchmark.figures.style import label_of, styles_of

FIRST, MARGIN = 5, 1.03
"""Trials after which a search's best loss is shown whole, and the room about the losses."""


def search_progress(
    progress: pd.DataFrame, expected: pd.DataFrame, grid_best: pd.DataFrame
) -> Figure:
    """Smallest validation loss so far against the number of trials, a line for each sampler.

    ``progress`` comes from `benchmark.statistics.best_so_far`, the one path that was run;
    ``expected`` from `benchmark.statistics.expected_best_curve`, by ``model`` and ``arm``: a line
    with a band for the mean over all orders. ``grid_best`` has the columns ``model``,
    ``objective`` and ``trials``: the best cell of the grid, a dashed line.
    """
    models = list(dict.fromkeys([*progress["model"], *expected["model"]]))
    arms = list(progress["arm"].unique())
    means = list(expected["arm"].unique())
    styles = styles_of(list(dict.fromkeys([*arms, *means, "grid"])))
    figure, axes = canvas(1, len(models), 2.8, sharey=True)
    for axis, model in zip(axes[0], models, strict=True):
        for arm in arms:
            rows = progress[(progress["model"] == model) & (progress["arm"] == arm)]
            axis.step(
                rows["number"],
                rows["best"],
                where="post",
                color=styles[arm].colour,
                marker=styles[arm].marker,
                markevery=(5, 10),
                markersize=4.5,
                label=label_of(arm),
            )
        for arm in means:
            rows = expected[(expected["model"] == model) & (expected["arm"] == arm)]
            colour = styles[arm].colour
            axis.plot(
                rows["number"], rows["estimate"], color=colour, label=f"{label_of(arm)}, mean"
            )
            axis.fill_between(
                rows["number"], rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0
            )
        best = grid_best[grid_best["model"] == model]
        if len(best):
            loss, count = float(best["objective"].iloc[0]), int(best["trials"].iloc[0])
            label = f"best of the grid ({count:,} trials)"
            axis.axhline(loss, color=styles["grid"].colour, linestyle="--", label=label)
        axis.set(title=label_of(model), xlabel="trials of the search")
        plain_log(axis)
    # the first few trials are draws that tell nothing: lines come in from above the axis
    begun = progress[(progress["number"] >= FIRST) & np.isfinite(progress["best"])]["best"]
    drawn = expected.loc[expected["number"] >= FIRST, "estimate"]
    losses = [*begun, *drawn, *grid_best.loc[grid_best["model"].isin(models), "objective"]]
    if losses:
        axes[0][0].set_ylim(min(losses) / MARGIN, max(losses) * MARGIN)
        plain_log(axes[0][0])
    axes[0][0].set_ylabel("best validation loss so far (nats)")
    legend_below(figure, *axes[0][0].get_legend_handles_labels(), columns=3)
    return figure


def confirmed_accuracy(confirmed: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Test accuracy on fresh seeds of each search's winner and of the grid's best cell.

    ``confirmed`` has a row for each trial (``model``, ``source``, ``accuracy``); ``summary`` an
    interval for each (``model``, ``source``, ``estimate``, ``low``, ``high``).
    """
    models = list(summary["model"].unique())
    sources = list(summary["source"].unique())
    styles = styles_of(sources)
    names = list(map(label_of, sources))
    height = 0.5 + row_inches(names, 0.4) * len(sources)
    figure, axes = canvas(1, len(models), height, abreast=1, sharey=True)
    for axis, model in zip(axes[0], models, strict=True):
        for y, source in enumerate(sources):
            runs = confirmed[(confirmed["model"] == model) & (confirmed["source"] == source)]
            found = summary[(summary["model"] == model) & (summary["source"] == source)]
            if found.empty:
                continue
            estimate, low, high = (
                100 * float(found[c].iloc[0]) for c in ("estimate", "low", "high")
            )
            style, place = styles[source], np.full(len(runs), y + 0.24)
            axis.plot(100 * runs["accuracy"], place, "|", color=style.colour, markersize=7)
            axis.errorbar(
                estimate,
                y,
                xerr=np.clip([[estimate - low], [high - estimate]], 0, None),
                fmt=style.marker,
                color=style.colour,
                capsize=3,
                markersize=5,
            )
        axis.set(title=label_of(model), xlabel="test accuracy (%)", ylim=(len(sources) - 0.5, -0.5))
        name_rows(axis, names)
        axis.grid(visible=False, axis="y")
    return figure
