"""Estimates with intervals along a number: what most questions come down to."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmark.figures.layout import (
    ABREAST,
    by_width,
    canvas,
    legend_below,
    name_rows,
    panel_title,
    rate_ticks,
    row_inches,
    value_ticks,
)
from benchmark.figures.limits import dodge, shade, signed_number, squeeze
from benchmark.figures.style import BLACK, PATCH, Style, in_order, label_of, styles_of, tick_text

MANY, FEW = 4, 4
"""Lines up to which they share a panel, and numbers along x up to which more of them are rows."""
COLUMNS = 3, 4
"""Panels of a row, where there is more than one row: so many that the last row is fullest."""
ROW = 0.3
"""Inches of a row with its number."""
LETTERS = 9
"""Letters of a facet's name to an inch of its height."""
PALE = "#B8B8B8"
"""Of the baseline behind the others."""


@dataclass(frozen=True)
class Measure:
    """A column as an axis: its words with the unit, what turns it into that unit, its scale.

    ``title`` is that of a panel at one of its numbers.
    """

    column: str
    label: str
    factor: float = 1.0
    log: bool = False
    title: str = "{}"


RATE = Measure("learning_rate", "learning rate", log=True)
TIMES = Measure("times", "rate (times the best)", log=True, title="{} × best rate")
BATCH_SIZE = Measure("batch_size", "batch size (examples)", log=True, title="batches of {}")
ACCURACY = Measure("accuracy", "test accuracy (%)", factor=100)
SECONDS = Measure("seconds", "time a trial (s)", log=True)


def interval_lines(
    summary: pd.DataFrame,
    x: Measure,
    y: Measure,
    line: str,
    facet: str,
    reference: float | None = None,
    focus: tuple[float, float] | None = None,
) -> Figure:
    """``y`` against ``x`` with its intervals, a line for each level of ``line``.

    A facet for each level of the column ``facet``, at most four a row. ``summary`` has the
    columns ``line``, ``facet``, that of ``x``, and ``estimate``, ``low`` and ``high`` of ``y``, as
    `benchmark.statistics.interval` gives them; ``reference`` is a dotted line, in the unit of y.
    With ``focus``, in that unit, the axis is squeezed (see `squeeze`) beyond these two.

    More than four lines would hide each other. At few numbers along x the levels become rows (see
    `interval_rows`); else each has its own panel, with the facets as lines and the first level in
    grey behind them.
    """
    levels, facets = in_order(summary[line]), list(summary[facet].drop_duplicates())
    if len(levels) > MANY and summary[x.column].nunique() <= FEW:
        return interval_rows(summary, x, y, line, facet, reference)
    apart = len(levels) > MANY
    panels, lines, by = (levels, facets, line) if apart else (facets, levels, facet)
    figure, axes = facet_axes(len(panels), 1.9 if apart else 2.7)
    baseline = summary[summary[line] == levels[0]]
    for axis, panel in zip(axes, panels, strict=True):
        if apart and panel != levels[0]:
            for _, rows in baseline.groupby(facet, sort=False):
                rows = rows.sort_values(x.column)
                places, estimates = x.factor * rows[x.column], y.factor * rows["estimate"]
                behind = f"{label_of(levels[0])} (in every panel)"
                axis.plot(places, estimates, color=PALE, linewidth=2.2, zorder=1, label=behind)
        here = summary[summary[by] == panel]
        draw_lines(axis, here, x, y, lines, facet if apart else line, summary[x.column])
        if len(panels) > 1 or by == "model":
            axis.set_title(panel_title(label_of(panel), _spec(axis).get_gridspec().ncols))
        if reference is not None:
            axis.axhline(reference, color=BLACK, linestyle=":", linewidth=1)
        if apart and axis not in lowest(axes):
            axis.set_xlabel("")
    if y.label.endswith("(%)"):
        # room about what a share can be, and no more; axes share their limits
        bottom, top = axes[0].get_ylim()
        axes[0].set_ylim(max(bottom, -4), min(top, 104))
    if focus is not None:
        _squeeze_all(axes, focus, y.factor * summary["estimate"])
    for axis in leftmost(axes):
        axis.set_ylabel(y.label)
    legend_of(figure, axes, "" if apart else label_of(line))
    return figure


