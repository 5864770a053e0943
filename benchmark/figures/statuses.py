"""How trials ended, cell by cell."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from benchmark.figures.style import STATUS_COLOURS, canvas, rate_ticks, words
from benchmark.statistics import status_shares


def status_map(trials: pd.DataFrame, factor: str = "clipping", facet: str | None = None) -> Figure:
    """Learning rate by ``factor``; each cell is a bar of the shares of its trials' statuses.

    Columns of facets are models; rows are the levels of the column ``facet``, where one is given.
    """
    models, levels = list(trials["model"].unique()), list(trials[factor].unique())
    rows = list(trials[facet].unique()) if facet else [""]
    rates = sorted(trials["learning_rate"].unique())
    by = ["model", *([facet] if facet else []), factor, "learning_rate"]
    shares = status_shares(trials, by)
    height = 0.55 + 0.27 * len(levels)
    figure, axes = canvas(len(rows), len(models), height, sharex=True, sharey=True)
    for row, shown in enumerate(rows):
        for column, model in enumerate(models):
            axis = axes[row][column]
            part = shares[shares["model"] == model]
            part = part[part[facet] == shown] if facet else part
            for y, level in enumerate(levels):
                for x, rate in enumerate(rates):
                    cell = part[(part[factor] == level) & (part["learning_rate"] == rate)]
                    share = cell.set_index("status")["share"]
                    left = x - 0.46
                    for status, colour in STATUS_COLOURS.items():
                        width = 0.92 * share.get(status, 0.0)
                        bar = Rectangle((left, y - 0.38), width, 0.76, color=colour, linewidth=0)
                        axis.add_patch(bar)
                        left += width
            title = words(model) + (f", {facet} {words(shown)}" if facet else "")
            axis.set(title=title, xlim=(-0.55, len(rates) - 0.45), ylim=(len(levels) - 0.5, -0.5))
            axis.grid(visible=False)
            rate_ticks(axis, range(len(rates)))
            axis.set_xticks(range(len(rates)), labels=[f"{rate:g}" for rate in rates])
            axis.set_yticks(range(len(levels)), labels=[words(level) for level in levels])
    for axis in axes[-1]:
        axis.set_xlabel("learning rate")
    handles = [Patch(color=c, label=status) for status, c in STATUS_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)
    return figure
