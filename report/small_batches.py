"""Who degrades at small batches, and who extends the range of rates: the page of small batches."""

from __future__ import annotations

import pandas as pd

from benchmark.figures.curves import ACCURACY, BATCH_SIZE, Measure, interval_lines
from benchmark.figures.spans import span_chart
from benchmark.statistics import best_per_arm, interval, mean, paired_comparison
from benchmark.statistics.spans import rate_spans
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, phrase
from report.quantities import rates, unbroken
from report.remembering import once

ARM = ["model", "normalization", "batch_size"]
DIFFERENCE = Measure("effect", "difference (points)", factor=100)


@once
def at_best_rate(source: Evidence) -> pd.DataFrame:
    """Every network, normalization and batch size at the rate that validation chooses for it."""
    return best_per_arm(source.outcomes, ARM)


@once
def against_none(source: Evidence) -> pd.DataFrame:
    """Each normalization against none at every batch size, paired by seed, at the best rates.

    The columns of `paired_comparison`, with ``model`` and ``batch_size``.
    """
    parts = []
    best = at_best_rate(source)
    for (model, size), rows in best.sort_values("batch_size", kind="stable").groupby(
        ["model", "batch_size"], sort=False
    ):
        found = paired_comparison(rows, "normalization", "none", ignore=["learning_rate"])
        parts.append(found.assign(model=model, batch_size=size))
    if not parts:
        return pd.DataFrame()
    return pd.concat(parts, ignore_index=True)


@needs("normalization")
def answer(source: Evidence) -> str:
    """Who loses at the smallest batch what it gains at the largest."""
    compared = against_none(source)
    if compared.empty:
        return "The study has no trial to set beside no normalization."
    return " ".join(
        _of_model(str(model), rows) for model, rows in compared.groupby("model", sort=False)
    )


def _of_model(model: str, rows: pd.DataFrame) -> str:
    sizes = sorted(rows["batch_size"].unique())
    small, large = (rows[rows["batch_size"] == size] for size in (sizes[0], sizes[-1]))
    worse = small[small["high"] < 0].sort_values("effect")
    better = large[large["low"] > 0].sort_values("effect", ascending=False)
    text = f"In the {name(model)}, measurably below no normalization at batches of {sizes[0]}: "
    text += prose.listing(map(_effect, worse.to_dict("records"))) or "nothing"
    if len(sizes) > 1:
        text += f"; above it at batches of {sizes[-1]}: "
        text += prose.listing(map(_effect, better.to_dict("records"))) or "nothing"
    fallen = sorted(set(worse["level"]) & set(better["level"]))
    if fallen:
        levels = prose.listing(phrase("normalization", level) for level in fallen)
        lose, gain = ("loses", "it gains") if len(fallen) == 1 else ("lose", "they gain")
        text += f". **{prose.opening(levels)}** {lose} with small batches what {gain} with large"
    return f"{text}."


def _effect(row: prose.Row) -> str:
    return f"{phrase('normalization', row['level'])} ({prose.points(row['effect'])})"


@needs("normalization")
def accuracy_figure(source: Evidence) -> str:
    """Accuracy against batch size by normalization, at the best rates."""
    best = at_best_rate(source)
    summary = interval(best, "accuracy", ARM, statistic=mean)
    smallest = summary[summary["batch_size"] == summary["batch_size"].min()]
    alt = "Accuracy against batch size. At the smallest: " + prose.listing(
        f"{name(r['model'])} with {phrase('normalization', r['normalization'])} "
        f"{prose.percent(r['estimate'])}"
        for r in smallest.to_dict("records")
    )
    caption = (
        "Test accuracy against batch size by normalization, each at the learning rate that "
        "validation chooses for it at that size. Points are means over seeds, bars 95% bootstrap "
        "intervals. All trials see the same number of examples, so small batches make more updates."
    )
    drawing = interval_lines(summary, BATCH_SIZE, ACCURACY, "normalization", "model")
    return figure(source, "small-batches", drawing, caption, f"{alt}.")