def _squeeze_all(axes: Sequence[Axes], focus: tuple[float, float], estimates: pd.Series) -> None:
    """Squeeze axes that share their limits beyond the ``focus``, as far as tens of the estimates.

    An interval that reaches farther ends at the frame, in an arrow.
    """
    least, most = (10 * np.floor(estimates.min() / 10), 10 * np.ceil(estimates.max() / 10))
    ends = min(float(least), focus[0]), max(float(most), focus[1])
    squeeze(axes[0], *focus, ends)
    for axis in axes[1:]:
        shade(axis, *focus, ends)
    for axis in axes:
        _arrows(axis, ends)


def _arrows(axis: Axes, ends: tuple[float, float]) -> None:
    """An arrow at either end of the axis for each interval that leaves it there."""
    drawn = [bars for bars in axis.containers if isinstance(bars, ErrorbarContainer)]
    for lines in (lines for bars in drawn for lines in bars[2]):
        colour = lines.get_color()[0]
        # a mean without an interval has an empty one
        for (place, low), (_, high) in (part for part in lines.get_segments() if len(part)):
            arrows = ((low < ends[0], ends[0], "v"), (high > ends[1], ends[1], "^"))
            for edge, mark in ((edge, mark) for beyond, edge, mark in arrows if beyond):
                axis.plot(place, edge, mark, color=colour, markersize=6, clip_on=False)


def interval_rows(
    summary: pd.DataFrame,
    column: Measure,
    y: Measure,
    row: str,
    facet: str,
    reference: float | None = None,
) -> Figure:
    """``y`` as points with intervals and numbers, a row for each level of ``row``.

    A panel for each number of ``column`` side by side, and for each level of ``facet`` one below
    the other; rows stand in the order of their mean. Columns as for `interval_lines`; all panels
    have the same axis.
    """
    facets, numbers = (
        list(summary[facet].drop_duplicates()),
        sorted(summary[column.column].unique()),
    )
    styles = styles_of(in_order(summary[row]))
    mean = summary.groupby(row, sort=False)["estimate"].mean().sort_values(kind="stable")
    orders = [
        [name for name in mean.index if name in set(summary.loc[summary[facet] == level, row])]
        for level in facets
    ]
    inches = row_inches(list(map(label_of, mean.index)), ROW)
    heights = [0.5 + inches * len(order) for order in orders]
    mean_height = sum(heights) / len(facets)
    figure, axes = canvas(
        len(facets), len(numbers), mean_height, abreast=1, sharex=True, height_ratios=heights
    )
    ends = y.factor * summary[["estimate", "low", "high"]].clip(*_possible(y)).to_numpy(float)
    digits = 0 if np.ptp(ends[np.isfinite(ends)]) > 20 else 1
    for axis_row, level, order, height in zip(axes, facets, orders, heights, strict=True):
        for axis, number in zip(axis_row, numbers, strict=True):
            rows = summary[(summary[facet] == level) & (summary[column.column] == number)]
            axis.set_visible(bool(len(rows)))
            for found in rows.to_dict("records"):
                place, style = order.index(found[row]), styles[found[row]]
                estimate, low, high = _in_unit(found, y)
                axis.plot([low, high], [place, place], color=style.colour, linewidth=1.6)
                axis.plot(
                    estimate,
                    place,
                    style.marker,
                    color=style.colour,
                    markersize=5,
                    fillstyle="full" if style.line == "-" else "none",
                )
                said = f"{estimate:.{digits}f}" if reference is None else signed_number(estimate)
                axis.annotate(
                    said.replace("-", "−"),
                    (estimate, place),
                    # clear of the mark, which the paper behind the number would cover
                    xytext=(0, 3),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=7.5,
                    bbox=PATCH,
                )
            if reference is not None:
                axis.axvline(reference, color=BLACK, linewidth=0.9)
            axis.set_ylim(len(order) - 0.4, -0.75)
            axis.locator_params(axis="x", nbins=5)
            axis.grid(visible=False, axis="y")
            named = by_width(axis is axis_row[0], True)
            name_rows(axis, [label_of(name) if named else "" for name in order])
        if len(facets) > 1:
            lines = textwrap.wrap(label_of(level), int(LETTERS * height))
            axis_row[0].set_ylabel("\n".join(lines), fontweight="bold", fontsize=9.5)
    for axis, number in zip(axes[0], numbers, strict=True):
        axis.set_title(column.title.format(tick_text(column.factor * number)))
    if y.label.endswith("(%)"):
        left, right = axes[0][0].get_xlim()
        axes[0][0].set_xlim(max(left, -7), min(right, 107))
    figure.supxlabel(y.label, fontsize=10.5)
    return figure


