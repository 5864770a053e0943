"""The claims' effects with their intervals, in the colours of their verdicts."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.figures.curves import plain_log
from benchmark.figures.layout import by_width, canvas, legend_below
from benchmark.figures.limits import reach_of, signed_number
from benchmark.figures.style import BLACK, BLUE, GREY, ORANGE, VERMILION, Style

VERDICT_STYLES = {
    "supported": Style(BLUE, "o"),
    "refuted": Style(VERMILION, "s"),
    "no effect": Style(ORANGE, "v"),
    "mixed": Style(BLACK, "D"),
    "undecided": Style(GREY, "^"),
}
"""Style of each verdict on an effect or on a part; no two look alike to colour-blind readers."""
SLOT, LINE, GAP, FRAME, MOST, DENSE = 0.13, 0.17, 0.1, 0.65, 1.5, 0.4
"""Inches a comparison, a line of a label, between two labels, for a facet's axis, for all
comparisons of one label, and for these where a facet has more than `MANY`."""
LABEL_WIDTH, NARROW_LABEL, TITLE_WIDTH = 38, 22, 60
"""Characters of a line of a label, in a narrow column too, and of a title."""
MANY = 24
"""Comparisons of a part up to which each has its name in a figure."""
POINTS = "percentage points"
MARGIN = 0.05
"""Room beside the arrows of what is off scale, as a share of the axis."""


def claims_forest(verdicts: pd.DataFrame, singles: pd.DataFrame | None = None) -> Figure:
    """Effects as points with their 95% intervals, by claim and part, a facet a unit.

    ``verdicts`` has the columns ``claim``, ``part``, ``unit``, ``effect``, ``low``, ``high``,
    ``verdict``, ``enough`` and ``smallest``; rows without an effect are left out. A black stroke
    across a part's effects marks what would be enough, a grey one ``smallest``, as much the other
    way, where there is such: between them lies no effect that matters. At the right stands how many
    of the comparisons support the part: what ``comparison`` says where a part has one pooled
    effect. Ratios are drawn on a logarithmic axis. Of percentage points an effect far from all
    others is an arrow at the edge, with its number. Of ``singles``, with the same columns, each
    effect that is on scale is a grey tick behind that of its part: what a mean of a list hides.
    """
    rows = verdicts.dropna(subset=["effect", "low", "high"])
    facets = [facet for _, facet in rows.groupby("unit", sort=False)]
    labelled = [list(map(_of_part, _parts(facet))) for facet in facets]
    return _facets(facets, labelled, singles)


def claim_comparisons(verdicts: pd.DataFrame) -> Figure:
    """The comparisons of one claim, each a row with its name, a facet a part.

    ``verdicts`` as for `claims_forest`, with the column ``comparison``. Of a part with more than
    `MANY` comparisons those whose names begin alike, as with one rule, stand together under it.
    Facets of one unit have one scale. What all names of a facet end in stands in its title.
    """
    rows = verdicts.dropna(subset=["effect", "low", "high"])
    facets, endings = _parts(rows), []
    for place, facet in enumerate(facets):
        facets[place], ending = _without_ending(facet)
        endings.append(f" ({ending})" if ending else "")
    named = [
        _of_levels(facet) if len(facet) > MANY else [_of_comparison(row) for row in _rows(facet)]
        for facet in facets
    ]
    figure = _facets(facets, named)
    for axis, facet, ending in zip(figure.axes, facets, endings, strict=True):
        title = str(facet["part"].iloc[0]) + ending
        axis.set_title("\n".join(textwrap.wrap(title, TITLE_WIDTH)))
    return figure


def _without_ending(facet: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The comparisons without the last pieces of their names that all of them share, and these."""
    pieces = [str(name).split(", ") for name in facet["comparison"]]
    shared = 0
    # the first piece of a name stays
    for last in zip(*(name[:0:-1] for name in pieces), strict=False) if len(pieces) > 1 else ():
        if len(set(last)) > 1:
            break
        shared += 1
    kept = [", ".join(name[: len(name) - shared]) for name in pieces]
    return facet.assign(comparison=kept), ", ".join(pieces[0][len(pieces[0]) - shared :])


Labelled = tuple[str, pd.DataFrame, str, float]
"""A label, the rows that share it and the strokes of what is enough, what is at the right, and the
inches that the rows have at most."""


def _of_part(group: pd.DataFrame) -> Labelled:
    first = group.iloc[0]
    beside = _supporting(group) if len(group) > 1 else by_width(str(first["comparison"]), "")
    return (
        _label(f"{first['claim']}: {first['part']}"),
        group,
        beside,
        MOST,
    )


def _of_comparison(row: pd.DataFrame) -> Labelled:
    return _label(str(row["comparison"].iloc[0])), row, "", MOST


def _of_levels(facet: pd.DataFrame) -> list[Labelled]:
    """The comparisons by the first piece of their names, each level's in order of effect."""
    ordered = facet.sort_values("effect", kind="stable", ignore_index=True)
    levels = ordered["comparison"].str.partition(", ")[0]
    return [
        (_label(str(level)), group, _supporting(group), DENSE)
        for level, group in ordered.groupby(levels, sort=False)
    ]


def _supporting(group: pd.DataFrame) -> str:
    counted = f"{int((group['verdict'] == 'supported').sum())} of {len(group)}"
    # names at both sides would leave no room between them
    return by_width(counted, counted.replace(" of ", " / "))


