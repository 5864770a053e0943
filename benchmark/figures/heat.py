"""Heat maps: a value over two numbers, and what goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from benchmark.figures.curves import facet_axes, leftmost, legend_of, lowest, plain_log
from benchmark.figures.layout import MOST_TICKS, by_width, canvas, name_rows, row_inches, thinned
from benchmark.figures.style import (
    BLACK,
    ON_DARK,
    ON_LIGHT,
    VERMILION,
    label_of,
    rate_text,
    styles_of,
    tick_text,
)

COLOURS = "cividis"
"""Even in lightness, and made for the colour-blind."""
UPRIGHT = 4
"""Numbers under a map up to which they need not be turned."""
MOST_NUMBERS = 6
"""Columns up to which every cell has its number written in it."""


def heat_maps(cells: pd.DataFrame, x: str, y: str, facet: str, label: str) -> Figure:
    """``value`` over ``x`` and ``y``, a facet for each level of ``facet``, one scale for all.

    ``cells`` has the columns ``x``, ``y``, ``facet`` and ``value`` (0..1, shown in per cent);
    the best cell of each column is bold; the colours reach from the least value to the greatest.
    ``label`` says what the colour is.
    """
    facets = list(cells[facet].drop_duplicates())
    rates = sorted(cells[x].unique())
    tallest = int(cells.groupby(facet)[y].nunique().max())
    figure, axes = facet_axes(len(facets), 0.6 + 0.17 * tallest, sharey=False)
    image = None
    shown = 100 * cells["value"].dropna()
    low, high = (shown.min(), shown.max()) if len(shown) else (0.0, 100.0)
    for axis, level in zip(axes, facets, strict=True):
        table = cells[cells[facet] == level].pivot_table(index=y, columns=x, values="value")
        table = table.reindex(columns=rates)
        values = 100 * table.to_numpy()
        image = axis.imshow(
            values, aspect="auto", origin="lower", cmap=COLOURS, vmin=low, vmax=high
        )
        _label_cells(axis, values, (low + high) / 2)
        places = thinned(rates, by_width(MOST_TICKS, UPRIGHT))
        axis.set_xticks(places, labels=[rate_text(rates[i]) for i in places])
        if len(places) > UPRIGHT:
            for name in axis.get_xticklabels():
                # the end of each number stands under its column
                name.set(rotation=45, ha="right", rotation_mode="anchor")
        heights = thinned(list(table.index), 9)
        axis.set_yticks(heights, labels=[tick_text(table.index[i]) for i in heights])
        axis.set_title(label_of(level), fontsize=10)
        axis.grid(visible=False)
        axis.tick_params(labelsize=8)
    for axis in lowest(axes):
        axis.set_xlabel(label_of(x), fontsize=9)
    for axis in leftmost(axes):
        axis.set_ylabel(label_of(y).removeprefix("clipping "), fontsize=9)
    assert image is not None
    _draw_scale(figure, image, axes, label)
    return figure


def _draw_scale(
    figure: Figure, image: ScalarMappable, axes: Any, label: str, ticks: Sequence[float] = ()
) -> None:
    """The scale of the colours: beside the maps, or below them where they have no width to give."""
    side: Literal["right", "bottom"] = by_width("right", "bottom")
    bar = figure.colorbar(image, ax=axes, label=label, location=side, fraction=0.03, aspect=40)
    if len(ticks):
        bar.set_ticks(list(ticks))


def _label_cells(axis: Axes, values: np.ndarray, middle: float) -> None:
    if values.shape[1] > MOST_NUMBERS:
        return
    best = np.nanargmax(np.where(np.isnan(values), -1, values), axis=0)
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        if np.isnan(value):
            continue
        axis.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=7.5,
            color=ON_DARK if value < middle else ON_LIGHT,
            fontweight="bold" if row == best[column] else "normal",
        )


def accuracy_against_threshold(summary: pd.DataFrame, rules: pd.DataFrame) -> Figure:
    """Test accuracy against the threshold, a facet a rate, and what a rule would have taken.

    ``summary`` has the columns ``learning_rate``, ``clipping_threshold``, ``estimate``, ``low`` and
    ``high``; ``rules`` the columns ``learning_rate``, ``percentile`` and ``best_threshold``, as
    `benchmark.statistics.percentile_rule` gives them. A percentile beyond the thresholds that were
    run is an arrow with its value: exploding norms would stretch the axis.
    """
    facets: Sequence[float] = sorted(summary["learning_rate"].unique())
    facets = [facets[i] for i in thinned(facets)]
    figure, axes = facet_axes(len(facets), 2.3)
    for axis, level in zip(axes, facets, strict=True):
        rows = summary[summary["learning_rate"] == level].sort_values("clipping_threshold")
        estimate = 100 * rows["estimate"]
        axis.errorbar(
            rows["clipping_threshold"],
            estimate,
            yerr=np.clip([estimate - 100 * rows["low"], 100 * rows["high"] - estimate], 0, None),
            color=styles_of(["global_norm"])["global_norm"].colour,
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.3,
            label="accuracy",
        )
        run = rows["clipping_threshold"]
        left, right = run.min() / 2, run.max() * 2
        axis.set_xlim(left, right)
        plain_log(axis, "x")
        for rule in rules[rules["learning_rate"] == level].to_dict("records"):
            if left <= rule["percentile"] <= right:
                axis.axvline(
                    rule["percentile"],
                    color=VERMILION,
                    linestyle="--",
                    linewidth=1.5,
                    label="90th percentile of unclipped norms",
                )
            else:
                _mark_beyond(axis, rule["percentile"], beyond=rule["percentile"] > right)
            chosen = rows[rows["clipping_threshold"] == rule["best_threshold"]]
            axis.plot(
                chosen["clipping_threshold"],
                100 * chosen["estimate"],
                "*",
                color=BLACK,
                markersize=10,
                label="best by validation",
                zorder=5,
            )
        axis.set(title=f"rate {rate_text(level)}", xlabel="threshold", ylim=(0, 102))
    for axis in leftmost(axes):
        axis.set_ylabel("test accuracy (%)")
    legend_of(figure, axes, "")
    return figure


def _mark_beyond(axis: Axes, value: float, *, beyond: bool) -> None:
    """An arrow at the edge that names a rule's threshold where none so large, or small, was run."""
    side: Literal["left", "right"] = "right" if beyond else "left"
    rounded = tick_text(float(f"{value:.0e}"))
    axis.annotate(
        f"{rounded} →" if beyond else f"← {rounded}",
        (0.98 if beyond else 0.02, 0.9),
        xycoords="axes fraction",
        ha=side,
        fontsize=8,
        color=VERMILION,
        fontweight="bold",
    )


