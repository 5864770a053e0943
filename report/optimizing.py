"""Do better optimizers, more epochs and guards make training safer: the page of optimizers."""

from __future__ import annotations

import pandas as pd

from benchmark.figures.curves import ACCURACY, EXPLODED, RATE, interval_lines
from benchmark.figures.effects import effect_rows
from benchmark.statistics import best_per_arm, interval, mean, paired_comparison, stable_range
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, phrase
from report.quantities import rates, unbroken
from report.remembering import once

GUARDS = ("skip_step", "global_norm")


def bare(source: Evidence) -> pd.DataFrame:
    """Trials without a guard, at a constant rate."""
    frame = source.outcomes
    return frame[(frame["clipping"] == "none") & (frame["schedule"] == "constant")]


@needs("optimizers")
def answer(source: Evidence) -> str:
    """Which optimizer explodes least, and what guards, epochs and schedules do to that."""
    return " ".join(filter(None, (_optimizers(source), _safety(source))))


def _optimizers(source: Evidence) -> str:
    rows = bare(source)
    shares = rows.groupby("optimizer", sort=False)["exploded"].mean().sort_values()
    if len(shares) < 2:
        return ""
    best = best_per_arm(rows, ["model", "optimizer", "epochs"])
    accuracy = best.groupby("optimizer", sort=False)["accuracy"].mean().sort_values()
    return (
        f"Over all learning rates and without a guard, {name(shares.index[0])} explodes least "
        f"({prose.percent(shares.iloc[0])} of its trials) and {name(shares.index[-1])} most "
        f"({prose.percent(shares.iloc[-1])}); each at its best rate, "
        f"**{name(accuracy.index[-1])}** is the most accurate ({prose.percent(accuracy.iloc[-1])}) "
        f"and {name(accuracy.index[0])} the least ({prose.percent(accuracy.iloc[0])})."
    )


def _safety(source: Evidence) -> str:
    """What everything else does to the share of explosions, in one sentence."""
    parts = [
        f"{phrase('clipping', row['level'])} by {_points(row)}"
        for row in guard_effects(source, "exploded").to_dict("records")
    ]
    if (row := longer(source, "exploded")) is not None:
        parts.append(f"{row['level']:g} epochs in place of {row['baseline']:g} by {_points(row)}")
    parts += [
        f"the {name(row['level'])} schedule by {_points(row)}"
        for row in paired_comparison(source.outcomes, "schedule", "constant", "exploded").to_dict(
            "records"
        )
    ]
    text = f"The share of explosions is changed: {prose.listing(parts, ';')}." if parts else ""
    if (row := longer(source, "accuracy")) is not None:
        text += f" The longer budget {prose.change(row, 'test accuracy')}."
    return text


def _points(row: prose.Row) -> str:
    return f"{prose.points(row['effect'])} ({prose.spread(row['low'], row['high'])})"


@once
def guard_effects(source: Evidence, value: str) -> pd.DataFrame:
    """Each guard against no clipping, all optimizers together: `paired_comparison`."""
    return paired_comparison(source.outcomes, "clipping", "none", value)


@once
def longer(source: Evidence, value: str) -> prose.Row | None:
    """The longest budget against the shortest, paired; None where there is one."""
    frame = source.outcomes
    budgets = sorted(frame["epochs"].unique())
    if len(budgets) < 2:
        return None
    ends = frame[frame["epochs"].isin([budgets[0], budgets[-1]])]
    rows = paired_comparison(ends, "epochs", budgets[0], value)
    return rows.iloc[0].to_dict() if len(rows) else None


def _facets(rows: pd.DataFrame) -> pd.DataFrame:
    """A facet for each budget, and for each model where there are several."""
    several = rows["model"].nunique() > 1
    labels = [
        (f"{name(model)}, " if several else "") + f"{epochs:g} epochs"
        for model, epochs in zip(rows["model"], rows["epochs"], strict=True)
    ]
    return rows.assign(panel=labels)


