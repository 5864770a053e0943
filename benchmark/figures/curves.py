"""Estimates with intervals along a number: what most questions come down to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmark.figures.limits import dodge
from benchmark.figures.style import (
    BLACK,
    canvas,
    label_of,
    legend_below,
    rate_ticks,
    styles_of,
    tick_text,
)

MANY = 5
"""Lines beyond which they fade behind their points."""
MOST_COLUMNS = 3


@dataclass(frozen=True)
class Measure:
    """A column as an axis: its words with the unit, what turns it into that unit, its scale."""

    column: str
    label: str
    factor: float = 1.0
    log: bool = False


RATE = Measure("learning_rate", "learning rate", log=True)
TIMES = Measure("times", "rate (times the best)", log=True)
BATCH_SIZE = Measure("batch_size", "batch size (examples)", log=True)
ACCURACY = Measure("accuracy", "test accuracy (%)", factor=100)
EXPLODED = Measure("exploded", "exploded trials (%)", factor=100)
SECONDS = Measure("seconds", "time a trial (s)", log=True)


def interval_lines(
    summary: pd.DataFrame,
    x: Measure,
    y: Measure,
    line: str,
    facet: str,
    reference: float | None = None,
) -> Figure:
    """``y`` against ``x`` with its intervals, a line for each level of ``line``.

    A facet for each level of the column ``facet``, at most three a row. ``summary`` has the
    columns ``line``, ``facet``, that of ``x``, and ``estimate``, ``low`` and ``high`` of ``y``, as
    `benchmark.statistics.interval` gives them; ``reference`` is a dotted line, in the unit of y.
    """
    facets = list(summary[facet].drop_duplicates())
    figure, axes = facet_axes(len(facets), 2.7)
    for axis, level in zip(axes, facets, strict=True):
        draw_lines(axis, summary[summary[facet] == level], x, y, list(summary[line].unique()), line)
        if len(facets) > 1 or facet == "model":
            axis.set_title(label_of(level))
        if reference is not None:
            axis.axhline(reference, color=BLACK, linestyle=":", linewidth=1)
    if y.label.endswith("(%)"):
        # an interval of few seeds may reach beyond what a share can be; axes share their limits
        bottom, top = axes[0].get_ylim()
        axes[0].set_ylim(max(bottom, -4), min(top, 104))
    for axis in leftmost(axes):
        axis.set_ylabel(y.label)
    legend_of(figure, axes, label_of(line))
    return figure


def facet_axes(count: int, height: float, *, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` axes in rows of at most three; what is left over stays empty."""
    # two by two rather than three and one
    columns = 2 if count == 4 else min(count, MOST_COLUMNS)
    figure, grid = canvas(-(-count // columns), columns, height, sharey=sharey)
    axes = list(grid.flat)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def leftmost(axes: Sequence[Axes]) -> list[Axes]:
    """The first axes of each row."""
    return [axis for axis in axes if _spec(axis).is_first_col()]


def lowest(axes: Sequence[Axes]) -> list[Axes]:
    """The last axes of each column."""
    return list({_spec(axis).colspan.start: axis for axis in axes}.values())


def _spec(axis: Axes) -> SubplotSpec:
    spec = axis.get_subplotspec()
    assert spec is not None
    return spec


def legend_of(figure: Figure, axes: Sequence[Axes], title: str) -> None:
    """One legend for all axes: each label once."""
    found: dict[str, object] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    legend_below(figure, list(found.values()), list(found), title=title, columns=4)


def draw_lines(
    axis: Axes, rows: pd.DataFrame, x: Measure, y: Measure, levels: Sequence[object], line: str
) -> None:
    """Lines with error bars, one for each of ``levels`` that ``rows`` has."""
    styles = styles_of(levels)
    values = sorted(x.factor * value for value in rows[x.column].unique())
    apart = dodge(values, len(levels)) if x.log else [1.0] * len(levels)
    crowded = len(levels) > MANY
    for shift, level in zip(apart, levels, strict=True):
        here = rows[rows[line] == level].sort_values(x.column)
        if here.empty:
            continue
        style = styles[level]
        estimate = y.factor * here["estimate"]
        # a percentile interval need not contain its estimate
        ends = [estimate - y.factor * here["low"], y.factor * here["high"] - estimate]
        places = x.factor * here[x.column] * shift
        if crowded:
            axis.plot(
                places, estimate, style.line, color=style.colour, linewidth=1.0, alpha=0.5, zorder=1
            )
        axis.errorbar(
            places,
            estimate,
            yerr=np.clip(ends, 0, None),
            color=style.colour,
            marker=style.marker,
            linestyle="" if crowded else style.line,
            # dashed where there is room for lines: hollow here
            fillstyle="full" if style.line == "-" else "none",
            markersize=4.5,
            linewidth=1.4,
            elinewidth=1.1,
            capsize=2,
            label=label_of(level),
        )
    axis.set_xlabel(x.label)
    if x.log:
        axis.set_xscale("log")
        rate_ticks(axis, values)
    if y.log:
        plain_log(axis)


def plain_log(axis: Axes, along: str = "y") -> None:
    """Make the axis ``along`` ("x" or "y") logarithmic, with plain numbers."""
    axis.set(**{f"{along}scale": "log"})
    scale = getattr(axis, f"{along}axis")
    low, high = scale.get_view_interval()
    # a short axis would else have one number, or none
    subs = (1, 1.5, 2, 3, 5, 7) if high / low < 8 else (1, 2, 5) if high / low < 100 else (1,)
    scale.set_major_locator(LogLocator(subs=subs, numticks=9))
    scale.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    scale.set_minor_locator(NullLocator())
