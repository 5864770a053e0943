"""Which learning rates train, and what widens their range: the page of rates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.figures.curves import ACCURACY, RATE, interval_lines
from benchmark.figures.spans import range_tests, sharpness_against_bound, span_chart
from benchmark.statistics import interval, mean, paired_comparison
from benchmark.statistics.spans import rate_spans
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, phrase
from report.quantities import rates, with_error
from report.remembering import once

RANGE_TEST = "range_test"
TWICE = ("normalization", "none")
"""The plain trial, which is a level of clipping too."""
NEAR = 0.5
"""Decades within which the rate of a range test counts as having found the grid's best."""
BASELINES = {"clipping": "none", "normalization": "none", "schedule": "constant"}
OTHERS = {
    "clipping": ("normalization", "schedule"),
    "normalization": ("clipping", "schedule"),
    "schedule": ("clipping", "normalization"),
}
"""What stays at its baseline while a factor is compared."""


@once
def compared(source: Evidence, factor: str) -> pd.DataFrame:
    """The trials that differ in ``factor`` alone, apart from rate and seed; the baseline first."""
    frame = source.outcomes
    frame = frame[frame["schedule"] != RANGE_TEST]
    for other in OTHERS[factor]:
        frame = frame[frame[other] == BASELINES[other]]
    first = frame[factor].ne(BASELINES[factor])
    return frame.assign(_first=first).sort_values("_first", kind="stable").drop(columns="_first")


@once
def spans(source: Evidence, factor: str, model: str) -> pd.DataFrame:
    """Stable range and sensitivity of every level of ``factor`` with one model."""
    rows = compared(source, factor)
    return rate_spans(rows[rows["model"] == model], [factor])


def models(source: Evidence) -> list[str]:
    """The networks of the study."""
    return [str(model) for model in source.outcomes["model"].unique()]


@needs("learning_rate")
def answer(source: Evidence) -> str:
    """Which level of each factor widens the range most."""
    sentences = []
    for factor in BASELINES:
        sentences += filter(None, (_widest(source, factor, model) for model in models(source)))
    if not sentences:
        return "The study has one level of every factor, so it compares none."
    return " ".join(sentences)


def _widest(source: Evidence, factor: str, model: str) -> str:
    rows = spans(source, factor, model)
    if len(rows) < 2 or rows.iloc[0][factor] != BASELINES[factor]:
        return ""
    base, others = rows.iloc[0], rows.iloc[1:]
    calm = others.sort_values("sensitivity").iloc[0]
    top = others.sort_values("decades").iloc[-1]
    baseline = "a constant rate" if factor == "schedule" else phrase(factor, base[factor])
    text = (
        f"With {baseline}{f' in the {name(model)}' if len(models(source)) > 1 else ''} the rates "
        f"within one point of the best span {base['decades']:.1f} decades "
        f"({rates(base['low_rate'], base['high_rate'])}); "
    )
    if top["decades"] > base["decades"]:
        text += (
            f"**{_level(factor, top[factor])}** has the widest range, {top['decades']:.1f} decades "
            f"({rates(top['low_rate'], top['high_rate'])})"
        )
    else:
        text += f"no other {name(factor)} has a wider range"
    if calm["sensitivity"] < base["sensitivity"]:
        return (
            f"{text}, and {_level(factor, calm[factor])} is least sensitive to the rate "
            f"({calm['sensitivity']:.2f} against {base['sensitivity']:.2f} nats)."
        )
    return f"{text} or is less sensitive to the rate ({base['sensitivity']:.2f} nats)."


def _level(factor: str, level: object) -> str:
    return f"the {name(level)} schedule" if factor == "schedule" else phrase(factor, level)


@needs("learning_rate")
def chart(source: Evidence, factor: str) -> str:
    """Stable range and sensitivity by ``factor``, a figure for each model."""
    blocks = []
    for model in models(source):
        rows = spans(source, factor, model)
        if len(rows) < 2:
            continue
        run = sorted(compared(source, factor)["learning_rate"].unique())
        caption = (
            f"Left: learning rates within one point of the best validation accuracy (bar) and the "
            f"best (marker), by {name(factor)}, {name(model)}. Middle: decades that they span. "
            "Right: sensitivity, the mean over all rates of the loss capped at its initial value, "
            "minus the best. Bars are 95% bootstrap intervals over seeds; dotted: "
            f"{_level(factor, rows.iloc[0][factor])}."
        )
        alt = "Stable ranges. " + "; ".join(
            f"{name(r[factor])} {rates(r['low_rate'], r['high_rate'])}, sensitivity "
            f"{r['sensitivity']:.2f} nats"
            for r in rows.to_dict("records")
        )
        drawing = span_chart(rows, factor, run)
        blocks.append(figure(source, f"range-{factor}-{model}", drawing, caption, f"{alt}."))
    return "\n\n".join(blocks) or f"The study has one {name(factor)} only."


