"""Which factors matter: shares of the variance, with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.figures.layout import (
    BESIDE,
    canvas,
    legend_below,
    name_rows,
    panel_title,
    row_inches,
)
from benchmark.figures.style import PATCH, label_of, styles_of

APART = 0.38
"""Of the distance between rows, by which two networks stand apart."""
FULL, ROOM = 100, 16
"""The whole variance, and room beside it for a number (%)."""


def variance_parts(shares: pd.DataFrame) -> Figure:
    """Shares of the variance with 95% intervals: a row each ``part``, a facet a ``scope``.

    ``shares`` has ``model`` (a colour), ``scope``, ``part``, and ``estimate``, ``low`` and ``high``
    (0..1), as `benchmark.statistics.variance_shares` gives them. Each share stands beside its
    interval.
    """
    scopes, parts = list(shares["scope"].unique()), list(shares["part"].unique())
    models = list(shares["model"].unique())
    styles, names = styles_of(models), list(map(label_of, parts))
    height = 0.7 + row_inches(names, 0.2 + 0.16 * (len(models) > 1)) * len(parts)
    figure, axes = canvas(1, len(scopes), height, abreast=1, sharey=True)
    for axis, scope in zip(axes[0], scopes, strict=True):
        for row in shares[shares["scope"] == scope].to_dict("records"):
            place = models.index(row["model"]) - (len(models) - 1) / 2
            estimate, low, high = (100 * row[c] for c in ("estimate", "low", "high"))
            style, y = styles[row["model"]], parts.index(row["part"]) + APART * place
            # a single seed has no interval
            ends = np.clip(np.nan_to_num([[estimate - low], [high - estimate]]), 0, None)
            axis.errorbar(
                estimate,
                y,
                xerr=ends,
                fmt=style.marker,
                color=style.colour,
                markersize=4.5,
                capsize=2,
                linewidth=1.3,
            )
            least, most = estimate + np.array([-1, 1]) * ends[:, 0]
            _write(axis, estimate, least, most, y, up=place <= 0)
        axis.set(
            title=panel_title(label_of(scope), len(scopes), BESIDE),
            xlim=(-4, FULL + 2),
            ylim=(len(parts) - 0.5, -0.5),
            xticks=(0, 25, 50, 75, 100),
            xlabel="share (%)",
        )
        name_rows(axis, names)
        axis.grid(visible=False, axis="y")
    if len(models) > 1:
        handles = [
            Line2D([], [], color=styles[m].colour, marker=styles[m].marker, linestyle="")
            for m in models
        ]
        legend_below(figure, handles, [label_of(model) for model in models])
    return figure


def _write(axis: Axes, share: float, low: float, high: float, y: float, *, up: bool) -> None:
    """The number of a share beside its interval, or off its point where that fills the panel."""
    if FULL - high >= ROOM:
        place, offset, across, along = high, (4, 0), "left", "center"
    elif low >= ROOM:
        place, offset, across, along = low, (-4, 0), "right", "center"
    else:
        place, offset, across = share, (0, 4 if up else -4), "center"
        along = "bottom" if up else "top"
    axis.annotate(
        f"{share:.0f}" if share >= 9.95 or share < 0.05 else f"{share:.1f}",
        (place, y),
        xytext=offset,
        textcoords="offset points",
        ha=across,
        va=along,
        fontsize=7.5,
        bbox=PATCH,
    )