STRETCHED = 2.5
"""Power by which the colours of `remedies_by_rate` are spread towards high accuracies, where
differences of a point matter, without one colour for all that are low."""
APART = 0.15
"""Of the scale of colours, nearer than which to its low end no number stands beside it."""
AT_CHANCE = 1.2
"""Times the least accuracy up to which a cell is at chance, and says itself that all diverged."""


def remedies_by_rate(cells: pd.DataFrame, label: str) -> Figure:
    """Accuracy of each remedy (rows) at each learning rate (columns), and who diverged.

    ``cells`` has the columns ``remedy``, ``factor`` (a line parts the rows of one from those of
    the next), ``learning_rate``, ``accuracy`` and ``diverged`` (both 0..1), and makes a row for
    each remedy in the order in which they come. A cell has its accuracy in per cent, and below it
    the share that diverged, where some did: not at chance, which says that all did. ``label`` says
    what the colour is.
    """
    rows = cells[["factor", "remedy"]].drop_duplicates()
    order = list(rows["remedy"])
    rates = sorted(cells["learning_rate"].unique())
    table = {
        name: 100 * cells.pivot(index="remedy", columns="learning_rate", values=name).loc[order]
        for name in ("accuracy", "diverged")
    }
    names = list(map(label_of, order))
    figure, grid = canvas(1, 1, 0.7 + row_inches(names, 0.3) * len(order))
    axis = grid[0][0]
    values, lost = table["accuracy"].to_numpy(), table["diverged"].to_numpy()
    least, most = np.nanmin(values), np.nanmax(values)
    norm = PowerNorm(STRETCHED, vmin=least, vmax=most if most > least else least + 1)
    image = axis.imshow(values, aspect="auto", cmap=COLOURS, norm=norm)
    for row, column in np.ndindex(values.shape):
        if np.isnan(values[row, column]):
            continue
        share, said = float(lost[row, column]), f"{values[row, column]:.1f}"
        if share == 100 and values[row, column] <= AT_CHANCE * least:
            share = 0.0
        axis.text(
            column,
            row,
            said + (f"\n{share:.0f}%{by_width(' div.', '')}" if share > 0 else ""),
            ha="center",
            va="center",
            fontsize=7.5,
            linespacing=0.95,
            color=ON_DARK if image.norm(values[row, column]) < 0.5 else ON_LIGHT,
        )
    for place in np.flatnonzero(rows["factor"].ne(rows["factor"].shift()))[1:]:
        axis.axhline(place - 0.5, color="white", linewidth=3)
    axis.set_xticks(range(len(rates)), labels=[rate_text(rate) for rate in rates])
    name_rows(axis, names)
    axis.set_xlabel(label_of("learning_rate"))
    axis.grid(visible=False)
    axis.tick_params(length=0)
    tens = [ten for ten in range(0, 101, 10) if least <= ten <= most]
    apart = [ten for ten in tens if norm(ten) > APART or ten == tens[0]]
    _draw_scale(figure, image, axis, label, apart)
    return figure