def _possible(y: Measure) -> tuple[float | None, float | None]:
    """The least and the greatest value there can be: an interval of few seeds may reach beyond."""
    return (0.0, 100 / y.factor) if y.label.endswith("(%)") else (None, None)


def _in_unit(row: Mapping[Any, float], y: Measure) -> tuple[float, float, float]:
    ends = pd.Series([row["low"], row["high"]], dtype=float).clip(*_possible(y))
    return y.factor * row["estimate"], y.factor * ends[0], y.factor * ends[1]


def facet_axes(count: int, height: float, *, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` axes in rows of at most four; what is left over stays empty."""
    columns = by_width(_columns(count), min(count, ABREAST))
    figure, grid = canvas(-(-count // columns), columns, height, sharey=sharey)
    axes = list(grid.flat)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def _columns(count: int) -> int:
    """Panels side by side of so many: three up to three, two by two, else what leaves least over.

    >>> [_columns(count) for count in (2, 3, 4, 5, 6, 7, 8, 11)]
    [2, 3, 2, 3, 3, 4, 4, 3]
    """
    if count <= COLUMNS[0]:
        return count
    return 2 if count == 4 else min(COLUMNS, key=lambda columns: -count % columns)


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
    axis: Axes,
    rows: pd.DataFrame,
    x: Measure,
    y: Measure,
    levels: Sequence[object],
    line: str,
    along: Iterable[float] = (),
) -> None:
    """Lines with error bars, one for each of ``levels`` that ``rows`` has.

    ``along`` are the numbers of x in all panels, where they share their ticks.
    """
    styles = styles_of(levels)
    values = sorted({x.factor * value for value in (*along, *rows[x.column])})
    apart = dodge(values, len(levels)) if x.log else [1.0] * len(levels)
    for shift, level in zip(apart, levels, strict=True):
        here = rows[rows[line] == level].sort_values(x.column)
        if here.empty:
            continue
        style = styles[level]
        estimate = y.factor * here["estimate"]
        ends = y.factor * here[["low", "high"]].clip(*_possible(y))
        # a percentile interval need not contain its estimate
        bars = np.clip([estimate - ends["low"], ends["high"] - estimate], 0, None)
        axis.errorbar(
            x.factor * here[x.column] * shift,
            estimate,
            # a legend would else show bars that no line has
            yerr=bars if np.isfinite(bars).any() else None,
            color=style.colour,
            marker=style.marker,
            linestyle=style.line,
            markersize=4.5,
            linewidth=1.4,
            elinewidth=1.1,
            capsize=2,
            label=label_of(level),
        )
    axis.set_xlabel(x.label)
    if x.log:
        axis.set_xscale("log")
        (rate_ticks if x.column == RATE.column else value_ticks)(axis, values)
    if y.log:
        plain_log(axis)


def shade_between(axis: Axes, ends: pd.DataFrame, style: Style) -> None:
    """The range from ``min`` to ``max`` along the index of ``ends``, behind its line."""
    axis.fill_between(
        ends.index, ends["min"], ends["max"], color=style.colour, alpha=0.2, linewidth=0
    )


def plain_log(axis: Axes, along: str = "y") -> None:
    """Make the axis ``along`` ("x" or "y") logarithmic, with plain numbers."""
    axis.set(**{f"{along}scale": "log"})
    scale = getattr(axis, f"{along}axis")
    low, high = scale.get_view_interval()
    if low <= 0:
        # nothing positive is drawn, as where every loss was lost at once: any range will do
        low, high = 0.1, 10.0
        axis.set(**{f"{along}lim": (low, high)})
    # a short axis would else have one number, or none
    subs = (1, 1.5, 2, 3, 5, 7) if high / low < 8 else (1, 2, 5) if high / low < 100 else (1,)
    scale.set_major_locator(LogLocator(subs=subs, numticks=9))
    scale.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    scale.set_minor_locator(NullLocator())