def _label(text: str) -> str:
    return "\n".join(textwrap.wrap(text, by_width(LABEL_WIDTH, NARROW_LABEL)))


def _facets(
    facets: list[pd.DataFrame],
    labelled: list[list[Labelled]],
    singles: pd.DataFrame | None = None,
) -> Figure:
    """One facet for each frame, drawn group by group from the top."""
    heights = [sum(map(_height, groups)) + FRAME for groups in labelled]
    figure, axes = canvas(len(facets), 1, sum(heights) / len(facets), height_ratios=heights)
    units = [str(facet["unit"].iloc[0]) for facet in facets]
    scaled = zip(facets, units, strict=True)
    reach = reach_of(e for facet, unit in scaled if unit == POINTS for e in facet["effect"])
    for axis, groups, unit in zip(axes[:, 0], labelled, units, strict=True):
        top, places = 0.0, []
        for label, group, beside, most in groups:
            height = _height((label, group, beside, most))
            places.append(top + height / 2)
            if singles is not None:
                _draw_behind(axis, group, singles, top + height / 2, unit == POINTS, reach)
            _draw(axis, group, top, height, most)
            if unit == POINTS:
                _mark_off(axis, group, top, height, most, reach)
            axis.annotate(
                beside,
                (1.01, top + height / 2),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
                annotation_clip=False,
            )
            top += height
        axis.set_ylim(top, 0)
        axis.set_yticks(places, labels=[label for label, *_ in groups], fontsize=8.5)
        axis.grid(visible=False, axis="y")
    for unit in dict.fromkeys(units):
        same = [axis for axis, its in zip(axes[:, 0], units, strict=True) if its == unit]
        ends = np.array([axis.get_xlim() for axis in same])
        low, high = ends[:, 0].min(), ends[:, 1].max()
        off = unit == POINTS and (low < -reach or high > reach)
        if off:
            low, high = max(low, -reach), min(high, reach)
            low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
        for axis in same:
            axis.set_xlim(low, high)
            if unit == "ratio":
                plain_log(axis, "x")
            said = ", logarithmic" if unit == "ratio" else "; arrows: off scale" if off else ""
            axis.set_xlabel(f"effect ({unit}{said})")
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle="", label=word)
        for word, style in VERDICT_STYLES.items()
        if any(facet["verdict"].eq(word).any() for facet in facets)
    ]
    handles += [
        Line2D([], [], color="black", marker="|", linestyle="", label="enough"),
        Line2D([], [], color=GREY, marker="|", linestyle="", label="as much the other way"),
    ]
    if singles is not None:
        thin = Line2D([], [], color=GREY, marker="|", linestyle="", ms=7, mew=0.7, alpha=0.7)
        thin.set_label("one comparison")
        handles.append(thin)
    labels = [str(handle.get_label()) for handle in handles]
    legend_below(figure, handles, labels, columns=5 if singles is None else 4)
    return figure


def _slots(group: pd.DataFrame, top: float, height: float, most: float) -> np.ndarray:
    """Where the effects of a group lie between ``top`` and ``top + height``."""
    slot_height = min(SLOT, most / len(group))
    return top + height / 2 + slot_height * (np.arange(len(group)) - (len(group) - 1) / 2)


def _draw(axis: Axes, group: pd.DataFrame, top: float, height: float, most: float) -> None:
    """The effects of one group between ``top`` and ``top + height``, and its strokes."""
    slot_height = min(SLOT, most / len(group))
    for slot, row in zip(_slots(group, top, height, most), group.to_dict("records"), strict=True):
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


def _draw_behind(
    axis: Axes,
    group: pd.DataFrame,
    singles: pd.DataFrame,
    place: float,
    cut: bool,
    reach: float,
) -> None:
    """The single effects of a group's part, where there are several, as ticks at one height."""
    first = group.iloc[0]
    same = singles["claim"].eq(first["claim"]) & singles["part"].eq(first["part"])
    found = singles.loc[same, "effect"].dropna()
    if len(found) > 1:
        shown = found[found.abs() <= reach] if cut else found
        heights = np.full(len(shown), place)
        axis.plot(shown, heights, "|", color=GREY, ms=7, mew=0.7, alpha=0.7, zorder=0)


def _mark_off(
    axis: Axes, group: pd.DataFrame, top: float, height: float, most: float, reach: float
) -> None:
    """Arrows at the edge for the effects of a group that are off scale, and what these are."""
    slots = _slots(group, top, height, most)
    for side, marker, across in ((-1, "<", "left"), (1, ">", "right")):
        off = (side * group["effect"] > reach).to_numpy()
        if not off.any():
            continue
        for slot, verdict in zip(slots[off], group["verdict"][off], strict=True):
            axis.plot(side * reach, slot, marker, color=VERDICT_STYLES[verdict].colour, ms=4.5)
        ends = group["effect"][off].agg(["min", "max"])
        axis.annotate(
            " to ".join(dict.fromkeys(map(signed_number, ends))),
            (side * reach, slots[off].mean()),
            xytext=(-7 * side, 0),
            textcoords="offset points",
            ha=across,
            va="center",
            fontsize=8,
        )


def _parts(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [group for _, group in frame.groupby(["claim", "part"], sort=False)]


def _rows(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [frame.iloc[[place]] for place in range(len(frame))]


def _height(labelled: Labelled) -> float:
    label, group, _, most = labelled
    lines = label.count("\n") + 1
    return max(min(SLOT * len(group), most), LINE * lines) + GAP
