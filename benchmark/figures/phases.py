"""Phase diagrams of how trials end, and what norms do before they explode."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from benchmark.figures.curves import facet_axes, leftmost, legend_of, lowest, plain_log
from benchmark.figures.layout import canvas, legend_below, rate_places
from benchmark.figures.phrases import phrase
from benchmark.figures.statuses import occurring
from benchmark.figures.style import (
    BLACK,
    BLUE,
    STATUS_COLOURS,
    VERMILION,
    in_order,
    label_of,
    rate_text,
)
from benchmark.statistics import status_shares

SIZE = 0.94
"""Of a cell, in units of the distance between cells."""
KINDS = {
    "explosion": ("before an explosion", VERMILION, "-"),
    "control": ("stable trials, same steps", BLUE, "--"),
}
"""Label, colour and line of each kind of window."""


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
        if len(named) == 1:
            axis.set_title(label_of(level[named[0]]), fontsize=9.5)
        elif facet[0] == levels[rows][0]:
            axis.set_title(label_of(phrase(columns, level[columns])), fontsize=9.5)
    said = "gain" if y == "init_gain" else label_of(y)
    for axis in leftmost(axes):
        axis.set_ylabel(said)
    if len(named) > 1:
        # beside a row of panels stands what it has in common, and over a column what that has
        for axis, level in zip(grid[:, 0], levels[rows], strict=True):
            axis.set_ylabel(f"{label_of(rows)} {label_of(level)}\n{said}")
    for axis in lowest(axes):
        axis.set_xlabel("learning rate")
    seen = occurring(shares)
    handles = [Patch(color=STATUS_COLOURS[status]) for status in seen]
    legend_below(figure, handles, seen, columns=4)
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


def norms_before_explosion(curves: pd.DataFrame, facet: str) -> Figure:
    """Gradient norms in the steps before an explosion, against windows of stable trials.

    ``curves`` comes from `benchmark.statistics.onset.norms_before_onset` with the column ``facet``:
    medians as lines, quartiles as bands; dotted is the median norm of the steps before.
    """
    levels = list(curves[facet].drop_duplicates())
    figure, axes = facet_axes(len(levels), 2.6)
    for axis, level in zip(axes, levels, strict=True):
        for kind, (label, colour, line) in KINDS.items():
            here = curves[(curves[facet] == level) & (curves["kind"] == kind)]
            here = here.sort_values("before", ascending=False)
            places = -here["before"]
            axis.fill_between(places, here["low"], here["high"], color=colour, alpha=0.2, lw=0)
            axis.plot(places, here["median"], line, color=colour, linewidth=2, label=label)
        seen = curves[(curves[facet] == level) & (curves["kind"] == "explosion")]["windows"]
        axis.axhline(1, color=BLACK, linestyle=":", linewidth=1)
        plain_log(axis)
        axis.set_title(f"{label_of(level)} ({seen.max():,} explosions)", fontsize=10)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axis in lowest(axes):
        axis.set_xlabel("steps from the first bad one", fontsize=9)
    for axis in leftmost(axes):
        axis.set_ylabel("gradient norm over\nits median before")
    legend_of(figure, axes, "")
    return figure
