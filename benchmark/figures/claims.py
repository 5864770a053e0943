"""The claims' effects with their intervals, in the colours of their verdicts."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from benchmark.figures.curves import plain_log
from benchmark.figures.layout import by_width, canvas, legend_below
from benchmark.figures.style import BLUE, GREY, ORANGE, SKY, VERMILION, Style, tick_text

VERDICT_STYLES = {
    "supported": Style(BLUE, "o"),
    "refuted": Style(VERMILION, "s"),
    "no effect": Style(SKY, "v"),
    "mixed": Style(ORANGE, "D"),
    "undecided": Style(GREY, "^"),
}
"""Style of each verdict on an effect or on a part."""
SLOT, LINE, GAP, FRAME, MOST = 0.13, 0.17, 0.1, 0.65, 1.5
"""Inches a comparison, a line of a label, between two labels, for a facet's axis, and for all
comparisons of one label."""
LABEL_WIDTH, NARROW_LABEL, TITLE_WIDTH = 38, 22, 60
"""Characters of a line of a label, in a narrow column too, and of a title."""
MANY = 24
"""Comparisons of a part up to which each has its name in a figure."""
LINEAR = 5.0
TICKS = (-100, -25, -5, 0, 5, 25, 100)
"""The scale of percentage points: linear up to so many, and where it has ticks."""
WITHIN, FEWEST = 7.5, 3
"""Points within which the whole axis is linear, and the fewest ticks that tell a scale."""


def claims_forest(verdicts: pd.DataFrame) -> Figure:
    """Effects as points with their 95% intervals, by claim and part, a facet a unit.

    ``verdicts`` has the columns ``claim``, ``part``, ``unit``, ``effect``, ``low``, ``high``,
    ``verdict``, ``enough`` and ``smallest``; rows without an effect are left out. A black stroke
    across a part's effects marks what would be enough, a grey one ``smallest``, as much the other
    way, where there is such: between them lies no effect that matters. At the right stands how many
    of the comparisons support the part: what ``comparison`` says where a part has one pooled
    effect. Ratios are drawn on a logarithmic axis, and percentage points on one that is linear
    about 0.
    """
    rows = verdicts.dropna(subset=["effect", "low", "high"])
    facets = [facet for _, facet in rows.groupby("unit", sort=False)]
    return _facets(facets, [list(map(_of_part, _parts(facet))) for facet in facets])


def claim_comparisons(verdicts: pd.DataFrame) -> Figure:
    """The comparisons of one claim, each a row with its name, a facet a part.

    ``verdicts`` as for `claims_forest`, with the column ``comparison``. Of a part with more than
    `MANY` comparisons the points stand in order, without names.
    """
    rows = verdicts.dropna(subset=["effect", "low", "high"])
    facets = _parts(rows)
    named = [
        [_of_part(facet.sort_values("effect"))]
        if len(facet) > MANY
        else [_of_comparison(row) for row in _rows(facet)]
        for facet in facets
    ]
    figure = _facets(facets, named)
    for axis, facet in zip(figure.axes, facets, strict=True):
        axis.set_title("\n".join(textwrap.wrap(str(facet["part"].iloc[0]), TITLE_WIDTH)))
    return figure


Labelled = tuple[str, pd.DataFrame, str]
"""A label, the rows that share it and the strokes of what is enough, and what is at the right."""


def _of_part(group: pd.DataFrame) -> Labelled:
    first = group.iloc[0]
    counted = f"{int((group['verdict'] == 'supported').sum())} of {len(group)}"
    beside = counted if len(group) > 1 else str(first["comparison"])
    # names at both sides would leave no room between them
    beside = by_width(beside, beside.replace(" of ", " / ") if len(group) > 1 else "")
    return (
        _label(f"{first['claim']}: {first['part']}"),
        group,
        beside,
    )


def _of_comparison(row: pd.DataFrame) -> Labelled:
    return _label(str(row["comparison"].iloc[0])), row, ""


def _label(text: str) -> str:
    return "\n".join(textwrap.wrap(text, by_width(LABEL_WIDTH, NARROW_LABEL)))


def _facets(facets: list[pd.DataFrame], labelled: list[list[Labelled]]) -> Figure:
    """One facet for each frame, drawn group by group from the top."""
    heights = [sum(map(_height, groups)) + FRAME for groups in labelled]
    figure, axes = canvas(len(facets), 1, sum(heights) / len(facets), height_ratios=heights)
    for axis, facet, groups in zip(axes[:, 0], facets, labelled, strict=True):
        top, places = 0.0, []
        for label, group, beside in groups:
            height = _height((label, group, beside))
            places.append(top + height / 2)
            _draw(axis, group, top, height)
            axis.annotate(
                beside,
                (1.01, top + height / 2),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
                annotation_clip=False,
            )
            top += height
        unit = facet["unit"].iloc[0]
        axis.set(ylim=(top, 0), xlabel=f"effect ({unit}{_scale(axis, unit)})")
        axis.set_yticks(places, labels=[label for label, _, _ in groups], fontsize=8.5)
        axis.grid(visible=False, axis="y")
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle="", label=word)
        for word, style in VERDICT_STYLES.items()
        if any(facet["verdict"].eq(word).any() for facet in facets)
    ]
    handles += [
        Line2D([], [], color="black", marker="|", linestyle="", label="enough"),
        Line2D([], [], color=GREY, marker="|", linestyle="", label="as much the other way"),
    ]
    legend_below(figure, handles, [str(handle.get_label()) for handle in handles])
    return figure


def _draw(axis: Axes, group: pd.DataFrame, top: float, height: float) -> None:
    """The effects of one group between ``top`` and ``top + height``, and its strokes."""
    slot_height = min(SLOT, MOST / len(group))
    slots = top + height / 2 + slot_height * (np.arange(len(group)) - (len(group) - 1) / 2)
    for slot, row in zip(slots, group.to_dict("records"), strict=True):
        style = VERDICT_STYLES[row["verdict"]]
        ends = [[row["effect"] - row["low"]], [row["high"] - row["effect"]]]
        axis.errorbar(
            row["effect"],
            slot,
            xerr=np.clip(ends, 0, None),
            fmt=style.marker,
            color=style.colour,
            markersize=min(4.0, 60 * slot_height),
            linewidth=min(1.2, 15 * slot_height),
        )
    edges = top + GAP / 2, top + height - GAP / 2
    first = group.iloc[0]
    if first["smallest"] != first["enough"]:
        axis.vlines(first["smallest"], *edges, color=GREY, linewidth=1.0, zorder=1)
    axis.vlines(first["enough"], *edges, color="black", linewidth=1.2, zorder=1)


def _scale(axis: Axes, unit: str) -> str:
    """Set the scale that suits a unit; returns what is to be said of it."""
    if unit == "ratio":
        plain_log(axis, "x")
        return ", logarithmic"
    if unit == "percentage points":
        # thresholds of a point, and effects of half a hundred
        if max(map(abs, axis.get_xlim())) <= WITHIN:
            return ""
        axis.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
        low, high = axis.get_xlim()
        shown: list[float] = [tick for tick in TICKS if low <= tick <= high]
        if len(shown) < FEWEST:
            # all effects on one side of 0, or near it: one number would give no scale
            found = MaxNLocator(5).tick_values(low, high)
            shown = [float(tick) for tick in found if low <= tick <= high]
        axis.set_xticks(shown, labels=list(map(tick_text, shown)))
        axis.minorticks_off()
        return f", logarithmic beyond ±{LINEAR:g}"
    return ""


def _parts(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [group for _, group in frame.groupby(["claim", "part"], sort=False)]


def _rows(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [frame.iloc[[place]] for place in range(len(frame))]


def _height(labelled: Labelled) -> float:
    label, group, _ = labelled
    lines = label.count("\n") + 1
    return max(min(SLOT * len(group), MOST), LINE * lines) + GAP
