"""Strategies at multiples of a learning rate: what they cost, and how their trials end."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmark.figures.curves import legend_of
from benchmark.figures.effects import LINEAR, TICKS
from benchmark.figures.layout import canvas, legend_below, name_rows, row_inches
from benchmark.figures.style import (
    BASELINE,
    BLACK,
    SPARE,
    STATUS_COLOURS,
    in_order,
    label_of,
    tick_text,
)

APART = 0.24
"""Of the distance between rows, by which the multiples of one row are set apart."""
ROW, HEAD = 0.21, 0.42
"""Inches a row, and those of the title and the axis of a network."""
ENDS = {
    "diverged": ("dead", "diverged"),
    "stuck": ("stalled", "neither spiked nor learned"),
    "healed": ("recovered", "spiked, then learned"),
}
"""Shares that are stacked, each with the status whose colour it has, and in words."""


def _networks(
    rows: pd.DataFrame, columns: int, abreast: int
) -> tuple[Figure, dict[str, tuple[list[str], list]]]:
    """A figure with a line of ``columns`` axes a network: its levels in order, and its axes."""
    found = {str(n): in_order(part["level"]) for n, part in rows.groupby("network", sort=False)}
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


def effects_by_network(effects: pd.DataFrame, label: str) -> Figure:
    """Effects at several multiples of a rate: a row a level, a facet a network and data set.

    ``effects`` has the columns ``network``, ``panel`` (the facets beside each other), ``level``,
    ``times``, ``effect``, ``low`` and ``high``, shown in percentage points on one axis for all,
    linear up to a point and logarithmic beyond; ``label`` says what it is. Multiples are told
    apart by colour and shape.
    """
    panels, times = list(effects["panel"].unique()), sorted(effects["times"].unique())
    # the rate itself in grey, beside which the others have the same colours wherever they stand
    styles = dict(zip(times, (BASELINE, *SPARE) if 1 in times else SPARE, strict=False))
    figure, found = _networks(effects, len(panels), abreast=1)
    for network, (levels, axes) in found.items():
        for axis, panel in zip(axes, panels, strict=True):
            # before anything is drawn, so that the margins are of this scale
            axis.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
            here = effects[effects["network"].eq(network) & effects["panel"].eq(panel)]
            for place, (multiple, style) in enumerate(styles.items()):
                rows = here[here["times"] == multiple]
                effect, low, high = (
                    100 * rows[c].to_numpy(float) for c in ("effect", "low", "high")
                )
                shift = APART * (place - (len(styles) - 1) / 2)
                axis.errorbar(
                    effect,
                    [levels.index(level) + shift for level in rows["level"]],
                    # an effect of a single seed has no interval
                    xerr=np.clip(np.nan_to_num([effect - low, high - effect]), 0, None),
                    fmt=style.marker,
                    color=style.colour,
                    markersize=4,
                    capsize=0,
                    linewidth=1.2,
                    label=f"{multiple} × the rate",
                )
            axis.axvline(0, color=BLACK, linewidth=0.9)
            axis.grid(visible=False, axis="y")
            axis.set_title(f"{network}: {label_of(panel)}", fontsize=9.5)
            _label_rows(axis, levels, named=axis.get_subplotspec().is_first_col())
    axis = found[network][1][0]
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low <= tick <= high]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    for axis in found[network][1]:
        axis.set_xlabel(label, fontsize=9)
    legend_of(figure, [axes[0] for _, axes in found.values()], "")
    return figure


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
