"""Phase diagrams of how trials end, and what gradients do before they explode."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from benchmark.figures.curves import facet_axes, leftmost, lowest
from benchmark.figures.layout import canvas, legend_below, rate_places
from benchmark.figures.limits import limits_of_norms
from benchmark.figures.style import BLACK, GREY, STATUS_COLOURS, in_order, label_of, rate_text
from benchmark.statistics import status_shares

SIZE = 0.94
"""Of a cell, in units of the distance between cells."""
THIN = {"nonfinite": GREY}
"""Colours of the thin lines, where the black median would not be seen over the status's own."""


def phase_diagram(trials: pd.DataFrame, y: str, rows: str, columns: str) -> Figure:
    """Learning rate by ``y``; each cell is divided into the shares of its trials' statuses.

    Facets: a row for each level of the column ``rows``, a column for each of ``columns``. Where one
    of the two has a single level, the facets of the other stand side by side.
    """
    levels = {c: in_order(sorted(trials[c].unique())) for c in (y, "learning_rate", rows)}
    levels[columns] = list(trials[columns].unique())
    shares = status_shares(trials, [rows, columns, y, "learning_rate"])
    # a level that all facets share would only lengthen their titles
    named = [c for c in (rows, columns) if len(levels[c]) > 1] or [rows]
    facets = [(row, column) for row in levels[rows] for column in levels[columns]]
    count, height = len(facets), 0.45 + 0.3 * len(levels[y])
    if len(named) > 1:
        figure, grid = canvas(
            len(levels[rows]),
            len(levels[columns]),
            height,
            abreast=3,
            sharex=True,
            sharey=True,
        )
        axes = list(grid.flat)
    else:
        figure, axes = facet_axes(count, height)
    for axis, facet in zip(axes, facets, strict=True):
        level = dict(zip((rows, columns), facet, strict=True))
        part = shares[(shares[rows] == level[rows]) & (shares[columns] == level[columns])]
        _draw_cells(axis, part, y, levels)
        words = [
            label_of(level[c]) if len(named) == 1 else f"{label_of(c)} {label_of(level[c])}"
            for c in named
        ]
        axis.set_title(", ".join(words), fontsize=9.5)
    for axis in leftmost(axes):
        axis.set_ylabel("gain" if y == "init_gain" else label_of(y))
    for axis in lowest(axes):
        axis.set_xlabel("learning rate")
    handles = [Patch(color=colour) for colour in STATUS_COLOURS.values()]
    legend_below(figure, handles, list(STATUS_COLOURS), columns=4)
    return figure


def _draw_cells(axis: Axes, part: pd.DataFrame, y: str, levels: dict[str, list]) -> None:
    rates, heights = levels["learning_rate"], levels[y]
    for (height, rate), cell in part.groupby([y, "learning_rate"]):
        left = rates.index(rate) - SIZE / 2
        share = cell.set_index("status")["share"]
        for status, colour in STATUS_COLOURS.items():
            width = SIZE * share[status]
            if width:
                corner = (left, heights.index(height) - SIZE / 2)
                axis.add_patch(Rectangle(corner, width, SIZE, color=colour, linewidth=0))
            left += width
    axis.set(xlim=(-0.55, len(rates) - 0.45), ylim=(-0.55, len(heights) - 0.45))
    axis.grid(visible=False)
    places = rate_places(rates)
    axis.set_xticks(places, labels=[rate_text(rates[i]) for i in places])
    axis.set_yticks(range(len(heights)), labels=[f"{height:g}" for height in heights])
    axis.minorticks_off()


def norms_at_onset(aligned: pd.DataFrame, window: int) -> Figure:
    """Gradient norms in the checkpoints about the first bad step, a facet a ``status``.

    ``aligned`` comes from `benchmark.statistics.onset.aligned_at_onset`, with the column
    ``status``. Thin lines are trials, the thick one their median; a triangle at the upper edge
    counts the trials whose norm lay beyond the axis or was not finite.
    """
    found = set(aligned["status"])
    levels = [status for status in STATUS_COLOURS if status in found]
    rows = aligned[aligned["offset"].between(-window, window)]
    bottom, top = limits_of_norms(rows["norm"])
    figure, axes = facet_axes(len(levels), 2.6)
    for axis, level in zip(axes, levels, strict=True):
        here = rows[rows["status"] == level]
        drawn = here[np.isfinite(here["norm"]) & (here["norm"] > 0)]
        for _, trial in drawn.groupby("trial"):
            axis.plot(
                trial["offset"],
                trial["norm"],
                color=THIN.get(level, STATUS_COLOURS[level]),
                linewidth=0.6,
                alpha=0.5,
            )
        median = here.groupby("offset")["norm"].median()
        median = median[np.isfinite(median)]
        axis.plot(median.index, median, color=BLACK, linewidth=2)
        _mark_lost(axis, here, top)
        axis.axvline(0, color=BLACK, linestyle=":", linewidth=1)
        axis.set(yscale="log", xlim=(-window - 0.4, window + 0.4))
        # room for the counts above their triangles
        axis.set_ylim(bottom / 3, 10 * top)
        axis.set_title(f"{level} ({here['trial'].nunique():,} trials)")
        axis.title.set_fontsize(10)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axis in lowest(axes):
        axis.set_xlabel("checkpoints from the first bad step", fontsize=9)
    for axis in leftmost(axes):
        axis.set_ylabel("largest gradient norm")
    return figure


def _mark_lost(axis: Axes, rows: pd.DataFrame, top: float) -> None:
    lost = rows[~(rows["norm"] <= top)].groupby("offset").size()
    axis.plot(lost.index, np.full(len(lost), top), "^", color=BLACK, markersize=5)
    for offset, count in zip(lost.index.to_numpy(float), lost, strict=True):
        axis.annotate(
            f"{count:,}",
            (offset, top),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