@needs("learning_rate")
def table(source: Evidence) -> str:
    """Ranges and sensitivities with their intervals."""
    out = []
    for factor in BASELINES:
        for model in models(source):
            for row in spans(source, factor, model).to_dict("records"):
                decades = (row[f"decades{end}"] for end in ("", "_low", "_high"))
                nats = (row[f"sensitivity{end}"] for end in ("", "_low", "_high"))
                cells = (rates(row["low_rate"], row["high_rate"]), f"{row['best_rate']:g}")
                level = f"{name(factor)}: {name(row[factor])}"
                out.append((level, name(model), *cells, with_error(*decades), with_error(*nats)))
    headings = ["", "model", "within 1 point", "best", "decades", "sensitivity (nats)"]
    return prose.table(pd.DataFrame(out, columns=headings).drop_duplicates())


@once
def range_test_rows(source: Evidence, factor: str) -> pd.DataFrame:
    """History of the range tests that differ in ``factor`` alone; empty without any."""
    frame = source.outcomes
    tests = frame[frame["schedule"] == RANGE_TEST]
    for other in OTHERS[factor]:
        if other != "schedule":
            tests = tests[tests[other] == BASELINES[other]]
    rows = source.results.history.merge(tests[["trial", "model", factor]], on="trial")
    return rows[rows["step"] > 0]


@needs("learning_rate")
def range_test_figure(source: Evidence, factor: str) -> str:
    """Loss against rate within a run of rising rate, by ``factor``."""
    rows = range_test_rows(source, factor)
    if rows.empty:
        return "The study has no range test."
    turning = _turning(rows, factor)
    caption = (
        f"Range tests by {name(factor)}: the learning rate rises through six decades within one "
        "run. Lines are the mean training loss since the checkpoint before, medians over seeds, "
        "cut at ten times the first; a triangle at the upper edge marks the rate at which a loss "
        "first was not finite."
    )
    alt = "Loss against rate. Rate of the least loss: " + prose.listing(
        f"{name(level)} {rate:.2g}" for level, rate in turning.items()
    )
    drawing = range_tests(rows, factor)
    return figure(
        source, f"range-test-{factor}", drawing, caption, f"{alt}.", ("history", "trials")
    )


def _turning(rows: pd.DataFrame, factor: str) -> pd.Series:
    """Rate at which each level's median loss is least."""
    finite = rows[np.isfinite(rows["train_loss"].astype(float))]
    losses = finite.groupby([factor, "learning_rate"], sort=False)["train_loss"].median()
    least = losses.reset_index().sort_values("train_loss", kind="stable")
    return least.drop_duplicates(factor).set_index(factor)["learning_rate"]


@needs("learning_rate")
def range_test_rule(source: Evidence) -> str:
    """Whether the range test finds the rate that the grid finds."""
    model = models(source)[0]
    ratios = []
    for factor in ("clipping", "normalization"):
        rows = range_test_rows(source, factor)
        turning = _turning(rows[rows["model"] == model], factor)
        best = spans(source, factor, model).set_index(factor)["best_rate"]
        # no clipping and no normalization are one and the same
        both = [lv for lv in turning.index if lv in best.index and (factor, lv) != TWICE]
        ratios += [turning[level] / best[level] for level in both]
    if not ratios:
        return ""
    near = int((np.abs(np.log10(ratios)) <= NEAR).sum())
    return (
        "The rate at which a range test's loss is least lies within half a decade of the best rate "
        f"of the grid for {near} of the {len(ratios)} strategies tried; in the median it is "
        f"{float(np.median(ratios)):.2g} times that ({name(model)})."
    )


