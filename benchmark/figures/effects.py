"""Many effects at once: a row each, coloured by what was changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmark.figures.curves import legend_of
from benchmark.figures.layout import BESIDE, canvas, name_rows, panel_title, row_inches
from benchmark.figures.style import BLACK, label_of, styles_of, tick_text

LINEAR = 1.0
"""Points up to which the axis is linear; beyond it is logarithmic either way."""
TICKS = (-100, -10, -1, 0, 1, 10, 100)
APART = 0.3
"""Of the distance between rows, by which the series of one row are set apart."""


def effect_rows(effects: pd.DataFrame, series: str, label: str, *, symlog: bool = False) -> Figure:
    """Effects with 95% intervals, a row for each ``row``, a facet for each ``panel``.

    ``effects`` has the columns ``panel``, ``row``, ``series`` (its colour, named by a legend; those
    of one row stand side by side), ``effect``, ``low`` and ``high``, shown in percentage points.
    With ``symlog`` small effects are told apart beside large ones.
    """
    panels, rows = list(effects["panel"].unique()), list(effects["row"].unique())
    levels = list(effects[series].unique())
    styles = styles_of(levels)
    shared = effects.groupby(["panel", "row"])[series].nunique().max() > 1
    names = list(map(label_of, rows))
    height = 0.7 + row_inches(names, 0.36 if shared else 0.24) * len(rows)
    figure, axes = canvas(1, len(panels), height, abreast=1, sharey=True)
    for axis, panel in zip(axes[0], panels, strict=True):
        here = effects[effects["panel"] == panel]
        if symlog:
            # before anything is drawn, so that the margins are of this scale
            axis.set_xscale("symlog", linthresh=LINEAR, linscale=0.6)
        for place, level in enumerate(levels):
            points = here[here[series] == level]
            shift = APART * (place - (len(levels) - 1) / 2) if shared else 0.0
            effect, low, high = (
                100 * points[column].to_numpy(float) for column in ("effect", "low", "high")
            )
            # an effect of a single seed has no interval
            ends = [effect - low, high - effect]
            axis.errorbar(
                effect,
                [rows.index(row) + shift for row in points["row"]],
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
        if symlog:
            low, high = axis.get_xlim()
            ticks = [tick for tick in TICKS if low <= tick <= high]
            axis.xaxis.set_major_locator(FixedLocator(ticks))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
        else:
            axis.locator_params(axis="x", nbins=6)
        axis.grid(visible=False, axis="y")
        name_rows(axis, names)
        axis.tick_params(axis="y", labelsize=8.5)
        axis.set_xlabel(label if len(panels) == 1 else "percentage points")
    legend_of(figure, list(axes[0]), label_of(series))
    return figure