@needs("optimizers")
def rate_figure(source: Evidence, value: str) -> str:
    """Accuracy, or the share of explosions, against rate by optimizer."""
    measure = {"accuracy": ACCURACY, "exploded": EXPLODED}[value]
    rows = bare(source)
    if rows.empty:
        return "The study has no trial without a guard at a constant rate."
    rows = _facets(rows)
    summary = interval(rows, value, ["panel", "optimizer", "learning_rate"], statistic=mean)
    what = "Test accuracy" if value == "accuracy" else "Share of trials that explode"
    caption = (
        f"{what} against the learning rate by optimizer, without a guard and at a constant rate. "
        "Points are means over seeds, bars 95% bootstrap intervals"
        + ("; dotted: chance." if value == "accuracy" else ".")
    )
    if value == "accuracy":
        ranges = stable_range(rows, ["optimizer"]).to_dict("records")
        alt = "Accuracy against rate. Rates within one point of the best: " + prose.listing(
            f"{name(r['optimizer'])} {rates(r['low_rate'], r['high_rate'])}" for r in ranges
        )
        reference = 100 / float(rows["classes"].iloc[0])
    else:
        shares = rows.groupby("optimizer", sort=False)["exploded"].mean()
        alt = "Explosions against rate. Over all rates: " + prose.listing(
            f"{name(optimizer)} {prose.percent(share)}" for optimizer, share in shares.items()
        )
        reference = None
    drawing = interval_lines(summary, RATE, measure, "optimizer", "panel", reference)
    return figure(source, f"optimizers-{value}", drawing, caption, f"{alt}.")


@needs("optimizers")
def guard_figure(source: Evidence) -> str:
    """What each guard does for each optimizer."""
    frame = source.outcomes
    parts = []
    for value, panel in (("exploded", "share of explosions"), ("accuracy", "test accuracy")):
        for optimizer, rows in frame.groupby("optimizer", sort=False):
            found = paired_comparison(rows, "clipping", "none", value)
            parts.append(found.assign(panel=panel, row=optimizer, clipping=found["level"]))
    compared = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if compared.empty:
        return "The study has no guard to set beside no clipping."
    caption = (
        "Paired differences from training without a guard, by optimizer and guard, over all rates, "
        f"schedules and budgets: means over up to {int(compared['pairs'].max()):,} pairs with 95% "
        "bootstrap intervals. Left of zero on the left is safer, right of zero on the right is "
        "more accurate."
    )
    exploded = compared[compared["panel"] == "share of explosions"]
    alt = "Effects of guards. Change of the share of explosions: " + prose.listing(
        f"{name(row['row'])} with {phrase('clipping', row['level'])} {prose.points(row['effect'])}"
        for row in exploded.to_dict("records")
    )
    drawing = effect_rows(compared, "clipping", "difference (percentage points)")
    return figure(source, "guards", drawing, caption, f"{alt}.")


@needs("optimizers")
def table(source: Evidence) -> str:
    """Best rate, range, accuracy and explosions of every optimizer."""
    rows = bare(source)
    if rows.empty:
        return ""
    out = []
    for (model, optimizer), part in rows.groupby(["model", "optimizer"], sort=False):
        span = stable_range(part, ["optimizer"]).iloc[0]
        best = best_per_arm(part, ["optimizer", "epochs"])
        guarded = source.outcomes
        guarded = guarded[(guarded["optimizer"] == optimizer) & (guarded["model"] == model)]
        cells = [
            prose.percent(guarded.loc[guarded["clipping"] == guard, "exploded"].mean())
            if (guarded["clipping"] == guard).any()
            else "–"
            for guard in ("none", *GUARDS)
        ]
        row = (f"{span['best_rate']:g}", rates(span["low_rate"], span["high_rate"]))
        accuracy = f"{100 * best['accuracy'].mean():.1f}"
        out.append((unbroken(model), name(optimizer), *row, accuracy, *cells))
    headings = ["model", "optimizer", "best rate", "within 1 point", "accuracy (%)"]
    headings += ["exploded (none)", *(f"({name(guard)})" for guard in GUARDS)]
    text = prose.table(pd.DataFrame(out, columns=headings))
    return (
        f"{text}\n\nRates and accuracy without a guard at a constant rate, the accuracy at the "
        "best rate of each budget; explosions over all rates, schedules and budgets by guard."
    )
