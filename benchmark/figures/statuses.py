"""How trials ended, cell by cell."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from benchmark.figures.layout import canvas, legend_below, name_rows, rate_places, row_inches
from benchmark.figures.phrases import phrase
from benchmark.figures.style import GREY, STATUS_COLOURS, label_of, rate_text
from benchmark.statistics import status_shares

WIDTH, HEIGHT = 0.92, 0.76
"""Of a cell's bar, in units of the distance between cells."""


def occurring(shares: pd.DataFrame) -> list[str]:
    """The statuses that a trial has, in the order of their colours.

    Of the rows of `benchmark.statistics.status_shares`.

    >>> occurring(pd.DataFrame({"status": ["dead", "stable", "stalled"], "share": [0.5, 0.5, 0]}))
    ['stable', 'dead']
    """
    seen = set(shares.loc[shares["share"] > 0, "status"])
    return [status for status in STATUS_COLOURS if status in seen]


def status_map(trials: pd.DataFrame, factor: str = "clipping", facet: str | None = None) -> Figure:
    """Learning rate by ``factor``; each cell is a bar of the shares of its trials' statuses.

    Columns of facets are models; rows are the levels of the column ``facet``, where one is given.
    """
    models, levels = list(trials["model"].unique()), list(trials[factor].unique())
    rows = list(trials[facet].unique()) if facet else [""]
    rates = sorted(trials["learning_rate"].unique())
    by = ["model", *([facet] if facet else []), factor, "learning_rate"]
    shares = status_shares(trials, by)
    names = list(map(label_of, levels))
    height = 0.55 + row_inches(names, 0.27) * len(levels)
    figure, axes = canvas(len(rows), len(models), height, abreast=1, sharex=True, sharey=True)
    for row, shown in enumerate(rows):
        for column, model in enumerate(models):
            axis = axes[row][column]
            part = shares[shares["model"] == model]
            part = part[part[facet] == shown] if facet else part
            axis.set_visible(bool(len(part)))
            for place in set(range(len(levels))) - {levels.index(v) for v in part[factor]}:
                axis.text(
                    (len(rates) - 1) / 2,
                    place,
                    "not run",
                    ha="center",
                    va="center",
                    color=GREY,
                    fontsize=8,
                )
            for (level, rate), cell in part.groupby([factor, "learning_rate"]):
                left = rates.index(rate) - WIDTH / 2
                bottom = levels.index(level) - HEIGHT / 2
                share = cell.set_index("status")["share"]
                for status, colour in STATUS_COLOURS.items():
                    width = WIDTH * share[status]
                    if width:
                        bar = Rectangle((left, bottom), width, HEIGHT, color=colour, linewidth=0)
                        axis.add_patch(bar)
                    left += width
            named = f", {label_of(phrase(facet, shown))}" if facet else ""
            title = label_of(model) + named
            axis.set(title=title, xlim=(-0.55, len(rates) - 0.45), ylim=(len(levels) - 0.5, -0.5))
            axis.grid(visible=False)
            places = rate_places(rates)
            axis.set_xticks(places, labels=[rate_text(rates[i]) for i in places])
            name_rows(axis, names)
            axis.minorticks_off()
    for axis in axes[-1]:
        axis.set_xlabel("learning rate")
    seen = occurring(shares)
    handles = [Patch(color=STATUS_COLOURS[status]) for status in seen]
    legend_below(figure, handles, seen, columns=4)
    return figure
