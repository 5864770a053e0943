"""Axes that a few outliers do not stretch, and lines that do not hide each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from benchmark.figures.style import tick_text

FENCE = 3.0
"""Interquartile ranges beyond the quartiles from which a value is an outlier (Tukey's fence)."""
WORTH = 6.0
"""Times by which leaving outliers out must shorten an axis to be done at all."""
DECADES = 5.0
"""Decades from the median at which a logarithmic axis of norms ends."""
REACH, TIMES = 10.0, 3.0
"""Points of accuracy, and times the median effect, beyond both of which an effect is off scale."""
SPREAD = 0.5
"""Of the distance between neighbours on an axis, over which the levels at one place are spread."""
SQUEEZED, SHADE = 0.25, "#EFEFEF"
"""What lies beyond an axis's middle at either side, of its height; and the colour behind that."""
STEP = 1.12
"""Largest factor between two levels at one place of a logarithmic axis."""


def robust_limits(values: Iterable[float]) -> tuple[float, float]:
    """The least and the greatest value that are no outliers.

    Values beyond Tukey's outer fences are left out, where that makes the axis at least six
    times as short; whoever draws marks them at the edge.

    >>> robust_limits([-31.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    (-2.0, 3.0)
    >>> robust_limits([0.0, 1.0])
    (0.0, 1.0)
    """
    found = np.asarray(list(values), dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return 0.0, 1.0
    first, third = np.quantile(found, (0.25, 0.75))
    reach = FENCE * (third - first)
    within = found[(found >= first - reach) & (found <= third + reach)]
    shorter = np.ptp(found) > WORTH * np.ptp(within) > 0
    kept = within if shorter else found
    return float(kept.min()), float(kept.max())


def reach_of(effects: Iterable[float], least: float = REACH) -> float:
    """How far from zero an axis of effects in percentage points reaches; arrows mark those beyond.

    ``least`` points, or three times the median size where that is more.

    >>> reach_of([-60.0, 0.0, 4.0]), reach_of([8.0, 20.0, 30.0]), reach_of([])
    (12.0, 60.0, 10.0)
    """
    sizes = np.abs(np.asarray(list(effects), dtype=float))
    sizes = sizes[np.isfinite(sizes)]
    return max(least, TIMES * float(np.median(sizes))) if len(sizes) else least


def limits_of_norms(norms: Iterable[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis of norms: the extremes, at most five decades from the median.

    >>> limits_of_norms([0.5, 1.0, 1.0, 1e19])
    (0.5, 100000.0)
    """
    found = np.asarray(list(norms), dtype=float)
    found = found[np.isfinite(found) & (found > 0)]
    if not len(found):
        return 0.1, 1.0
    middle, reach = float(np.median(found)), 10**DECADES
    return max(float(found.min()), middle / reach), min(float(found.max()), middle * reach)


def dodge(values: Sequence[float], count: int) -> list[float]:
    """Factors that set ``count`` levels apart at each of ``values`` on a logarithmic axis.

    No level comes nearer to the next value than to its own.

    >>> [round(factor, 3) for factor in dodge([0.1, 1.0], 3)]
    [0.893, 1.0, 1.12]
    """
    distinct = np.unique(np.asarray(values, dtype=float))
    near = float((distinct[1:] / distinct[:-1]).min()) if len(distinct) > 1 else 10.0
    step = min(STEP, near ** (SPREAD / max(count, 1)))
    return [float(step ** (place - (count - 1) / 2)) for place in range(count)]


def squeeze(
    axis: Axes, low: float, high: float, ends: tuple[float, float], share: float = SQUEEZED
) -> None:
    """Give most of the height of ``axis`` to what lies from ``low`` to ``high``.

    What lies beyond them, as far as ``ends``, has at either side ``share`` of their height, grey
    behind: a line that falls from 85 to 10 leaves room for a difference of one. Axes that share
    this one's vertical axis are squeezed with it; the grey is this one's.

    >>> from matplotlib.figure import Figure
    >>> axis = Figure().subplots()
    >>> squeeze(axis, 75.0, 90.0, (0.0, 90.0))
    >>> heights = axis.transData.transform([(0, 0), (0, 75), (0, 90)])[:, 1]
    >>> round(float((heights[1] - heights[0]) / (heights[2] - heights[1])), 3)
    0.25
    """
    room = share * (high - low)
    below, above = (
        room / beyond if beyond > 0 else 1.0 for beyond in (low - ends[0], ends[1] - high)
    )

    def squeezed(values: np.ndarray) -> np.ndarray:
        within = np.clip(values, low, high)
        return np.asarray(
            within + np.minimum(values - low, 0) * below + np.maximum(values - high, 0) * above
        )

    def spread(heights: np.ndarray) -> np.ndarray:
        within = np.clip(heights, low, high)
        return np.asarray(
            within + np.minimum(heights - low, 0) / below + np.maximum(heights - high, 0) / above
        )

    axis.set_yscale("function", functions=(squeezed, spread))
    axis.set_ylim(*ends)
    inner = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    outer = [(low + ends[0]) / 2, ends[0]] if ends[0] < low else []
    outer += [(high + ends[1]) / 2, ends[1]] if ends[1] > high else []
    axis.yaxis.set_major_locator(FixedLocator(sorted([*inner, *outer])))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    shade(axis, low, high, ends)


def shade(axis: Axes, low: float, high: float, ends: tuple[float, float]) -> None:
    """The grey behind what `squeeze` squeezes."""
    for edges in ((ends[0], low), (high, ends[1])):
        if edges[0] < edges[1]:
            axis.axhspan(*edges, color=SHADE, zorder=0, linewidth=0)


def mark_off_scale(
    axis: Axes,
    value: float,
    place: float,
    edge: float,
    *,
    right: bool,
    colour: str,
) -> None:
    """An arrow at the ``edge`` of an axis for a ``value`` beyond it, and the number inside.

    At the height ``place``; the edge is the ``right`` or the left one.
    """
    axis.plot(edge, place, ">" if right else "<", color=colour, markersize=5, zorder=4)
    axis.annotate(
        signed_number(value),
        (edge, place),
        xytext=(-6 if right else 6, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="center",
        fontsize=7.5,
    )


def signed_number(value: float) -> str:
    """A number beside its mark: its sign, and a decimal where it is below ten.

    >>> signed_number(-31.2), signed_number(1.25), signed_number(-0.01)
    ('−31', '+1.2', '0.0')
    """
    text = f"{value:+.0f}" if abs(value) >= 9.95 else f"{value:+.1f}"
    return text.replace("-", "−") if text.strip("+-0.") else "0.0"
