"""Accuracy against the product of learning rate and threshold."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.curves import facet_axes, leftmost, legend_of, lowest
from benchmark.figures.layout import rate_ticks
from benchmark.figures.style import label_of, ordered_styles, rate_text

ALWAYS = 0.9
"""Share of clipped steps from which on a point is filled."""


def accuracy_against_product(cells: pd.DataFrame) -> Figure:
    """Test accuracy against rate × threshold, a line a rate, a facet a clipping.

    ``cells`` has the columns ``clipping``, ``learning_rate``, ``product``, ``accuracy`` (0..1) and
    ``clipped_fraction``. Where the lines of a facet lie on each other, only the product matters. A
    point is filled where at least nine steps in ten were clipped.
    """
    rules, rates = list(cells["clipping"].unique()), sorted(cells["learning_rate"].unique())
    styles = ordered_styles(rates)
    figure, axes = facet_axes(len(rules), 2.1)
    for axis, rule in zip(axes, rules, strict=True):
        here = cells[cells["clipping"] == rule]
        axis.set_xscale("log")
        for rate, style in styles.items():
            rows = here[here["learning_rate"] == rate].sort_values("product")
            x, y = rows["product"], 100 * rows["accuracy"]
            often = (rows["clipped_fraction"] >= ALWAYS).to_numpy()
            look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "markersize": 4}
            axis.plot(x, y, color=style.colour, linewidth=1.1)
            axis.plot(x[often], y[often], linestyle="", label=rate_text(rate), **look)
            axis.plot(x[~often], y[~often], linestyle="", markerfacecolor="white", **look)
        axis.set(title=label_of(rule), ylim=(0, 100))
        if len(here):
            rate_ticks(axis, list(here["product"]))
    for axis in lowest(axes):
        axis.set_xlabel("rate × threshold", fontsize=9)
    for axis in leftmost(axes):
        axis.set_ylabel("test accuracy (%)")
    legend_of(figure, axes, "learning rate")
    return figure
