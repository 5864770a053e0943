"""Strategies at multiples of a learning rate: what they cost, and how their trials end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from benchmark.figures.curves import legend_of
from benchmark.figures.layout import by_width, canvas, legend_below, name_rows, row_inches
from benchmark.figures.limits import reach_of, signed_number
from benchmark.figures.style import (
    BLACK,
    SPARE,
    STATUS_COLOURS,
    Style,
    in_order,
    label_of,
)

APART = 0.24
"""Of the distance between rows, by which the multiples of one row are set apart."""
ROW, HEAD = 0.21, 0.42
"""Inches a row, and those of the title and the axis of a network."""
NEAR = 15.0
"""Points below a reference up to which accuracies are on the axis, at least."""
EDGE, NARROW_EDGE, NUMBER = 0.35, 0.7, 22
"""Of the axis, in which arrows stand left of it, in a narrow column too; and points that an arrow
with its number takes."""
MARK = 4.5
"""Points of a median's mark."""
ENDS = {
    "diverged": ("dead", "diverged"),
    "stuck": ("stalled", "neither spiked nor learned"),
    "healed": ("recovered", "spiked, then learned"),
}
"""Shares that are stacked, each with the status whose colour it has, and in words."""


def _networks(
    rows: pd.DataFrame,
    columns: int,
    abreast: int,
    order: Callable[[pd.Series], list[str]] = in_order,
) -> tuple[Figure, dict[str, tuple[list[str], list]]]:
    """A figure with a line of ``columns`` axes a network: its levels in order, and its axes."""
    found = {str(n): order(part["level"]) for n, part in rows.groupby("network", sort=False)}
    inches = row_inches(list(map(label_of, rows["level"].unique())), ROW)
    heights = [HEAD + inches * len(levels) for levels in found.values()]
    figure, grid = canvas(
        *(len(found), columns, sum(heights) / len(found)),
        abreast=abreast,
        sharex=True,
        height_ratios=heights,
    )
    return figure, {n: (found[n], list(axes)) for n, axes in zip(found, grid, strict=True)}


def _label_rows(axis: Axes, levels: list[str], *, named: bool) -> None:
    axis.set_ylim(len(levels) - 0.5, -0.5)
    name_rows(axis, [label_of(level) if named else "" for level in levels])
    axis.tick_params(axis="y", labelsize=8.5)
    axis.tick_params(axis="x", labelsize=8.5)


def accuracies_by_network(trials: pd.DataFrame) -> Figure:
    """Test accuracy of every trial less a reference: a row a level, a facet a network and data set.

    ``trials`` has the columns ``network``, ``panel`` (the facets beside each other), ``level``,
    ``series``, ``accuracy`` and ``best`` (that of the reference, one a facet). Levels and series
    stand in the order of the trials; of a categorical ``series`` each category keeps its look,
    whichever of them occur. Dots are trials, the larger marks their medians: where some
    train and others die, a mean lies where none of them is. A median far below the reference is an
    arrow at the edge with its number: those that are within a point would else be one mark.
    """
    panels, series = list(trials["panel"].unique()), list(trials["series"].unique())
    kind = trials["series"].dtype
    known = list(kind.categories if isinstance(kind, pd.CategoricalDtype) else series)
    styles = dict(zip(known, SPARE, strict=False))
    series.sort(key=known.index)
    figure, found = _networks(trials, len(panels), abreast=2, order=lambda rows: [*rows.unique()])
    trials = trials.assign(points=100 * (trials["accuracy"] - trials["best"]))
    floor = -reach_of(trials["points"], NEAR)
    for network, (levels, axes) in found.items():
        for axis, panel in zip(axes, panels, strict=True):
            here = trials[trials["network"].eq(network) & trials["panel"].eq(panel)]
            written: Counter[object] = Counter()
            for place, name in enumerate(series):
                rows = here[here["series"] == name]
                shift = APART * (place - (len(series) - 1) / 2)
                places = np.array([levels.index(level) for level in rows["level"]])
                seen = (rows["points"] >= floor).to_numpy()
                look = {"linestyle": "none", "color": styles[name].colour}
                axis.plot(
                    rows["points"][seen],
                    places[seen] + shift,
                    **look,
                    marker=styles[name].marker,
                    markersize=2,
                    alpha=0.45,
                    markeredgewidth=0,
                )
                medians = rows.groupby("level", sort=False)["points"].median()
                rows_at = [levels.index(level) for level in medians.index]
                look = styles[name]
                _draw_medians(axis, medians, rows_at, shift, floor, look, str(name), written)
            axis.axvline(0, color=BLACK, linewidth=0.9)
            axis.grid(visible=False, axis="y")
            axis.set_title(label_of(panel) if network == next(iter(found)) else "", fontsize=9.5)
            _label_rows(axis, levels, named=axis.get_subplotspec().is_first_col())
        axes[0].set_ylabel(network.replace(", ", ",\n"), fontsize=8.5, fontweight="bold")
    top = max(float(trials["points"].max()), 0.0)
    for axis in found[network][1]:
        off = bool((trials["points"] < floor).any())
        axis.set_xlim((1 + off * by_width(EDGE, NARROW_EDGE)) * floor, top - 0.04 * floor)
        ticks = MaxNLocator(by_width(5, 3), integer=True).tick_values(floor, top)
        # none in the column of the arrows
        axis.set_xticks([tick for tick in ticks if floor <= tick <= top - 0.04 * floor])
        axis.set_xlabel("points of test accuracy", fontsize=9)
    legend_of(figure, [axes[0] for _, axes in found.values()], "")
    return figure


