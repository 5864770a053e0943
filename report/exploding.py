"""When training explodes, and what gradients do before it: the explosion page."""

from __future__ import annotations

import pandas as pd

from benchmark.figures.phases import norms_at_onset, phase_diagram
from benchmark.statistics import proportion
from benchmark.statistics.onset import aligned_at_onset, growth_before_onset
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, number, phrase
from report.quantities import magnitude, unbroken
from report.remembering import once

EARLY = 10
"""Steps within which an explosion counts as early."""
WINDOW = 5
"""Checkpoints on either side of the first bad step that are drawn."""
GREW = 2.0
"""Times its first value by which a norm counts as having grown."""


@needs("explosion")
def answer(source: Evidence) -> str:
    """Which trials explode, how soon, and how many a NaN test would have missed."""
    frame = source.outcomes
    exploded = frame[frame["exploded"] == 1]
    if exploded.empty:
        return f"None of {prose.count(len(frame), 'trial')} exploded."
    missed = exploded["status"].ne("nonfinite")
    share, low, high = proportion(int(missed.sum()), len(exploded))
    bad = exploded["first_bad_step"].dropna().astype(float)
    early = (bad <= EARLY).mean()
    return (
        f"{prose.percent(len(exploded) / len(frame))} of {prose.count(len(frame), 'trial')} "
        f"exploded. The first bad step came at step {number(bad.median())} in the median, and "
        f"within the first {EARLY} steps in {prose.percent(early)} of them. **A test for numbers "
        f"that are not finite would have missed {prose.percent(share)} of the explosions** (95% "
        f"interval {prose.percent(low)} to {prose.percent(high)}): "
        f"{_endings(exploded)}. {_conditions(frame)}"
    )


def _endings(exploded: pd.DataFrame) -> str:
    counts = exploded["status"].value_counts()
    words = {
        "recovered": "came back and learned",
        "damaged": "left chance and did not learn",
        "collapsed": "fell to chance",
        "dead": "never learned, and ended there",
        "nonfinite": "ended in such numbers",
    }
    return prose.listing(
        f"{counts[status]:,} {verb}" for status, verb in words.items() if status in counts
    )


def _conditions(frame: pd.DataFrame) -> str:
    """What raises the share of explosions most, by each factor's extremes."""
    parts = []
    for factor in ("learning_rate", "init_gain", "depth"):
        shares = frame.groupby(factor)["exploded"].mean()
        if len(shares) > 1:
            label = "gain" if factor == "init_gain" else name(factor)
            parts.append(
                f"from {prose.percent(shares.iloc[0], 0)} at {label} {shares.index[0]:g} to "
                f"{prose.percent(shares.iloc[-1], 0)} at {shares.index[-1]:g}"
            )
    return f"The share of explosions goes {prose.listing(parts, ';')}." if parts else ""


@needs("explosion")
def diagram(source: Evidence, clipping: str) -> str:
    """Status over learning rate and gain with one clipping, by depth and normalization."""
    frame = source.outcomes
    rows = frame[frame["clipping"] == clipping]
    if rows.empty:
        return f"The study has no trial with {phrase('clipping', clipping)}."
    share = rows.groupby(["depth", "normalization"], sort=False)["exploded"].mean()
    inside = prose.count(int(rows.groupby("cell").size().median()), "seed")
    caption = (
        f"How trials end with {phrase('clipping', clipping)}, over learning rate and gain, by "
        f"depth (rows) and normalization (columns). Each cell is divided into the shares of its "
        f"trials ({inside}) by status."
    )
    alt = "Phase diagrams. Share of trials that explode: " + prose.listing(
        f"{int(depth)} layers with {phrase('normalization', level)} {prose.percent(value, 0)}"
        for (depth, level), value in share.items()
    )
    drawing = phase_diagram(rows, "init_gain", "depth", "normalization")
    return figure(source, f"phases-{clipping.replace('_', '-')}", drawing, caption, f"{alt}.")


@needs("explosion")
def other_clippings(source: Evidence) -> str:
    """How the share of explosions changes with each clipping, in words."""
    frame = source.outcomes
    shares = frame.groupby("clipping", sort=False)["exploded"].mean()
    if len(shares) < 2:
        return "The study has one clipping."
    parts = [f"{phrase('clipping', c)} {prose.percent(share)}" for c, share in shares.items()]
    return f"Share of trials that explode, by clipping: {prose.listing(parts)}."


