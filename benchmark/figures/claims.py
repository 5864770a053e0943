"""The claims' effects with their intervals, in the colours of their verdicts."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.figures.curves import plain_log
from benchmark.figures.style import BLUE, GREY, ORANGE, VERMILION, Look, canvas, legend_below

VERDICT_LOOKS = {
    "supported": Look(BLUE, "o"),
    "refuted": Look(VERMILION, "s"),
    "depends": Look(ORANGE, "D"),
}
"""Look of each verdict on an effect."""
SLOT, LINE, GAP, MOST = 0.13, 0.17, 0.1, 0.5
"""Inches a comparison, a line of a label, between two parts, and for all comparisons of one."""
LABEL_WIDTH = 38
LINEAR = 5.0
TICKS = (-100, -25, -5, 0, 5, 25, 100)
"""The scale of percentage points: linear up to so many, and where it has ticks."""


def claims_forest(verdicts: pd.DataFrame) -> Figure:
    """Every effect as a point with its 95% interval, by claim and part, a facet a unit.

    ``verdicts`` has the columns ``claim``, ``part``, ``unit``, ``effect``, ``low``, ``high``,
    ``verdict``, ``enough`` and ``smallest``; rows without an effect are left out. A black stroke
    across a part's effects marks what would be enough, a grey one the smallest effect of interest
    where that is another; at the right, how many of the comparisons support the part. Ratios are
    drawn on a logarithmic axis, and percentage points on one that is linear about 0.
    """
    rows = verdicts.dropna(subset=["effect", "low", "high"])
    units = list(rows["unit"].unique())
    facets = [rows[rows["unit"] == unit] for unit in units]
    heights = [sum(map(_height, _parts(facet))) + 0.65 for facet in facets]
    figure, axes = canvas(
        len(units), 1, sum(heights) / len(units), gridspec_kw={"height_ratios": heights}
    )
    for axis, unit, facet in zip(axes[:, 0], units, facets, strict=True):
        top, places, labels = 0.0, [], []
        for group in _parts(facet):
            height = _height(group)
            middle = top + height / 2
            places.append(middle)
            labels.append(_label(group))
            height_of_one = min(SLOT, MOST / len(group))
            slots = middle + height_of_one * (np.arange(len(group)) - (len(group) - 1) / 2)
            for slot, row in zip(slots, group.to_dict("records"), strict=True):
                look = VERDICT_LOOKS[row["verdict"]]
                ends = [[row["effect"] - row["low"]], [row["high"] - row["effect"]]]
                axis.errorbar(
                    row["effect"],
                    slot,
                    xerr=np.clip(ends, 0, None),
                    fmt=look.marker,
                    color=look.colour,
                    markersize=min(4.0, 60 * height_of_one),
                    linewidth=min(1.2, 15 * height_of_one),
                )
            agreeing = int((group["verdict"] == "supported").sum())
            axis.annotate(
                f"{agreeing} of {len(group)}",
                (1.01, middle),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
                annotation_clip=False,
            )
            edges = top + GAP / 2, top + height - GAP / 2
            first = group.iloc[0]
            if first["smallest"] != first["enough"]:
                axis.vlines(first["smallest"], *edges, color=GREY, linewidth=1.0, zorder=1)
            axis.vlines(first["enough"], *edges, color="black", linewidth=1.2, zorder=1)
            top += height
        axis.set(ylim=(top, 0), xlabel=f"effect ({unit}{_scale(axis, unit)})")
        axis.set_yticks(places, labels=labels, fontsize=8.5)
        axis.grid(visible=False, axis="y")
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="", label=word)
        for word, look in VERDICT_LOOKS.items()
    ]
    handles += [
        Line2D([], [], color="black", marker="|", linestyle="", label="enough"),
        Line2D([], [], color=GREY, marker="|", linestyle="", label="smallest of interest"),
    ]
    legend_below(figure, handles, [str(handle.get_label()) for handle in handles])
    return figure


def _scale(axis: Axes, unit: str) -> str:
    """Set the scale that suits a unit; returns what is to be said of it."""
    if unit == "ratio":
        plain_log(axis, "x")
        return ", logarithmic"
    if unit == "percentage points":
        # thresholds of a point, and effects of half a hundred
        axis.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
        low, high = axis.get_xlim()
        shown = [tick for tick in TICKS if low <= tick <= high]
        axis.set_xticks(shown, labels=[f"{tick:g}".replace("-", "−") for tick in shown])
        axis.minorticks_off()
        return f", logarithmic beyond ±{LINEAR:g}"
    return ""


def _parts(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [group for _, group in frame.groupby(["claim", "part"], sort=False)]


def _label(group: pd.DataFrame) -> str:
    first = group.iloc[0]
    return "\n".join(textwrap.wrap(f"{first['claim']}: {first['part']}", LABEL_WIDTH))


def _height(group: pd.DataFrame) -> float:
    lines = _label(group).count("\n") + 1
    return max(min(SLOT * len(group), MOST), LINE * lines) + GAP
