"""A search against the grid."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.curves import plain_log
from benchmark.figures.layout import canvas, legend_below, name_rows, row_inches
from benchmark.figures.style import label_of, styles_of

FIRST, MARGIN = 12, 1.03
"""Trials after which a search's best loss is shown whole, and the room about the losses."""


def search_progress(progress: pd.DataFrame, grid_best: pd.DataFrame) -> Figure:
    """Smallest validation loss so far against the number of trials, a line for each sampler.

    ``progress`` has ``model``, ``arm``, ``number`` and the ``estimate`` over searches, with a band
    from ``low`` to ``high`` where there are several. ``grid_best`` has the columns ``model``,
    ``objective`` and ``trials``: the best cell of the grid, a dashed line.
    """
    models, arms = progress["model"].unique(), list(progress["arm"].unique())
    styles = styles_of([*arms, "grid"])
    figure, axes = canvas(1, len(models), 2.8, sharey=True)
    for axis, model in zip(axes[0], models, strict=True):
        for place, arm in enumerate(arms):
            rows = progress[(progress["model"] == model) & (progress["arm"] == arm)]
            colour, steps = styles[arm].colour, rows["number"]
            axis.plot(
                steps,
                rows["estimate"],
                color=colour,
                marker=styles[arm].marker,
                # markers of lines that run close together stand apart
                markevery=(5 + 3 * place, 15),
                markersize=4.5,
                label=label_of(arm),
            )
            axis.fill_between(
                steps, rows["low"], rows["high"], color=colour, alpha=0.13, linewidth=0
            )
        best = grid_best[grid_best["model"] == model]
        if len(best):
            loss, count = float(best["objective"].iloc[0]), int(best["trials"].iloc[0])
            label = f"best of the grid ({count:,} trials)"
            axis.axhline(loss, color=styles["grid"].colour, linestyle="--", label=label)
        axis.set(title=label_of(model), xlabel="trials of the search")
        plain_log(axis)
    # the first few trials are draws that tell nothing: lines come in from above the axis
    shown = progress[(progress["number"] >= FIRST) & np.isfinite(progress["estimate"])]
    losses = [
        *shown["estimate"],
        *grid_best.loc[grid_best["model"].isin(models), "objective"],
    ]
    if losses:
        axes[0][0].set_ylim(min(losses) / MARGIN, max(losses) * MARGIN)
        plain_log(axes[0][0])
    axes[0][0].set_ylabel("best validation loss so far (nats)")
    legend_below(figure, *axes[0][0].get_legend_handles_labels(), columns=3)
    return figure


def winners_against_grid(searches: pd.DataFrame, samplers: pd.DataFrame) -> Figure:
    """Test accuracy of the searches' winners on fresh seeds, less that of the grid's best cell.

    ``searches`` has a row for each search (``model``, ``arm``, ``estimate``), drawn as a tick;
    ``samplers`` the mean over them for each ``model`` and ``arm``, with ``low`` and ``high``. The
    vertical line is the grid's best cell.
    """
    models, arms = list(samplers["model"].unique()), list(samplers["arm"].unique())
    styles, names = styles_of(arms), list(map(label_of, arms))
    height = 0.6 + row_inches(names, 0.4) * len(arms)
    figure, axes = canvas(1, len(models), height, abreast=1, sharey=True)
    for axis, model in zip(axes[0], models, strict=True):
        axis.axvline(0, color="0.5", linewidth=0.8, zorder=0)
        for y, arm in enumerate(arms):
            each = searches[(searches["model"] == model) & (searches["arm"] == arm)]
            found = samplers[(samplers["model"] == model) & (samplers["arm"] == arm)]
            if found.empty:
                continue
            style, place = styles[arm], np.full(len(each), y + 0.24)
            axis.plot(100 * each["estimate"], place, "|", color=style.colour, markersize=7)
            estimate, low, high = (
                100 * float(found[c].iloc[0]) for c in ("estimate", "low", "high")
            )
            axis.errorbar(
                estimate,
                y,
                xerr=np.clip([[estimate - low], [high - estimate]], 0, None),
                fmt=style.marker,
                color=style.colour,
                capsize=3,
                markersize=5,
            )
        axis.set(
            title=label_of(model),
            xlabel="difference in accuracy (points)",
            ylim=(len(arms) - 0.5, -0.5),
        )
        name_rows(axis, names)
        axis.grid(visible=False, axis="y")
    return figure
