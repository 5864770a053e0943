"""What grows with the size of a network and of its data."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.curves import Measure, draw_lines, facet_axes, leftmost, legend_of
from benchmark.figures.layout import panel_title

SIZE = "size"


def size_curves(summary: pd.DataFrame, y: Measure, labels: Mapping[str, str]) -> Figure:
    """``y`` against size, a facet for each ``dimension``, a line for each ``normalization``.

    ``summary`` has the columns ``dimension``, ``normalization``, ``size``, ``estimate``, ``low``
    and ``high``; ``labels`` give the words of each dimension's axis.
    """
    dimensions = list(summary["dimension"].unique())
    levels = list(summary["normalization"].unique())
    figure, axes = facet_axes(len(dimensions), 2.4)
    for axis, dimension in zip(axes, dimensions, strict=True):
        rows = summary[summary["dimension"] == dimension]
        x = Measure(SIZE, labels[dimension], log=True)
        draw_lines(axis, rows, x, y, levels, "normalization")
        axis.set_title(panel_title(dimension, 3), fontsize=9.5)
    for axis in leftmost(axes):
        axis.set_ylabel(y.label)
    legend_of(figure, axes, "normalization")
    return figure
