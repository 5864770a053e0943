"""A factor's levels against its baseline: the tables, figures and sentences of three pages."""

from __future__ import annotations

import pandas as pd

from benchmark import figures
from benchmark.statistics import (
    best_per_arm,
    largest_stable_rate,
    learning_rate_sensitivity,
    paired_comparison,
    stable_range,
)
from benchmark.status import TRAINED
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import Row, name

BASELINES = {"clipping": "none", "normalization": "none", "batch_policy": "fixed"}
AT_BEST = "each at its best rate"
OVER_ALL = "over all rates"


def configuration(source: Evidence) -> list[str]:
    """The factors that a learning rate is chosen for: all that vary but the rate itself."""
    return [f for f in source.factors if f != "learning_rate"]


def at_best_rate(source: Evidence) -> pd.DataFrame:
    """The rows of every configuration at the learning rate that validation chooses."""
    return best_per_arm(source.outcomes, configuration(source) or ["dataset"])


def compare(source: Evidence, factor: str, value: str = "accuracy") -> pd.DataFrame:
    """Every level of ``factor`` against its baseline: at the best rate, and over all rates.

    The columns of `paired_comparison`, and ``panel``. Empty where there is no pair.
    """
    best, everything = at_best_rate(source), source.outcomes
    parts = {
        AT_BEST: paired_comparison(
            best, factor, BASELINES[factor], value, ignore=["learning_rate"]
        ),
        OVER_ALL: paired_comparison(everything, factor, BASELINES[factor], value),
    }
    return pd.concat([part.assign(panel=panel) for panel, part in parts.items()])


def winner(rows: pd.DataFrame) -> Row | None:
    """The level with the largest effect whose interval lies above 0, if any."""
    above = rows[rows["low"] > 0].sort_values("effect", ascending=False)
    return above.iloc[0].to_dict() if len(above) else None


def verdict(source: Evidence, factor: str) -> str:
    """Which level is best, and against what, in two sentences."""
    compared = compare(source, factor)
    if compared.empty:
        return f"This study has one level of {name(factor)}, so it compares none."
    sentences = []
    for panel, rows in compared.groupby("panel", sort=False):
        best = winner(rows)
        baseline = name(BASELINES[factor])
        place = "With each arm at its best learning rate"
        place = place if panel == AT_BEST else "Averaged over all learning rates of the grid"
        if best is None:
            sentences.append(
                f"{place}, no {name(factor)} has a higher test accuracy than {baseline}."
            )
        else:
            sentences.append(
                f"{place}, the best {name(factor)} is **{name(best['level'])}**: "
                f"{points_over(best)} {baseline}."
            )
    return " ".join(sentences)


def points_over(row: Row) -> str:
    """An effect with its interval, ready to be followed by the baseline."""
    spread = prose.spread(row["low"], row["high"])
    return f"{prose.points(row['effect'])} of test accuracy ({spread}) over"


@needs("grid")
def summary(source: Evidence, factor: str) -> str:
    """The verdict, and one sentence for each level and way of comparing."""
    compared = compare(source, factor)
    lines = [verdict(source, factor), ""]
    for level, rows in compared.groupby("level", sort=False):
        parts = [
            f"{row['panel']} it is {prose.against(row)}: {prose.effect(row)}"
            for row in rows.to_dict("records")
        ]
        lines.append(f"- **{name(str(level))}**: " + "; ".join(parts) + ".")
        tests = rows[(rows["p_holm"] >= 0.05) & (rows.apply(prose.sign, axis=1) != 0)]
        if len(tests):
            where = prose.listing(tests["panel"])
            lines[-1] += (
                f" The interval and the Wilcoxon test disagree ({where}): the mean moves, "
                "but not most pairs."
            )
    return "\n".join(lines)


@needs("grid")
def forest(source: Evidence, factor: str) -> str:
    """The paired effects as a figure."""
    compared = compare(source, factor)
    if compared.empty:
        return ""
    pairs = prose.listing(
        f"{prose.count(int(rows['pairs'].max()), 'pair')} {panel}"
        for panel, rows in compared.groupby("panel", sort=False)
    )
    caption = (
        f"Paired differences in test accuracy from {name(BASELINES[factor])} by {name(factor)} "
        f"(up to {pairs}); points are means, bars 95% stratified bootstrap intervals. Note that "
        "the panels have scales of their own."
    )
    alt = f"Forest plot. {verdict(source, factor).replace('**', '')}"
    drawing = figures.comparison_forest(compared, "test accuracy (points)")
    return figure(source, f"forest-{factor.replace('_', '-')}", drawing, caption, alt)


@needs("grid")
def accuracy_by_rate(source: Evidence, factor: str) -> str:
    """Accuracy against learning rate by ``factor``."""
    frame = source.outcomes
    caption = (
        f"Test accuracy against learning rate by {name(factor)}. Points are interquartile means "
        "over all other factors and seeds, bars 95% bootstrap intervals over seeds; exploded "
        "trials count at chance."
    )
    best = stable_range(frame, ["model", factor]).to_dict("records")
    rates = prose.listing(
        f"{name(r['model'])} with {name(r[factor])} at {r['best_rate']:g}" for r in best
    )
    alt = f"Line plot of test accuracy against learning rate. Best learning rates: {rates}."
    drawing = figures.accuracy_against_rate(frame, factor)
    return figure(source, f"accuracy-{factor.replace('_', '-')}", drawing, caption, alt)


@needs("grid")
def robustness(source: Evidence, factor: str) -> str:
    """A table by model and level: best rate, stable range, largest stable rate, sensitivity."""
    by = ["model", factor]
    frame = source.outcomes
    joined = stable_range(frame, by).merge(largest_stable_rate(frame, by), on=by)
    trained = largest_stable_rate(frame, by, TRAINED).rename(columns={"largest_rate": "trained"})
    joined = joined.merge(trained, on=by)
    joined = joined.merge(learning_rate_sensitivity(frame, by), on=by)
    for column in by:
        joined[column] = joined[column].map(name)
    chosen = [*by, "best_rate", "decades", "largest_rate", "trained", "sensitivity"]
    headings = [
        "model",
        name(factor),
        "best rate",
        "within 1 point (decades)",
        "largest rate, all stable",
        "largest rate, all trained",
        "sensitivity (nats)",
    ]
    return prose.table(joined[chosen], headings)


@needs("grid")
def explosions(source: Evidence, factor: str) -> str:
    """How ``factor`` changes the share of trials that explode, and of those that train."""
    lines = []
    for value, verb in (("exploded", "explode"), ("trained", "end up trained")):
        rows = paired_comparison(source.outcomes, factor, BASELINES[factor], value)
        baseline = source.outcomes[source.outcomes[factor] == BASELINES[factor]][value].mean()
        if rows.empty or baseline != baseline:
            continue
        parts = [
            f"with {name(row['level'])} the share is {prose.against(row)} "
            f"({prose.points(row['effect'])}, {prose.spread(row['low'], row['high'])})"
            for row in rows.to_dict("records")
        ]
        lines.append(
            f"With {name(BASELINES[factor])}, {prose.percent(baseline)} of the trials {verb}; "
            + prose.listing(parts)
            + "."
        )
    return " ".join(lines)


@needs("grid")
def short(source: Evidence, factor: str) -> str:
    """The verdict on a factor, and how it changes explosions."""
    return verdict(source, factor)
