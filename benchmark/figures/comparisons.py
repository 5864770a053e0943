"""Effects with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.figures.layout import (
    BESIDE,
    canvas,
    name_rows,
    panel_title,
    row_inches,
)
from benchmark.figures.limits import robust_limits, signed_number
from benchmark.figures.style import LONGEST, PATCH, in_order, label_of, styles_of, words
from benchmark.names import quoted

COMPARED = (
    *("level", "baseline", "pairs", "seeds", "effect", "low", "high", "p", "p_holm"),
    *("improvement", "detectable", "agree"),
)
"""What `benchmark.statistics.paired_comparison` says of a level; its other columns are groups."""
ARROW = 0.2
"""Of a panel's width, by which what is off scale lies beyond all that is on it."""


def comparison_forest(comparisons: pd.DataFrame, label: str, alike: Sequence[str] = ()) -> Figure:
    """Effects against a baseline as points with 95% intervals, a row each, a facet a panel.

    ``comparisons`` has the columns ``level``, ``effect``, ``low`` and ``high``, as
    `benchmark.statistics.paired_comparison` gives them, and may have ``panel``; without it each
    combination of that function's ``by`` is a panel. Effects are drawn in hundredths, as
    ``label``, the words on the axis, has to say. Each effect is written above its point; one that
    lies far from all others is an arrow at the edge, clear of zero. Panels that are ``alike`` have
    one scale, each of the others its own.

    Raises
    ------
    ValueError
        If one of these columns is missing.
    """
    comparisons = _in_panels(comparisons)
    panels, levels = list(comparisons["panel"].unique()), in_order(comparisons["level"])
    styles = styles_of(levels)
    names = list(map(label_of, levels))
    height = 0.6 + row_inches(names, 0.36) * len(levels)
    figure, axes = canvas(1, len(panels), height, abreast=1, sharey=True)
    for axis, panel in zip(axes[0], panels, strict=True):
        rows = comparisons[comparisons["panel"] == panel]
        same = comparisons["panel"].isin(list(alike) if panel in alike else [panel])
        ends = 100 * comparisons.loc[same, ["effect", "low", "high"]].to_numpy(float)
        least, most = robust_limits([0.0, *ends.ravel()])
        effects, apart = ends[:, 0], ARROW * (most - least)
        left = least - apart * bool((effects < least).any())
        right = most + apart * bool((effects > most).any())
        margin = 0.07 * (right - left) or 1.0
        axis.set_xlim(left - margin, right + margin)
        for y, level in enumerate(levels):
            for row in rows[rows["level"] == level].to_dict("records"):
                effect, low, high = (100 * row[c] for c in ("effect", "low", "high"))
                _write(axis, effect, y, left, right)
                if not least <= effect <= most:
                    edge, arrow = (left, "<") if effect < left else (right, ">")
                    axis.plot(edge, y, arrow, color=styles[level].colour, markersize=8)
                    continue
                axis.errorbar(
                    effect,
                    y,
                    xerr=np.clip([[effect - low], [high - effect]], 0, None),
                    fmt=styles[level].marker,
                    color=styles[level].colour,
                    capsize=3,
                    markersize=5.5,
                    linewidth=1.6,
                )
        axis.axvline(0, color="black", linewidth=0.9)
        # a title has several lines, and so room for more than a row's name
        title = panel_title(label_of(panel, 2 * LONGEST), len(panels), BESIDE)
        axis.set(title=title, ylim=(len(levels) - 0.5, -0.5))
        # numbers of three digits and a sign stand beside each other where panels are narrow
        axis.locator_params(axis="x", nbins=6 if len(panels) < 3 else 4)
        axis.grid(visible=False, axis="y")
        name_rows(axis, names)
    figure.supxlabel(label, fontsize=10.5)
    return figure


def _in_panels(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The comparisons with ``panel``: as it is, or what they were compared within, in words."""
    for column in ("level", "effect", "low", "high"):
        if column not in comparisons:
            raise ValueError(
                f"`comparisons` must have the column {column!r}, but has "
                f"{quoted(list(comparisons))}"
            )
    if "panel" in comparisons:
        return comparisons
    by = [column for column in comparisons if column not in COMPARED]
    panels = comparisons[by].map(words).agg(", ".join, axis=1) if by else ""
    return comparisons.assign(panel=panels)


def _write(axis: Axes, effect: float, y: float, left: float, right: float) -> None:
    """The number of an effect above its point, or beside its arrow at the edge."""
    if not np.isfinite(effect):
        return
    place = float(np.clip(effect, left, right))
    share = (place - left) / (right - left) if right > left else 0.5
    # at the edges of the panel the number stands inside
    side: Literal["left", "right", "center"]
    side = "left" if share < 0.12 else "right" if share > 0.88 else "center"
    axis.annotate(
        signed_number(effect),
        (place, y),
        xytext=(0, 4),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=7.5,
        bbox=PATCH,
    )
