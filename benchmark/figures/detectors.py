"""Detectors of lost runs: what share of each kind of run they raise an alarm at."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.layout import canvas, name_rows, row_inches
from benchmark.figures.style import label_of, styles_of


def alarm_shares(shares: pd.DataFrame) -> Figure:
    """Shares as points with 95% intervals, a row a detector, a facet an outcome.

    ``shares`` has the columns ``panel``, ``level``, ``share``, ``low`` and ``high``, between 0
    and 1. All facets have the same axis, because it is the shares in them that are compared.
    """
    panels, levels = list(shares["panel"].unique()), list(shares["level"].unique())
    styles = styles_of(levels)
    names = list(map(label_of, levels))
    height = 0.6 + row_inches(names, 0.36) * len(levels)
    figure, axes = canvas(1, len(panels), height, abreast=1, sharey=True, sharex=True)
    for axis, panel in zip(axes[0], panels, strict=True):
        for row in shares[shares["panel"] == panel].to_dict("records"):
            look, y = styles[row["level"]], levels.index(row["level"])
            share, low, high = (100 * row[name] for name in ("share", "low", "high"))
            axis.plot([low, high], [y, y], color=look.colour, linewidth=1.6)
            axis.plot(share, y, look.marker, color=look.colour, markersize=5.5)
            axis.annotate(
                f"{share:.0f}", (share, y), (0, 5), textcoords="offset points", ha="center", size=8
            )
        axis.set(title=panel, xlim=(-6, 106), ylim=(len(levels) - 0.5, -0.6))
        axis.set_xticks(range(0, 101, 25))
        axis.grid(visible=False, axis="y")
        name_rows(axis, names)
    figure.supxlabel("trials with an alarm (%)", fontsize=10.5)
    return figure
