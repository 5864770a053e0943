"""How the panels of a figure stand on a page, or in the narrow column of a phone."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from benchmark.figures.style import tick_text

PAGE_WIDTH, NARROW_WIDTH = 7.6, 3.95
"""Inches: the width of the text column, at which the type stays readable, and that of a phone's
(380 CSS pixels, of which an inch has 96)."""
BELOW = 0.7
"""Inches for a legend."""
ABREAST = 2
"""Panels of a row that stand side by side in a narrow column, unless a figure names another."""
MOST_TICKS, NARROW_TICKS, MOST_WIDE = 6, 4, 2
"""Ticks of an axis, ticks where more than so many panels stand side by side, and that number."""
SVG_POINTS = 72
"""Points an inch of an SVG."""
TITLES, BESIDE = 60, 46
"""Characters of the titles of all panels in a row, at which they do not run into each other; and
where the names of rows stand beside the panels."""
NAME = 17
"""Characters of a line of a row's name in a narrow column."""
EM, BOLD = 0.58, 1.1
"""Width of a letter, in units of its size, and times by which it is wider in bold."""
NAMES_ROOM, HANDLE = 90.0, 34.0
"""Points beside narrow panels, for the names of rows, and of a legend's handle."""
NAME_LINE, LEGEND_LINE = 0.14, 0.19
"""Inches of a line of a row's name, and of a legend."""
LOWER = 0.88
"""Height of a row in a narrow column, where type is smaller, in units of that on a page."""
NOTHING = 1e-3
"""Height of a row without panels."""
AIR = 4.0
"""Points between two numbers under an axis."""
STEPS = (1,), (1, 3)
"""Ticks of each decade of learning rates, from few to many."""

T = TypeVar("T")
Shared = bool | Literal["row", "col"]

_narrow: ContextVar[bool] = ContextVar("narrow", default=False)


@contextmanager
def narrow() -> Iterator[None]:
    """Within it, figures are laid out for the narrow column of a phone.

    >>> with narrow():
    ...     float(canvas(1, 4, 2.0)[0].get_figwidth())
    3.95
    """
    token = _narrow.set(True)
    try:
        yield
    finally:
        _narrow.reset(token)


def by_width(wide: T, slim: T) -> T:
    """``slim`` within `narrow`, else ``wide``."""
    return slim if _narrow.get() else wide