@needs("explosion")
def boundary(source: Evidence) -> str:
    """Where explosion begins: the smallest rate at which half the trials explode."""
    frame = source.outcomes
    frame = frame[frame["clipping"] == "none"]
    if frame.empty:
        return "Every trial of this study clips its gradients."
    gains = sorted(frame["init_gain"].unique())
    out = []
    order = frame.sort_values("depth", kind="stable")
    order = order.assign(_first=order["normalization"].map(_places(frame["normalization"])))
    order = order.sort_values("_first", kind="stable")
    for (normalization, depth), group in order.groupby(["normalization", "depth"], sort=False):
        by_gain = dict(list(group.groupby("init_gain")))
        cells = [_first_rate(by_gain[gain]) if gain in by_gain else "–" for gain in gains]
        out.append((unbroken(normalization), int(depth), *cells))
    text = prose.table(
        pd.DataFrame(out, columns=["normalization", "depth", *(f"gain {g:g}" for g in gains)])
    )
    return (
        f"{text}\n\nSmallest learning rate of the grid at which at least half of the trials "
        "explode, without clipping; – where there is none."
    )


def _places(column: pd.Series) -> dict[object, int]:
    """Each level's place in the order of first appearance."""
    return {level: i for i, level in enumerate(column.unique())}


def _first_rate(rows: pd.DataFrame) -> str:
    shares = rows.groupby("learning_rate")["exploded"].mean()
    reached = shares[shares >= 0.5]
    return "–" if reached.empty else f"{reached.index[0]:g}"


@once
def ahead(source: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Checkpoints about the first bad step with how it ended, and the growth ahead of it."""
    aligned = aligned_at_onset(source.results.history, source.outcomes)
    columns = ["trial", "status", "normalization", "clipping"]
    growth = growth_before_onset(aligned).merge(source.outcomes[columns], on="trial")
    return aligned.merge(source.outcomes[columns], on="trial"), growth


@needs("explosion")
def before(source: Evidence) -> str:
    """Whether the gradient norm grows before the first bad step, in words."""
    aligned, growth = ahead(source)
    if growth.empty:
        return "No trial had a bad step."
    seen = growth.dropna(subset=["growth"])
    sudden = len(growth) - len(seen)
    text = (
        f"Of {prose.count(len(growth), 'trial')} with a bad step, {sudden:,} had it before the "
        f"third checkpoint, too early to see anything grow."
    )
    if seen.empty:
        return text
    finite = seen["growth"]
    grew = (finite >= GREW).mean()
    text += (
        f" In the {len(seen):,} others the largest norm in the last checkpoint ahead of it was "
        f"{magnitude(float(finite.median()))} times that of the first in the median (quarters "
        f"{magnitude(float(finite.quantile(0.25)))} and {magnitude(float(finite.quantile(0.75)))})"
        f"; in {prose.percent(grew)} of them it had at least doubled."
    )
    at = aligned[(aligned["offset"] == 0) & aligned["trial"].isin(seen["trial"])]["ratio"]
    return (
        f"{text} In the checkpoint of the bad step itself it was {magnitude(float(at.median()))} "
        "times the first in the median."
    )


@needs("explosion")
def onset_figure(source: Evidence) -> str:
    """Norms about the first bad step, by how the trial ended."""
    aligned, _ = ahead(source)
    if aligned.empty:
        return ""
    caption = (
        "Largest gradient norm since the checkpoint before, in the checkpoints about the first bad "
        "step (dotted), by how the trial ended: trials (thin) and their median (black). Triangles "
        "count the trials whose norm was not finite; a trial that is not finite is trained no "
        "further. Trials whose first bad step fell into the first checkpoint begin at the dotted "
        "line."
    )
    counts = aligned.drop_duplicates("trial")["status"].value_counts()
    alt = "Gradient norms aligned at the first bad step. Trials: " + prose.listing(
        f"{status} {count:,}" for status, count in counts.items()
    )
    drawing = norms_at_onset(aligned, WINDOW)
    return figure(source, "onset", drawing, caption, f"{alt}.", ("history", "trials"))


@needs("explosion")
def missed(source: Evidence) -> str:
    """How often a NaN test misses an explosion, by normalization and clipping."""
    frame = source.outcomes
    exploded = frame[frame["exploded"] == 1]
    if exploded.empty:
        return "No trial exploded, so there is nothing to miss."
    out = []
    for (normalization, clipping), rows in exploded.groupby(
        ["normalization", "clipping"], sort=False
    ):
        total = frame[frame["normalization"].eq(normalization) & frame["clipping"].eq(clipping)]
        count = int(rows["status"].ne("nonfinite").sum())
        share, low, high = proportion(count, len(rows))
        out.append(
            (
                name(normalization),
                name(clipping),
                f"{len(rows):,} of {len(total):,}",
                f"{count:,}",
                prose.percent(share),
                f"{prose.percent(low)} to {prose.percent(high)}",
            )
        )
    headings = ["normalization", "clipping", "exploded", "missed", "share", "95% interval"]
    return prose.table(pd.DataFrame(out, columns=headings))