@needs("learning_rate")
def schedule_figure(source: Evidence) -> str:
    """Accuracy against rate by schedule."""
    frame = source.outcomes
    rows = frame[(frame["schedule"] != RANGE_TEST) & (frame["clipping"] == "none")]
    rows = rows[rows["normalization"].isin(["none", "batch"])]
    if rows["schedule"].nunique() < 2:
        return "The study has one schedule only."
    several = rows["model"].nunique() > 1
    shown = [
        (f"{name(m)}, " if several else "") + phrase("normalization", n)
        for m, n in zip(rows["model"], rows["normalization"], strict=True)
    ]
    rows = rows.assign(panel=shown)
    summary = interval(rows, "accuracy", ["panel", "schedule", "learning_rate"], statistic=mean)
    best = summary.sort_values("estimate").drop_duplicates(["panel", "schedule"], keep="last")
    alt = "Accuracy against rate. Best rates: " + prose.listing(
        f"{r['panel']}, {name(r['schedule'])} {r['learning_rate']:g}"
        for r in best.to_dict("records")
    )
    caption = (
        "Test accuracy against the learning rate (the largest of a schedule), by schedule. Points "
        "are means over seeds, bars 95% bootstrap intervals; dotted: chance."
    )
    chance = 100 / float(rows["classes"].iloc[0])
    drawing = interval_lines(summary, RATE, ACCURACY, "schedule", "panel", chance)
    return figure(source, "schedules", drawing, caption, f"{alt}.")


@needs("learning_rate")
def schedules(source: Evidence) -> str:
    """Every schedule against the constant rate: explosions and accuracy over all rates."""
    rows = compared(source, "schedule")
    columns = {}
    for value, label in (("exploded", "explosions (points)"), ("accuracy", "accuracy (points)")):
        found = paired_comparison(rows, "schedule", "constant", value)
        columns["schedule"] = found["level"].map(name)
        columns["pairs"] = found["pairs"]
        columns[label] = found["effect"].map(prose.signed)
        columns[f"95% interval{' ' * (value == 'accuracy')}"] = prose.intervals(found)
    if not len(columns["schedule"]):
        return "The study has one schedule only."
    return (
        "Each schedule against the constant rate, over all rates, without clipping and "
        f"normalization:\n\n{prose.table(pd.DataFrame(columns))}"
    )


@once
def edges(source: Evidence) -> pd.DataFrame:
    """History of plain trials with sharpness, and ``edge`` = sharpness times rate / 2."""
    frame = compared(source, "normalization")
    frame = frame[frame["normalization"].isin(["none", "batch"]) & (frame["optimizer"] == "sgd")]
    columns = {"learning_rate": "rate", "normalization": "normalization", "status": "status"}
    chosen = frame[["trial", *columns]].rename(columns=columns)
    rows = source.results.history.merge(chosen, on="trial")
    sharpness = rows["sharpness"].astype(float)
    rows = rows.assign(edge=sharpness * rows["rate"] / 2)
    return rows[np.isfinite(rows["edge"]) & (rows["edge"] > 0)]


@needs("learning_rate")
def edge_sentences(source: Evidence) -> str:
    """How sharpness at the end compares with 2 / eta."""
    rows = edges(source)
    if rows.empty:
        return "The study has not measured the sharpness."
    last = (
        rows[rows["status"] == "stable"].sort_values("step").drop_duplicates("trial", keep="last")
    )
    first = rows[rows["step"] == 0]
    lines = []
    for level, part in last.groupby("normalization", sort=False):
        above = (part["edge"] > 1).mean()
        start = first[first["normalization"] == level]
        over = start.groupby("rate")["edge"].median()
        over = over[over > 1]
        lines.append(
            f"With {phrase('normalization', level)}, the sharpness of stable trials ends at "
            f"{part['edge'].median():.2f} times 2 / η in the median, above it in "
            f"{prose.percent(above)} of {prose.count(len(part), 'trial')}"
            + (
                f"; at initialization it is above from the rate {over.index[0]:g} on."
                if len(over)
                else "."
            )
        )
    return " ".join(lines) or "No trial was stable to the end."


@needs("learning_rate")
def edge_figure(source: Evidence) -> str:
    """Sharpness over training against the bound."""
    rows = edges(source)
    if rows.empty:
        return ""
    caption = (
        "The Hessian's largest eigenvalue times η / 2 over training, at a constant rate without "
        "clipping, by learning rate: medians over seeds, bands from the least to the greatest. At "
        "1 (dotted) gradient descent on a quadratic of that curvature would diverge."
    )
    ends = rows.sort_values("step").drop_duplicates("trial", keep="last")
    ends = ends.groupby(["normalization", "rate"], sort=False)["edge"].median()
    alt = "Sharpness times rate over 2. Last values: " + prose.listing(
        f"{phrase('normalization', level)} at {rate:g} {value:.2g}"
        for (level, rate), value in ends.items()
    )
    drawing = sharpness_against_bound(rows, "normalization")
    return figure(source, "sharpness", drawing, caption, f"{alt}.", ("history", "trials"))
