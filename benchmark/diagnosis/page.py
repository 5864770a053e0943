"""A diagnosis as one web page that asks nothing of the network: text, and the two curves as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from benchmark.diagnosis.advice import advice, suggested
from benchmark.diagnosis.columns import Series
from benchmark.diagnosis.finding import Diagnosis
from benchmark.diagnosis.telling import facts, rows

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 900, 260, 70, 34, 14
MOST = 600
"""Pieces into which a longer curve is cut, each drawn by its lowest and its highest value."""

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #0072b2; --bad: #d55e00;
  --faint: #ccc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --paper: #161616; --line: #56b4e9; --bad: #e69f00; --faint: #444; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; }
dt { font-weight: 600; } dd { margin: 0; }
svg { width: 100%; height: auto; } svg text { font-size: 13px; fill: var(--ink); }
.curve { fill: none; stroke: var(--line); stroke-width: 1.5; }
.bad { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 4; } text.bad { stroke: none;
  fill: var(--bad); }
.grid { stroke: var(--faint); } .not-finite { fill: var(--bad); }
figure { margin: 1.5rem 0; } figcaption { font-size: .9rem; }
"""


def page(name: str, kind: str, found: Diagnosis) -> str:
    """The page about the log ``name``; what comes from the log is escaped."""
    items = "\n".join(f"<dt>{escape(h)}</dt><dd>{escape(text)}</dd>" for h, text in facts(found))
    marks = [
        (found.first_bad_step, "first bad step"),
        (_end(found), "the end"),
        (found.lost_step, "alarm"),
    ]
    known = [(step, word) for step, word in marks if step is not None]
    curves = [_figure(found.log.loss, "loss", known, found.level)]
    if found.log.norm is not None:
        level = suggested(found) if advice(found).clips else None
        curves.append(_figure(found.log.norm, "gradient norm", known, level))
    title = escape(f"Diagnosis of {name}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f"<p>{escape(kind)}: {escape(rows(found))}</p>\n<dl>\n{items}\n</dl>\n"
        + "\n".join(curves)
        + "\n</body>\n</html>\n"
    )


def _end(found: Diagnosis) -> int | None:
    """Where the end began, where that is not the first bad step itself."""
    return None if found.fatal_step == found.first_bad_step else found.fatal_step


def _figure(
    series: Series, what: str, marks: Sequence[tuple[int, str]], level: float | None
) -> str:
    """A curve of one column against the step, on a logarithmic axis."""
    finite = np.isfinite(series.values)
    drawn = finite & (series.values > 0)
    if not drawn.any():
        return f"<p>No {what} is finite and above zero: there is nothing to draw.</p>"
    steps, values = series.steps[drawn], np.log10(series.values[drawn])
    low, high = math.floor(values.min()), math.ceil(values.max())
    high = max(high, low + 1)
    begin, end = int(series.steps[0]), max(int(series.steps[-1]), int(series.steps[0]) + 1)

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - 10) * (float(step) - begin) / (end - begin)

    def y(power: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - power) / (high - low)

    floor = HEIGHT - BOTTOM
    parts = []
    for power in _ticks(low, high):
        parts.append(f'<path class="grid" d="M{LEFT} {y(power):.1f}H{WIDTH - 10}"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y(power) + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
        )
    for step, side in ((begin, "start"), ((begin + end) // 2, "middle"), (end, "end")):
        parts.append(
            f'<text x="{x(step):.1f}" y="{floor + 18}" text-anchor="{side}">{step:,}</text>'
        )
    points = " ".join(
        f"{x(s):.1f},{y(v):.1f}" for s, v in zip(*thinned(steps, values), strict=True)
    )
    parts.append(f'<polyline class="curve" points="{points}"/>')
    if level is not None and level > 0 and low <= math.log10(level) <= high:
        parts.append(f'<path class="bad" d="M{LEFT} {y(math.log10(level)):.1f}H{WIDTH - 10}"/>')
    for i, (step, word) in enumerate(marks):
        parts.append(f'<path class="bad" d="M{x(step):.1f} {TOP}V{floor}"/>')
        side = "end" if x(step) > WIDTH / 2 else "start"
        parts.append(
            f'<text class="bad" x="{x(step) + (-5 if side == "end" else 5):.1f}" '
            f'y="{TOP + 12 + 16 * i}" text-anchor="{side}">{word} {step:,}</text>'
        )
    for step in series.steps[~finite][:MOST]:
        parts.append(f'<circle class="not-finite" cx="{x(step):.1f}" cy="{TOP}" r="4"/>')
    said = f"{what} against the step, from {10.0 ** values[0]:.3g} to {10.0 ** values[-1]:.3g}"
    dashed = "spike level" if what == "loss" else "threshold to try"
    caption = f"{what.capitalize()} ({escape(series.name)}) against the step; dashed: {dashed}"
    caption += " and marked steps; dots: not finite." if (~finite).any() else " and marked steps."
    return (
        f'<figure>\n<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(said)}">\n'
        + "\n".join(parts)
        + f"\n</svg>\n<figcaption>{caption}</figcaption>\n</figure>"
    )


def _ticks(low: int, high: int) -> range:
    return range(low, high + 1, max(1, math.ceil((high - low) / 6)))


def thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most two points of each of `MOST` pieces, the lowest and the highest, in their order."""
    if len(steps) <= 2 * MOST:
        return steps, values
    kept: list[int] = []
    for piece in np.array_split(np.arange(len(steps)), MOST):
        ends = {int(piece[values[piece].argmin()]), int(piece[values[piece].argmax()])}
        kept += sorted(ends)
    return steps[kept], values[kept]
