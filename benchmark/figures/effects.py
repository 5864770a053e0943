"""Many effects at once: a row each, coloured by what was changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.curves import legend_of
from benchmark.figures.layout import BESIDE, canvas, name_rows, panel_title, row_inches
from benchmark.figures.limits import mark_off_scale, reach_of
from benchmark.figures.style import BLACK, label_of, styles_of

MARGIN = 0.08
"""Of an axis, beside its arrows."""
APART = 0.3
"""Of the distance between rows, by which the series of one row are set apart."""


def effect_rows(effects: pd.DataFrame, series: str, label: str, *, arrows: bool = False) -> Figure:
    """Effects with 95% intervals, a row for each ``row``, a facet for each ``panel``.

    ``effects`` has the columns ``panel``, ``row``, ``series`` (its colour, named by a legend; those
    of one row stand side by side), ``effect``, ``low`` and ``high``, shown in percentage points.
    With ``arrows`` effects far from all others are arrows at the edge, with their numbers, so that
    small ones are told apart.
    """
    panels, rows = list(effects["panel"].unique()), list(effects["row"].unique())
    levels = list(effects[series].unique())
    styles = styles_of(levels)
    shared = effects.groupby(["panel", "row"])[series].nunique().max() > 1
    names = list(map(label_of, rows))
    height = 0.7 + row_inches(names, 0.36 if shared else 0.24) * len(rows)
    figure, axes = canvas(1, len(panels), height, abreast=1, sharey=True)
    reach = reach_of(100 * effects["effect"]) if arrows else np.inf
    for axis, panel in zip(axes[0], panels, strict=True):
        here = effects[effects["panel"] == panel]
        for place, level in enumerate(levels):
            points = here[here[series] == level]
            shift = APART * (place - (len(levels) - 1) / 2) if shared else 0.0
            effect, low, high = (
                100 * points[column].to_numpy(float) for column in ("effect", "low", "high")
            )
            # an effect of a single seed has no interval
            ends = [effect - low, high - effect]
            places = np.array([rows.index(row) + shift for row in points["row"]])
            far = np.abs(effect) > reach
            for value, place in zip(effect[far], places[far], strict=True):
                edge = float(np.copysign(reach, value))
                colour = styles[level].colour
                mark_off_scale(axis, value, place, edge, right=value > 0, colour=colour)
            axis.errorbar(
                np.where(far, np.nan, effect),
                places,
                xerr=np.clip(np.nan_to_num(ends), 0, None),
                fmt=styles[level].marker,
                color=styles[level].colour,
                fillstyle="full" if styles[level].line == "-" else "none",
                markersize=5,
                capsize=2.5,
                linewidth=1.4,
                label=label_of(level),
            )
        axis.axvline(0, color=BLACK, linewidth=0.9)
        axis.set(
            title=panel_title(label_of(panel), len(panels), BESIDE), ylim=(len(rows) - 0.5, -0.5)
        )
        if arrows:
            low, high = axis.get_xlim()
            room = MARGIN * (min(high, reach) - max(low, -reach))
            axis.set_xlim(max(low, -reach - room), min(high, reach + room))
        # numbers of narrow panels would run into each other
        axis.locator_params(axis="x", nbins=6 if len(panels) < 3 else 4, steps=[1, 2, 5, 10])
        axis.grid(visible=False, axis="y")
        name_rows(axis, names)
        axis.tick_params(axis="y", labelsize=8.5)
        axis.set_xlabel(label if len(panels) == 1 else "percentage points")
    legend_of(figure, list(axes[0]), label_of(series))
    return figure
