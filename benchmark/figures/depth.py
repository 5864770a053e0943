"""How gradients grow from the output of a network to its input."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from benchmark.figures.layout import canvas, legend_below, value_ticks
from benchmark.figures.phrases import phrase
from benchmark.figures.style import BLACK, label_of, ordered_styles, styles_of

SPOT = 1.03
"""Ratio up to which two points are one spot on the axis."""
LARGEST_MARKER = 8.0
"""Points that lie on each other are told apart by their sizes, the first level's the largest."""


def growth_against_gain(growth: pd.DataFrame, theory: pd.DataFrame, factor: str) -> Figure:
    """Growth rate a layer against the gain, points for each level of ``factor``, a facet a model.

    ``growth`` has the columns ``model``, ``factor``, ``init_gain``, ``growth``, ``low`` and
    ``high``, as `benchmark.statistics.depth_growth` gives them; ``theory`` the columns ``factor``,
    ``init_gain`` (ascending) and ``growth``: wide lines in the colours of their levels. Levels
    all of whose points lie on those of another are named with it, and not drawn again.
    """
    models = list(growth["model"].unique())
    together = _on_one_spot(growth, factor)
    styles = styles_of(growth[factor].unique())
    levels = list(together)
    growth, theory = (rows[rows[factor].isin(levels)] for rows in (growth, theory))
    gains = sorted(growth["init_gain"].unique())
    figure, axes = canvas(1, len(models), 3.3, sharey=True)
    for axis, model in zip(axes[0], models, strict=True):
        here = growth[growth["model"] == model]
        for level, line in theory[theory[factor].isin(here[factor])].groupby(factor, sort=False):
            axis.plot(
                line["init_gain"],
                line["growth"],
                color=styles[level].colour,
                linewidth=2.4,
                alpha=0.45,
            )
        for place, shown in enumerate(levels):
            rows = here[here[factor] == shown]
            estimate = rows["growth"]
            axis.errorbar(
                rows["init_gain"],
                estimate,
                yerr=np.clip([estimate - rows["low"], rows["high"] - estimate], 0, None),
                color=styles[shown].colour,
                marker=styles[shown].marker,
                linestyle="",
                markersize=max(LARGEST_MARKER - place, 3.5),
                elinewidth=1.2,
                capsize=2,
                label=", ".join(map(label_of, together[shown])),
            )
        axis.axhline(1, color=BLACK, linestyle=":", linewidth=1)
        axis.set(xscale="log", yscale="log", title=label_of(model), xlabel="initialization gain")
        axis.yaxis.set_minor_locator(NullLocator())
        value_ticks(axis, gains)
        ticks = [t for t in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30) if _within(t, growth["growth"])]
        axis.set_yticks(ticks, labels=[f"{t:g}" for t in ticks])
    axes[0][0].set_ylabel("growth of the squared norm a layer")
    handles, labels = axes[0][0].get_legend_handles_labels()
    handles.append(Line2D([], [], color=BLACK, linewidth=2.4, alpha=0.45))
    legend_below(figure, handles, [*labels, "theory"], title=label_of(factor))
    return figure


def _on_one_spot(growth: pd.DataFrame, factor: str) -> dict[object, list[object]]:
    """The levels to draw, each with those whose every point lies on one of its own."""
    found: dict[object, list[object]] = {}
    places: dict[object, pd.Series] = {}
    for level, rows in growth.groupby(factor, sort=False):
        here = np.log(rows.set_index(["model", "init_gain"])["growth"])
        far = {
            leader: np.abs(here - drawn.reindex(here.index)).max(skipna=False)
            for leader, drawn in places.items()
        }
        leader = next((name for name, most in far.items() if most <= np.log(SPOT)), level)
        found.setdefault(leader, []).append(level)
        places.setdefault(leader, here)
    return found


def _within(tick: float, values: pd.Series) -> bool:
    finite = values[np.isfinite(values)]
    return bool(len(finite)) and finite.min() / 3 <= tick <= finite.max() * 3


def norms_by_layer(profiles: pd.DataFrame, rows: str, kinds: dict[str, str]) -> Figure:
    """Norms by layer relative to the last hidden layer's, a line for each gain.

    ``profiles`` has the columns ``rows`` (a facet row each), ``init_gain``, ``layer_index``,
    and for each of ``kinds`` (a facet column each, with its title) the norm divided by that of
    the last hidden layer.
    """
    levels, gains = list(profiles[rows].unique()), sorted(profiles["init_gain"].unique())
    styles = ordered_styles(gains)
    figure, axes = canvas(len(levels), len(kinds), 2.1, sharex=True, sharey=True)
    for axis_row, level in zip(axes, levels, strict=True):
        axis_row[0].set_ylabel(f"{label_of(phrase(rows, level))}:\nnorm / last layer's")
        for axis, kind in zip(axis_row, kinds, strict=True):
            here = profiles[profiles[rows] == level]
            for gain in gains:
                line = here[here["init_gain"] == gain].sort_values("layer_index")
                # a log axis has no place for zero
                line = line[line[kind] > 0]
                style = styles[gain]
                axis.plot(
                    line["layer_index"],
                    line[kind],
                    color=style.colour,
                    marker=style.marker,
                    linestyle=style.line,
                    markersize=4,
                    linewidth=1.3,
                    label=f"{gain:g}",
                )
            axis.set(yscale="log")
            axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for axis, title in zip(axes[0], kinds.values(), strict=True):
        axis.set_title(title)
    for axis in axes[-1]:
        axis.set_xlabel("layer, counted from the input")
    legend_below(figure, *axes[0][0].get_legend_handles_labels(), title="initialization gain")
    return figure
