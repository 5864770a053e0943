"""What guards cost where nothing happens, beside what they gain where something does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.figures.curves import legend_of
from benchmark.figures.layout import by_width, canvas, name_rows, row_inches
from benchmark.figures.limits import mark_off_scale, reach_of
from benchmark.figures.style import BASELINE, BLACK, SPARE, Style, label_of

PRICE, GAIN = "nothing happens", "after a disturbance"
"""Titles of the two columns."""
APART = 0.25
"""Of the distance between rows, by which disturbances stand apart."""
ROW, HEAD = 0.25, 0.45
"""Inches a row, and those of the title and the axis of a network."""
EDGE, MARGIN = 0.12, 0.06
"""Of an axis, by which arrows lie beyond what is on scale, and the room beside all that."""


def prices_and_gains(effects: pd.DataFrame) -> Figure:
    """Differences in accuracy from no guard, with 95% intervals: a row a guard, a line a network.

    ``effects`` has the columns ``network``, ``level`` (the guard), ``panel`` (the disturbance, in
    words), ``disturbed``, ``effect``, ``low``, ``high`` and ``missed``, the disturbances that a
    guard did not meet, in words, which its row says. The left column has what each guard
    does where nothing is ``disturbed``, the right one what it does after each disturbance. Rows
    stand in the order in which each network's come. An effect far from all others is an arrow at
    the edge, with its number.
    """
    networks = list(effects["network"].unique())
    orders = [list(effects.loc[effects["network"] == n, "level"].unique()) for n in networks]
    inches = row_inches(list(map(label_of, effects["level"].unique())), ROW)
    heights = [HEAD + inches * len(order) for order in orders]
    figure, axes = canvas(
        len(networks), 2, sum(heights) / len(heights), sharex="col", height_ratios=heights
    )
    names = effects.loc[effects["disturbed"], "panel"].unique()
    styles = dict(zip(names, SPARE, strict=False))
    for column, disturbed in enumerate((False, True)):
        shown = effects[effects["disturbed"] == disturbed]
        ends = 100 * shown[["effect", "low", "high"]].to_numpy(float)
        reach = reach_of(ends[:, 0])
        limits = max(np.nanmin(ends), -reach), min(np.nanmax(ends), reach)
        for axis, network, order in zip(axes[:, column], networks, orders, strict=True):
            here = shown[shown["network"] == network]
            for place, (panel, rows) in enumerate(here.groupby("panel", sort=False)):
                series = list(styles).index(panel) if disturbed else place
                shift = APART * (series - (len(styles) - 1) / 2) if disturbed else 0.0
                places = [order.index(level) + shift for level in rows["level"]]
                style = styles[panel] if disturbed else BASELINE
                _draw(axis, rows, places, style, str(panel), limits)
            missed = here.drop_duplicates("level").set_index("level")["missed"] if disturbed else {}
            for level, which in dict(missed).items():
                if which:
                    _say_missed(axis, order.index(level), which)
            axis.axvline(0, color=BLACK, linewidth=0.9)
            axis.set_ylim(len(order) - 0.5, -0.5)
            axis.grid(visible=False, axis="y")
            axis.locator_params(axis="x", nbins=6)
            name_rows(axis, ["" if column else label_of(level) for level in order])
            axis.tick_params(axis="y", labelsize=8.5)
        axes[0][column].set_title(GAIN if disturbed else PRICE)
        axes[-1][column].set_xlabel("points above no guard")
        (low, high), effect = limits, ends[:, 0]
        beyond = EDGE * (high - low)
        sides = bool((effect < low).any()), bool((effect > high).any())
        low, high = low - beyond * sides[0], high + beyond * sides[1]
        room = MARGIN * (high - low) or 1.0
        axes[0][column].set_xlim(low - room, high + room)
    for axis, network in zip(axes[:, 0], networks, strict=True):
        axis.set_ylabel(str(network).replace(", ", ",\n"), fontsize=8.5, fontweight="bold")
    legend_of(figure, list(axes[:, 1]), "")
    return figure


def _say_missed(axis: Axes, place: int, which: str) -> None:
    axis.annotate(
        by_width(f"not run: {which}".replace(", ", ",\n"), "partly run"),
        (0, place),
        xycoords=axis.get_yaxis_transform(),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=by_width(6.5, 8.0),
        color=BASELINE.colour,
    )


def _draw(
    axis: Axes,
    rows: pd.DataFrame,
    places: list[float],
    style: Style,
    label: str,
    limits: tuple[float, float],
) -> None:
    """One disturbance's effects on one network, on scale or as arrows beyond the ``limits``."""
    least, most = limits
    effect, low, high = (100 * rows[c].to_numpy(float) for c in ("effect", "low", "high"))
    within = (effect >= least) & (effect <= most)
    axis.errorbar(
        np.where(within, effect, np.nan),
        places,
        # a single seed has no interval
        xerr=np.clip(np.nan_to_num([effect - low, high - effect]), 0, None),
        fmt=style.marker,
        color=style.colour,
        markersize=4.5,
        capsize=2,
        linewidth=1.3,
        label=label,
    )
    reach = EDGE * (most - least)
    for value, place in zip(effect[~within], np.array(places)[~within], strict=True):
        edge = least - reach if value < least else most + reach
        mark_off_scale(axis, value, place, edge, right=value > most, colour=style.colour)