def _draw_medians(
    axis: Axes,
    medians: pd.Series,
    rows: Sequence[int],
    shift: float,
    floor: float,
    style: Style,
    label: str,
    written: Counter[object],
) -> None:
    """The medians of one series, as marks ``shift`` below their ``rows`` or left of the ``floor``.

    There each is an arrow with its number, in a column that no mark enters, beside those
    ``written`` for the same level before.
    """
    places = np.asarray(rows) + shift
    near = (medians >= floor).to_numpy()
    axis.plot(medians[near], places[near], style.marker, color=style.colour, ms=MARK, label=label)
    for level, median, row in zip(medians.index, medians, rows, strict=True):
        if median >= floor:
            continue
        axis.annotate(
            f"\N{BLACK LEFT-POINTING SMALL TRIANGLE}{signed_number(median)}",
            (0, row),
            xycoords=axis.get_yaxis_transform(),
            xytext=(2 + NUMBER * written[level], 0),
            textcoords="offset points",
            va="center",
            fontsize=by_width(7.5, 8.0),
            color=style.colour,
        )
        written[level] += 1


def outcomes_by_network(shares: pd.DataFrame) -> Figure:
    """How trials end at several multiples of a rate: a bar a level, a facet a network and multiple.

    ``shares`` has the columns ``network``, ``panel`` (the facets beside each other), ``level``,
    ``diverged``, ``stuck`` and ``healed``, shares of all trials that are stacked; the rest learned
    without a spike.
    """
    panels = list(shares["panel"].unique())
    figure, found = _networks(shares, len(panels), abreast=3)
    first = next(iter(found))
    for network, (levels, axes) in found.items():
        for axis, panel in zip(axes, panels, strict=True):
            here = shares[shares["network"].eq(network) & shares["panel"].eq(panel)]
            places = [levels.index(level) for level in here["level"]]
            start = np.zeros(len(here))
            for column, (status, _) in ENDS.items():
                share = 100 * here[column].to_numpy(float)
                axis.barh(places, share, left=start, height=0.72, color=STATUS_COLOURS[status])
                start += share
            axis.set_xlim(0, 100)
            axis.set_xticks([0, 50, 100])
            axis.grid(visible=False, axis="y")
            axis.set_title(label_of(panel) if network == first else "", fontsize=9.5)
            _label_rows(axis, levels, named=axis.get_subplotspec().is_first_col())
        axes[0].set_ylabel(network.replace(", ", ",\n"), fontsize=8.5, fontweight="bold")
    for axis in found[network][1]:
        axis.set_xlabel("trials (%)", fontsize=9)
    handles = [Patch(color=STATUS_COLOURS[status]) for status, _ in ENDS.values()]
    legend_below(figure, handles, [said for _, said in ENDS.values()])
    return figure
