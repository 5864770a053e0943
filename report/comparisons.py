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
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import Row, name, opening, phrase

BASELINES = {"clipping": "none", "normalization": "none", "batch_policy": "fixed"}
AT_BEST = "at the best rates"
OVER_ALL = "over all rates"
IN_TABLE = {AT_BEST: "the best", OVER_ALL: "all"}
PLACES = {
    AT_BEST: "with every configuration at its best learning rate",
    OVER_ALL: "over all learning rates of the grid",
}
LEVEL_OF_TEST = 0.05
GOOD = 0.9
"""Accuracy at which the profiles are put into words."""


def configuration(source: Evidence) -> list[str]:
    """The factors that a learning rate is chosen for: all that vary but the rate itself."""
    return [f for f in source.factors if f != "learning_rate"]


def at_best_rate(source: Evidence) -> pd.DataFrame:
    """The rows of every configuration at the learning rate that validation chooses."""
    return best_per_arm(source.outcomes, configuration(source) or ["dataset"])


def compare(source: Evidence, factor: str, value: str = "accuracy") -> pd.DataFrame:
    """Every level of ``factor`` against its baseline: at the best rates, and over all rates.

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
    """Which level gains most over the baseline, at the best rates and over all."""
    compared = compare(source, factor)
    if compared.empty:
        return f"This study has one level of {name(factor)}, so it compares none."
    baseline = phrase(factor, BASELINES[factor])
    panels = compared.groupby("panel", sort=False)
    best = {str(panel): winner(rows) for panel, rows in panels}
    levels = {panel: row and row["level"] for panel, row in best.items()}
    if set(levels.values()) == {None}:
        return (
            f"Neither {PLACES[AT_BEST]} nor {PLACES[OVER_ALL]} does any other {name(factor)} gain "
            f"test accuracy over {baseline}."
        )
    if len(set(levels.values())) == 1:
        gains = prose.listing(f"{points_of(row)} {PLACES[p]}" for p, row in best.items() if row)
        level = phrase(factor, levels[AT_BEST])
        return f"**{opening(level)}** gains most test accuracy over {baseline}: {gains}."
    sentences = []
    for panel, row in best.items():
        place = opening(PLACES[panel])
        sentences.append(
            f"{place}, nothing gains test accuracy over {baseline}."
            if row is None
            else f"{place}, **{phrase(factor, row['level'])}** gains most test accuracy over "
            f"{baseline}: {points_of(row)}."
        )
    return " ".join(sentences)


def points_of(row: Row) -> str:
    """An effect with its interval."""
    return f"{prose.points(row['effect'])} ({prose.spread(row['low'], row['high'])})"


def disagreements(compared: pd.DataFrame, factor: str) -> str:
    """Where the interval of the mean and the test of the ranks say different things."""
    differ = (compared["p_holm"] < LEVEL_OF_TEST) != (compared.apply(prose.sign, axis=1) != 0)
    if not differ.any():
        return ""
    parts = [
        f"{phrase(factor, row['level'])} {row['panel']}"
        for row in compared[differ].to_dict("records")
    ]
    return (
        f"The interval of the mean and the Wilcoxon test of the ranks disagree for "
        f"{prose.listing(parts)}: a few large differences and many small ones point different ways."
    )


@needs("grid")
def summary(source: Evidence, factor: str) -> str:
    """The verdict, and a table of every level and way of comparing."""
    compared = compare(source, factor)
    if compared.empty:
        return verdict(source, factor)
    rows = pd.DataFrame(
        {
            name(factor): compared["level"].map(name),
            "rates": compared["panel"].map(IN_TABLE),
            "pairs": compared["pairs"],
            "difference": compared["effect"].map(prose.signed),
            "95% interval": prose.intervals(compared),
            "p (Holm)": compared["p_holm"].map(lambda p: prose.p_value(p).removeprefix("p = ")),
            "P(better)": compared["improvement"].map(lambda share: f"{share:.2f}"),
        }
    ).sort_values("rates", ascending=False, kind="stable")
    rows["p (Holm)"] = rows["p (Holm)"].str.replace("p < ", "< ")
    baseline = phrase(factor, BASELINES[factor])
    explained = (
        f"Differences in test accuracy from {baseline}, in percentage points; P(better) is the "
        f"probability that a run beats one with {baseline}."
    )
    parts = [verdict(source, factor), prose.table(rows), explained]
    return "\n\n".join(filter(None, [*parts, disagreements(compared, factor)]))


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
    baseline = phrase(factor, BASELINES[factor])
    caption = (
        f"Paired differences in test accuracy from {baseline}. Points are means over up to "
        f"{pairs}, bars 95% stratified bootstrap intervals. The panels have scales of their own."
    )
    alt = f"Forest plot. {verdict(source, factor).replace('**', '')}"
    drawing = figures.comparison_forest(
        compared, f"difference in test accuracy from {baseline} (percentage points)"
    )
    return figure(source, f"forest-{_slug(factor)}", drawing, caption, alt)


@needs("grid")
def accuracy_by_rate(source: Evidence, factor: str) -> str:
    """Accuracy against learning rate by ``factor``."""
    frame = source.outcomes
    caption = (
        f"Test accuracy against learning rate by {name(factor)}. Points are interquartile means "
        "over all other factors and seeds, bars 95% bootstrap intervals over seeds; exploded "
        "trials without a finite result count at chance."
    )
    best = stable_range(frame, ["model", factor]).to_dict("records")
    rates = prose.listing(
        f"{name(r['model'])} with {phrase(factor, r[factor])} at {r['best_rate']:g}" for r in best
    )
    alt = f"Line plot of test accuracy against learning rate. Best learning rates: {rates}."
    drawing = figures.accuracy_against_rate(frame, factor)
    return figure(source, f"accuracy-{_slug(factor)}", drawing, caption, alt)


@needs("grid")
def profile(source: Evidence, factor: str) -> str:
    """How the accuracies of all trials are distributed, by ``factor``."""
    frame = source.outcomes
    caption = (
        f"Performance profiles: the share of all trials, over all learning rates, whose test "
        f"accuracy exceeds the value on the axis, by {name(factor)}. Bands are pointwise 95% "
        "stratified bootstrap intervals; higher is better."
    )
    good = (frame["accuracy"] > GOOD).groupby([frame["model"], frame[factor]], sort=False).mean()
    shares = prose.listing(
        f"{name(model)} with {phrase(factor, level)} {prose.percent(share)}"
        for (model, level), share in good.items()
    )
    alt = f"Performance profiles. Share of trials above {prose.percent(GOOD, 0)}: {shares}."
    drawing = figures.accuracy_profile(frame, factor)
    return figure(source, f"profile-{_slug(factor)}", drawing, caption, alt)


@needs("grid")
def robustness(source: Evidence, factor: str) -> str:
    """A table by model and level: best rate, stable range, largest stable rate, sensitivity."""
    by = ["model", factor]
    frame = source.outcomes
    joined = stable_range(frame, by).merge(largest_stable_rate(frame, by), on=by)
    learned = largest_stable_rate(frame, by, "learned").rename(columns={"largest_rate": "learned"})
    joined = joined.merge(learned, on=by)
    joined = joined.merge(learning_rate_sensitivity(frame, by), on=by)
    ends = zip(joined["low_rate"], joined["high_rate"], strict=True)
    joined["range"] = [f"{a:g}" if a == b else f"{a:g} to {b:g}" for a, b in ends]
    for column in by:
        joined[column] = joined[column].map(name)
    joined["sensitivity"] = joined["sensitivity"].map(lambda nats: f"{nats:.2f}")
    chosen = [*by, "best_rate", "range", "largest_rate", "learned", "sensitivity"]
    headings = [
        "model",
        name(factor),
        "best rate",
        "rates within 1 point",
        "all stable up to",
        "all learned up to",
        "sensitivity (nats)",
    ]
    text = prose.table(joined[chosen], headings)
    about = (
        "Learning rates: the best one by validation accuracy, those about it that are within one "
        "point, and the largest at which every trial was stable, or learned"
    )
    none = joined[["largest_rate", "learned"]].isna().any(axis=None)
    return f"{text}\n\n{about}{' (–: at no rate of the grid)' if none else ''}."


@needs("grid")
def explosions(source: Evidence, factor: str) -> str:
    """How ``factor`` changes the share of trials that explode, and of those that learn."""
    baseline = BASELINES[factor]
    paragraphs = []
    for value, verb in (("exploded", "explode"), ("learned", "learn")):
        rows = paired_comparison(source.outcomes, factor, baseline, value)
        share = source.outcomes[source.outcomes[factor] == baseline][value].mean()
        if rows.empty or share != share:
            continue
        parts = [
            f"{phrase(factor, row['level'])} {prose.change(row, 'that share')}"
            for row in rows.to_dict("records")
        ]
        paragraphs.append(
            f"With {phrase(factor, baseline)}, {prose.percent(share)} of the trials {verb}. "
            f"{opening(prose.listing(parts, ';'))}."
        )
    return "\n\n".join(paragraphs)


@needs("grid")
def short(source: Evidence, factor: str) -> str:
    """The verdict on a factor."""
    return verdict(source, factor)


def _slug(factor: str) -> str:
    return factor.replace("_", "-")