def canvas(
    rows: int,
    columns: int,
    height: float,
    *,
    abreast: int = ABREAST,
    sharex: Shared = False,
    sharey: Shared = False,
    height_ratios: Sequence[float] | None = None,
) -> tuple[Figure, Any]:
    """A figure of the column's width with (rows, columns) axes, ``height`` inches a row.

    ``sharex`` and ``sharey`` as for `matplotlib.figure.Figure.subplots`; ``height_ratios``
    are those of the rows. Within `narrow` at most ``abreast`` panels stand side by
    side: the others of their row follow below, and say what their row and column do.
    """
    # here, because it takes a second or two, and not every page that names a figure draws one
    import seaborn as sns

    sns.set_theme(
        context="paper",
        style="whitegrid",
        font_scale=by_width(1.15, 0.95),
        rc={
            "axes.titlesize": by_width(11, 9.5),
            "axes.titleweight": "bold",
            "grid.linewidth": 0.6,
        },
    )
    mpl.rcParams["svg.fonttype"] = "path"
    # the same data give the same file
    mpl.rcParams["svg.hashsalt"] = "benchmark"
    if not _narrow.get():
        # the last number of an axis and the first of the next one would else read as one
        layout = ConstrainedLayoutEngine(w_pad=0.07)
        figure = Figure(figsize=(PAGE_WIDTH, BELOW + height * rows), layout=layout)
        axes: Any = figure.subplots(
            rows,
            columns,
            squeeze=False,
            sharex=sharex,
            sharey=sharey,
            height_ratios=height_ratios,
        )
        _fix_type(axes)
        return figure, axes
    lines = -(-columns // abreast)
    ratios = [ratio for ratio in height_ratios or [1.0] * rows for _ in range(lines)]
    figure = Figure(figsize=(NARROW_WIDTH, BELOW + height * rows * lines))
    grid = figure.add_gridspec(rows * lines, min(columns, abreast), height_ratios=ratios)
    axes = np.empty((rows, columns), dtype=object)
    for row, column in np.ndindex(rows, columns):
        leaders = {True: (0, 0), "row": (row, 0), "col": (0, column)}
        shared = {
            f"share{name}": axes[leaders[share]]
            for name, share in (("x", sharex), ("y", sharey))
            if share in leaders
        }
        line, place = divmod(column, abreast)
        axes[row, column] = figure.add_subplot(grid[row * lines + line, place], **shared)
        if place and sharey in (True, "row"):
            axes[row, column].tick_params(labelleft=False)
        if columns <= abreast and row < rows - 1 and sharex in (True, "col"):
            axes[row, column].tick_params(labelbottom=False)
    _fix_type(axes)
    figure.set_layout_engine(_NarrowEngine(axes, lines))
    return figure, axes


def _fix_type(axes: Any) -> None:
    """Numbers on axes keep their size, whatever is drawn before they are asked for."""
    for axis in axes.flat:
        axis.tick_params(axis="x", labelsize=mpl.rcParams["xtick.labelsize"])
        axis.tick_params(axis="y", labelsize=mpl.rcParams["ytick.labelsize"])


class _NarrowEngine(ConstrainedLayoutEngine):
    """The layout of a narrow figure: what panels say is made to fit where they have come to."""

    def __init__(self, axes: Any, lines: int) -> None:
        super().__init__()
        self._axes, self._lines = axes, lines

    def execute(self, fig: Any) -> Any:
        columns = -(-self._axes.shape[1] // self._lines)
        _close_gaps(fig, self._axes)
        if self._lines > 1:
            _say_again(self._axes, columns)
        for place in range(columns):
            _label_once([axis for row in self._axes for axis in row[place::columns]])
        room = SVG_POINTS * NARROW_WIDTH
        for text in (fig._supxlabel, fig._suptitle):
            _wrap(text, room)
        for axis in self._axes.flat:
            _wrap(axis.xaxis.label, (room - NAMES_ROOM) / columns)
            _wrap(axis.title, (room - NAMES_ROOM) / columns / BOLD)
        found = super().execute(fig)
        for axis in fig.axes:
            if axis.get_visible() and axis.axison:
                _set_apart(axis)
        return found


def _close_gaps(figure: Figure, axes: Any) -> None:
    """Rows of which no panel is there take no room."""
    specs = {axis: axis.get_subplotspec() for axis in axes.flat}
    grid = next(iter(specs.values())).get_gridspec()
    seen = {spec.rowspan.start for axis, spec in specs.items() if axis.get_visible()}
    ratios = np.array(grid.get_height_ratios(), dtype=float)
    kept = np.where(np.isin(range(len(ratios)), list(seen)), ratios, NOTHING)
    grid.set_height_ratios(kept)
    panels = figure.get_figheight() - BELOW
    figure.set_figheight(BELOW + panels * kept.sum() / ratios.sum())


def _say_again(axes: Any, columns: int) -> None:
    """Panels that have left their row or column are given the words of its first."""
    for row in axes:
        for place, axis in enumerate(row):
            if not axis.get_title():
                axis.set_title(axes[0][place].get_title(), fontsize=axes[0][place].title.get_size())
            label = row[0].yaxis.label
            if place and not place % columns and not axis.get_ylabel():
                axis.set_ylabel(label.get_text(), size=label.get_size(), weight=label.get_weight())


def _label_once(column: Sequence[Axes]) -> None:
    """A label that all panels one below the other have stands under the last of them."""
    seen = [axis for axis in column if axis.get_visible() and axis.axison]
    for axis, below in itertools.pairwise(seen):
        if axis.get_xlabel() == below.get_xlabel():
            axis.set_xlabel("")


def _wrap(text: Text | None, room: float) -> None:
    if text is not None and text.get_text():
        letters = int(room / (EM * float(text.get_fontsize())))
        whole = " ".join(text.get_text().split())
        text.set_text("\n".join(_lines(whole, letters)))


def _set_apart(axis: Axes) -> None:
    """Leave out numbers under an axis until no two of them touch; 0 stays."""
    low, high = sorted(axis.get_xlim())
    # brings the ticks up to date, which another axis may have changed for all that share them
    axis.get_xticklabels()
    ticks = [t for t in axis.xaxis.get_major_ticks() if low <= t.get_loc() <= high]
    shown = [(t.get_loc(), t.label1) for t in ticks if t.label1.get_text()]
    shown.sort(key=lambda pair: pair[0])
    if len(shown) < 2 or shown[0][1].get_rotation() or not shown[0][1].get_visible():
        return
    boxes = [label.get_window_extent() for _, label in shown]
    places, names = zip(*((place, label.get_text()) for place, label in shown), strict=True)
    for step in range(1, len(shown) + 1):
        first = places.index(0) % step if 0 in places else 0
        kept = list(range(first, len(shown), step))
        pairs = itertools.pairwise(kept)
        if all(boxes[a].x1 + AIR <= boxes[b].x0 for a, b in pairs):
            break
    if step > 1:
        axis.set_xticks([places[i] for i in kept], labels=[names[i] for i in kept])


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure to ``path``: the same data give the same bytes, without a date.

    The layout is computed here, once: left to `savefig`, everything is drawn twice for it.
    """
    # the canvas measures text, and an SVG has 72 points an inch
    FigureCanvasSVG(figure)
    figure.dpi = SVG_POINTS
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)
    figure.savefig(path, format="svg", metadata={"Date": None})


def legend_below(
    figure: Figure,
    handles: Sequence[Any],
    labels: Sequence[str],
    *,
    title: str = "",
    columns: int = 5,
) -> None:
    """One legend for all facets, under them, in rows of ``columns``, or of fewer that fit."""
    count = most = min(len(labels), columns)
    if _narrow.get() and labels:
        size = float(Text(fontsize=mpl.rcParams["legend.fontsize"]).get_fontsize())
        widest = EM * size * max(map(len, labels)) + HANDLE
        count = max(1, min(most, int(SVG_POINTS * NARROW_WIDTH / widest)))
        further = -(-len(labels) // count) - -(-len(labels) // most)
        figure.set_figheight(figure.get_figheight() + LEGEND_LINE * further)
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=count,
        frameon=False,
        title=title,
    )


def name_rows(axis: Axes, names: Sequence[str], **options: Any) -> None:
    """The names of rows at 0, 1, ...: in a narrow column in lines, so that they leave room."""
    axis.set_yticks(range(len(names)), labels=list(map(_in_lines, names)), **options)


def row_inches(names: Sequence[str], inches: float) -> float:
    """Inches of a row with one of the ``names`` beside it: ``inches``, or what its lines need."""
    most = max((_in_lines(name).count("\n") + 1 for name in names), default=1)
    return max(by_width(1.0, LOWER) * inches, NAME_LINE * most + 0.04)


def _in_lines(name: str) -> str:
    return "\n".join(_lines(name, NAME)) if _narrow.get() else name


def _lines(text: str, letters: int) -> list[str]:
    return textwrap.wrap(text, letters, break_long_words=False, break_on_hyphens=False)


def thinned(values: Sequence[float], most: int = MOST_TICKS) -> list[int]:
    """Positions of at most ``most`` of the values, evenly spread, the first one among them.

    >>> thinned([1, 2, 3, 4, 5, 6, 7])
    [0, 2, 4, 6]
    """
    step = -(-len(values) // most)
    return list(range(0, len(values), step))


def panel_title(text: str, panels: int, letters: int = TITLES) -> str:
    """The title of one of so many ``panels`` in a row, in lines that do not reach the next one.

    >>> panel_title("MLP on Fashion-MNIST", 3), panel_title("MLP on Fashion-MNIST", 3, BESIDE)
    ('MLP on Fashion-MNIST', 'MLP on\\nFashion-MNIST')
    """
    return "\n".join(textwrap.wrap(text, letters // max(panels, 1), break_on_hyphens=False))


def _most_ticks(axis: Axes) -> int:
    spec = axis.get_subplotspec()
    beside = spec.get_gridspec().ncols if spec is not None else 1
    if _narrow.get():
        return NARROW_TICKS if beside == 1 else NARROW_TICKS - 1
    return NARROW_TICKS if beside > MOST_WIDE else MOST_TICKS


def value_ticks(axis: Axes, values: Sequence[float]) -> None:
    """Ticks at the sizes, gains or multiples that were run, written as plain numbers."""
    shown = list(values[:1])
    most = _most_ticks(axis)
    least = math.log(max(values) / min(values)) / (most - 1) if len(values) else 0.0
    for value in values[1:]:
        # values need not be evenly spread
        if math.log(value / shown[-1]) >= 0.999 * least:
            shown.append(value)
    axis.set_xticks(shown, labels=list(map(tick_text, shown)))
    axis.minorticks_off()


def rate_ticks(axis: Axes, rates: Sequence[float]) -> None:
    """Ticks at powers of ten within the learning rates that were run; where few, also at threes.

    Rates lie a half or a quarter of a decade apart: marks stand where they were run, and a reader
    counts in decades.
    """
    low, high = min(rates), max(rates)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    shown = [[step * 10.0**power for power in powers for step in steps] for steps in STEPS]
    within = [[tick for tick in found if low / 1.1 <= tick <= high * 1.1] for found in shown]
    # the rates themselves where they are too close for powers and threes
    fewest = min(len(rates), 2)
    chosen = next((found for found in within if len(found) > 2), within[1])
    chosen = chosen if len(chosen) >= fewest else list(rates)
    kept = [chosen[place] for place in thinned(chosen, _most_ticks(axis))]
    axis.set_xticks(kept, labels=list(map(tick_text, kept)))
    axis.minorticks_off()


def rate_places(rates: Sequence[float]) -> list[int]:
    """Positions of the rates to name along cells: all, or the powers of ten among them.

    >>> rate_places([0.01, 0.1, 1.0]), rate_places([10 ** (k / 2) for k in range(-3, 5)])
    ([0, 1, 2], [1, 3, 5, 7])
    """
    tens = [i for i, rate in enumerate(rates) if abs(math.remainder(math.log10(rate), 1)) < 1e-3]
    if len(rates) <= MOST_TICKS or len(tens) < 2:
        return thinned(rates, MOST_TICKS)
    return [tens[place] for place in thinned(tens, MOST_TICKS)]
