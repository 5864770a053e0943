"""Numbers that others have published beside those that are measured here."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmark.figures.layout import canvas, legend_below, name_rows, row_inches
from benchmark.figures.limits import mark_off_scale, robust_limits
from benchmark.figures.style import BLACK, BLUE, GREY, SKY, VERMILION, Style, tick_text

BAND = "#D9D9D9"
TIMES = (0.1, 0.2, 0.5, 1, 2, 5, 10)
VERDICTS = {
    "reproduced": Style(BLUE, "o"),
    "close": Style(SKY, "s"),
    "cannot tell": Style(GREY, "^"),
    "differs": Style(VERMILION, "X"),
}
"""Style of what is measured, by its verdict."""


def against_published(rows: pd.DataFrame, label: str, *, log: bool = False) -> Figure:
    """A row for each number: a band of noise about what was published, and what is measured.

    ``rows`` has the columns ``name``, ``value`` with its noise ``from`` and ``to``, ``estimate``
    with its interval ``low`` and ``high`` (NaN where there is none), and ``verdict``, one of
    `VERDICTS`; ``label`` stands on the axis. An estimate far from all others is an
    arrow at the edge, with its number, unless the axis is logarithmic (``log``).
    """
    names = list(rows["name"])
    figure, axes = canvas(1, 1, 0.9 + row_inches(names, 0.34) * len(rows))
    axis = axes[0][0]
    if log:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(FixedLocator(TIMES))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    else:
        left, right = robust_limits(
            rows[["value", "from", "to", "estimate", "low", "high"]].to_numpy(float).ravel()
        )
        margin = 0.1 * (right - left) or 1.0
        axis.set_xlim(left - margin, right + margin)
    for y, row in enumerate(rows.to_dict("records")):
        axis.barh(y, row["to"] - row["from"], left=row["from"], height=0.6, color=BAND, zorder=1)
        axis.plot(row["value"], y, "D", color=BLACK, fillstyle="none", markersize=7, zorder=3)
        ends = [row["estimate"] - row["low"], row["high"] - row["estimate"]]
        style = VERDICTS[row["verdict"]]
        if not log and not left <= row["estimate"] <= right:
            above = row["estimate"] > right
            edge = right if above else left
            mark_off_scale(axis, row["estimate"], y, edge, right=above, colour=style.colour)
            continue
        axis.errorbar(
            row["estimate"],
            y,
            # a single seed has no interval
            xerr=np.clip(np.nan_to_num([[end] for end in ends]), 0, None),
            fmt=style.marker,
            color=style.colour,
            capsize=3,
            markersize=5.5,
            linewidth=1.6,
            zorder=4,
        )
    axis.set_ylim(len(rows) - 0.5, -0.5)
    # beside long names the axis is shorter than its label, which there is room for on the left
    axis.set_xlabel(label, loc="right")
    name_rows(axis, names)
    axis.grid(visible=False, axis="y")
    shown = {said: style for said, style in VERDICTS.items() if rows["verdict"].eq(said).any()}
    handles = [
        Line2D([], [], color=BLACK, marker="D", fillstyle="none", linestyle=""),
        Patch(color=BAND),
        *(Line2D([], [], color=style.colour, marker=style.marker) for style in shown.values()),
    ]
    legend_below(figure, handles, ["published", "noise of the source", *shown])
    return figure