@needs("normalization")
def difference_figure(source: Evidence) -> str:
    """Paired differences from no normalization, by batch size."""
    rows = against_none(source)
    if rows.empty:
        return ""
    summary = rows.rename(columns={"effect": "estimate", "level": "normalization"})
    worst = rows.sort_values("effect").iloc[0]
    alt = (
        f"Differences from no normalization by batch size. The lowest: {name(worst['model'])} with "
        f"{phrase('normalization', worst['level'])} at {int(worst['batch_size'])}, "
        f"{prose.points(worst['effect'])}."
    )
    caption = (
        "Difference in test accuracy from no normalization at the same batch size, paired by "
        "seed, each at its best learning rate; bars are 95% bootstrap intervals."
    )
    drawing = interval_lines(summary, BATCH_SIZE, DIFFERENCE, "normalization", "model", 0.0)
    return figure(source, "small-batches-difference", drawing, caption, alt)


@needs("normalization")
def range_figure(source: Evidence) -> str:
    """Stable range and sensitivity by normalization, a figure for each model."""
    frame = source.outcomes
    blocks = []
    for model, rows in frame.groupby("model", sort=False):
        spans = rate_spans(rows, ["normalization"])
        if len(spans) < 2:
            continue
        caption = (
            f"Left: learning rates within one point of the best validation accuracy (bar) and the "
            f"best (marker), {name(model)}, over all batch sizes. Middle: decades that they span. "
            "Right: sensitivity to the rate. Bars are 95% bootstrap intervals over seeds."
        )
        alt = "Stable ranges. " + "; ".join(
            f"{name(r['normalization'])} {rates(r['low_rate'], r['high_rate'])}, sensitivity "
            f"{r['sensitivity']:.2f} nats"
            for r in spans.to_dict("records")
        )
        drawing = span_chart(spans, "normalization", sorted(rows["learning_rate"].unique()))
        blocks.append(figure(source, f"batch-ranges-{model}", drawing, caption, f"{alt}."))
    return "\n\n".join(blocks) or "The study has one normalization only."


@needs("normalization")
def table(source: Evidence) -> str:
    """Best rate and accuracy of every normalization at every batch size."""
    best = at_best_rate(source)
    sizes = sorted(best["batch_size"].unique())
    means = best.groupby(ARM, sort=False)[["accuracy", "learning_rate"]].mean()
    out = []
    for (model, normalization), _ in best.groupby(ARM[:2], sort=False):
        cells = []
        for size in sizes:
            key = (model, normalization, size)
            if key not in means.index:
                cells.append("–")
                continue
            row = means.loc[key]
            cells.append(f"{100 * row['accuracy']:.1f}\N{NO-BREAK SPACE}({row['learning_rate']:g})")
        out.append((unbroken(model), unbroken(normalization), *cells))
    headings = ["model", "normalization", *(f"B = {size}" for size in sizes)]
    return (
        f"{prose.table(pd.DataFrame(out, columns=headings))}\n\nTest accuracy (%) by batch size, "
        "and in brackets the learning rate that validation chooses; – where the pair is impossible."
    )


@needs("normalization")
def skipped(source: Evidence) -> str:
    """Pairs that are not defined, with their reasons."""
    trials = source.results.trials
    rows = trials[trials["status"] == "skipped"]
    if rows.empty:
        return "No pair of this study is impossible."
    groups = rows.groupby(["model", "normalization", "status_reason"], sort=False)
    shown = pd.DataFrame(
        [
            (name(model), name(normalization), str(reason), f"{len(part):,}")
            for (model, normalization, reason), part in groups
        ],
        columns=["model", "normalization", "reason", "trials"],
    )
    return f"Pairs that cannot be trained are rows with a reason:\n\n{prose.table(shown)}"
