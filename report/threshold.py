"""Which threshold at which learning rate: the page of thresholds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.figures.heat import (
    accuracy_against_threshold,
    clipped_against_accuracy,
    heat_maps,
)
from benchmark.figures.style import thinned
from benchmark.statistics import clipping_facts, interval, mean, percentile_rule
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, number, phrase
from report.quantities import unbroken
from report.remembering import once

HALF = 0.5
"""Share of clipped steps above which practice calls clipping extremely aggressive."""
MOST_RATES = 4
"""Columns that a table has room for."""
ALWAYS = 0.9
"""Share of clipped steps from which on a rule counts as always acting."""
BOUNDING = ("global_norm", "normalized")
"""Rules that give the whole gradient the norm c wherever they act."""


@once
def cells(source: Evidence) -> pd.DataFrame:
    """Mean accuracy, validation accuracy and clipped share of each clipping, threshold and rate."""
    frame = source.outcomes
    by = ["model", "clipping", "clipping_threshold", "learning_rate"]
    values = ["accuracy", "validation", "clipped_fraction", "exploded"]
    return frame.groupby(by, sort=False, dropna=False)[values].mean().reset_index()


@once
def best_cells(source: Evidence) -> pd.DataFrame:
    """The threshold that validation chooses for each model, clipping and rate."""
    rows = cells(source).sort_values("validation", ascending=False, kind="stable")
    return rows.drop_duplicates(["model", "clipping", "learning_rate"])


@needs("clipping")
def answer(source: Evidence) -> str:
    """What the best thresholds are, and what the two rules of practice are worth."""
    return " ".join(filter(None, (_overall(source), _aggressive(source), _rule(source))))


def _overall(source: Evidence) -> str:
    best = best_cells(source)
    sentences = []
    for model, rows in best.groupby("model", sort=False):
        plain = rows[rows["clipping"] == "none"]
        others = rows[rows["clipping"] != "none"]
        if plain.empty or others.empty:
            continue
        top = rows.sort_values("validation").iloc[-1]
        fast = others["learning_rate"].max()
        saved = others[others["learning_rate"] == fast].sort_values("validation").iloc[-1]
        bare = plain[plain["learning_rate"] == fast]["accuracy"]
        where = f" in the {name(model)}" if best["model"].nunique() > 1 else ""
        sentences.append(
            f"The best cell{where} is {phrase('clipping', top['clipping'])}"
            f"{_threshold(top['clipping_threshold'])} at the rate {top['learning_rate']:g} "
            f"({prose.percent(top['accuracy'])} of test accuracy, chosen on validation). At the "
            f"largest rate, {fast:g}, {phrase('clipping', saved['clipping'])}"
            f"{_threshold(saved['clipping_threshold'])} still reaches "
            f"{prose.percent(saved['accuracy'])}"
            + (f", no clipping {prose.percent(bare.iloc[0])}." if len(bare) else ".")
        )
    return " ".join(sentences)


def _threshold(value: float) -> str:
    return "" if pd.isna(value) else f" at {value:.3g}"


def _aggressive(source: Evidence) -> str:
    best = best_cells(source)
    best = best[best["clipping"] != "none"].dropna(subset=["clipped_fraction"])
    if best.empty:
        return ""
    share = (best["clipped_fraction"] > HALF).mean()
    return (
        f"Of the {len(best):,} best thresholds, one for each clipping and rate, "
        f"{prose.percent(share)} clip more than half of the steps."
    )


@once
def percentile_rules(source: Evidence) -> pd.DataFrame:
    """What the 90th percentile of the unclipped norms is worth at each rate."""
    return percentile_rule(source.outcomes)


def _rule(source: Evidence) -> str:
    rules = percentile_rules(source)
    if rules.empty:
        return ""
    costly = rules[rules["low"] > 0]
    return (
        "The 90th percentile of the unclipped norms costs a median of "
        f"{100 * rules['regret'].median():.1f} points against the best threshold of global-norm "
        f"clipping, and measurably loses at {len(costly)} of {len(rules)} learning rates."
    )


@needs("clipping")
def heat(source: Evidence) -> str:
    """Accuracy over threshold and rate for each clipping, a figure for each model."""
    found = cells(source)
    blocks = []
    for model, rows in found.groupby("model", sort=False):
        clipped = rows.dropna(subset=["clipping_threshold"])
        if clipped.empty:
            continue
        plain = rows[rows["clipping"] == "none"].sort_values("learning_rate")
        bare = prose.listing(
            f"{prose.percent(r['accuracy'], 0)} at {r['learning_rate']:g}"
            for r in plain.to_dict("records")
        )
        caption = (
            f"Mean test accuracy (%) over learning rate and threshold, {name(model)}, by clipping; "
            "the best of each rate is bold. " + (f"Without clipping: {bare}." if bare else "")
        )
        best = clipped.sort_values("validation").drop_duplicates("clipping", keep="last")
        alt = "Heat maps. Best cells: " + prose.listing(
            f"{name(r['clipping'])} {prose.percent(r['accuracy'])} at threshold "
            f"{r['clipping_threshold']:.3g} and rate {r['learning_rate']:g}"
            for r in best.to_dict("records")
        )
        drawing = heat_maps(
            clipped.assign(value=clipped["accuracy"]),
            "learning_rate",
            "clipping_threshold",
            "clipping",
            "test accuracy (%)",
        )
        blocks.append(figure(source, f"thresholds-{model}", drawing, caption, f"{alt}."))
    return "\n\n".join(blocks) or "No trial of this study has a threshold."


@needs("clipping")
def best_table(source: Evidence) -> str:
    """The best threshold of each clipping at each rate, with its accuracy and clipped share."""
    best = best_cells(source)
    best = best[best["clipping"] != "none"]
    rates = sorted(best["learning_rate"].unique())
    rates = [rates[i] for i in thinned(rates, MOST_RATES)]
    several = best["model"].nunique() > 1
    out = []
    for (model, clipping), rows in best.groupby(["model", "clipping"], sort=False):
        by_rate = {row["learning_rate"]: row for row in rows.to_dict("records")}
        found = [_best_cell(by_rate[rate]) if rate in by_rate else "–" for rate in rates]
        label = f"{name(model)}, {name(clipping)}" if several else unbroken(clipping)
        out.append((label, *found))
    text = prose.table(pd.DataFrame(out, columns=["clipping", *(f"rate {r:g}" for r in rates)]))
    return (
        f"{text}\n\nThreshold that validation chooses: its test accuracy (%), and in brackets the "
        "percentage of steps that it clips."
    )


def _best_cell(row: prose.Row) -> str:
    clipped = row["clipped_fraction"]
    share = "" if pd.isna(clipped) else f" ({100 * clipped:.0f})"
    rounded = float(f"{row['clipping_threshold']:.2g}")
    text = f"{rounded:g}: {100 * row['accuracy']:.1f}{share}"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


@needs("clipping")
def clipped_figure(source: Evidence) -> str:
    """Clipped share against accuracy."""
    frame = source.outcomes
    rows = frame[(frame["clipping"] != "none") & frame["clipped_fraction"].notna()]
    if rows.empty:
        return "No trial of this study clips."
    caption = (
        "Test accuracy against the share of clipped steps, a point for each trial, by clipping and "
        "learning rate. Right of the dotted line more than half of the steps are clipped."
    )
    more = rows[rows["clipped_fraction"] > HALF].groupby("learning_rate")["accuracy"].mean()
    alt = "Accuracy against clipped share. With more than half clipped: " + prose.listing(
        f"{prose.percent(accuracy)} at rate {rate:g}" for rate, accuracy in more.items()
    )
    return figure(source, "clipped-share", clipped_against_accuracy(rows), caption, f"{alt}.")


@needs("clipping")
def half_clipped(source: Evidence) -> str:
    """What becomes of trials of which more than half of the steps are clipped."""
    frame = source.outcomes
    rows = frame[(frame["clipping"] != "none") & frame["clipped_fraction"].notna()]
    if rows.empty:
        return "No trial of this study clips."
    lines = []
    for rate, part in rows.groupby("learning_rate"):
        more = part[part["clipped_fraction"] > HALF]
        less = part[part["clipped_fraction"] <= HALF]
        if more.empty or less.empty:
            continue
        lines.append(
            f"- At the rate {rate:g}, {prose.percent(more['learned'].mean())} of "
            f"{prose.count(len(more), 'trial')} with more than half of the steps clipped "
            f"learned, at a mean accuracy of {prose.percent(more['accuracy'].mean())}; with fewer "
            f"clipped, {prose.percent(less['learned'].mean())} of {len(less):,}, at "
            f"{prose.percent(less['accuracy'].mean())}."
        )
    facts = prose.listing(
        f"{name(r['clipping'])} {prose.percent(r['aggressive'], 0)}"
        for r in clipping_facts(rows).to_dict("records")
    )
    lines.append(f"- Share of trials with more than half of the steps clipped: {facts}.")
    return "\n".join(lines)


@once
def same_products(source: Evidence) -> pd.DataFrame:
    """Columns ``model``, ``product``, ``cells``, ``low``, ``high``: always-clipping cells.

    Cells of rules that give every gradient the norm c, plain gradient descent: there rate times
    threshold is the length of a step. ``low`` and ``high`` are the least and the greatest mean
    accuracy among cells of one product; products with one cell are left out.
    """
    frame = source.outcomes
    frame = frame[(frame["optimizer"] == "sgd") & frame["clipping"].isin(BOUNDING)]
    by = ["model", "clipping", "clipping_threshold", "learning_rate"]
    found = frame.groupby(by, sort=False)[["accuracy", "clipped_fraction"]].mean().reset_index()
    found = found[found["clipped_fraction"] >= ALWAYS]
    product = found["learning_rate"] * found["clipping_threshold"]
    found = found.assign(product=[float(f"{value:.3g}") for value in product])
    groups = found.groupby(["model", "product"])["accuracy"].agg(["size", "min", "max"])
    out = groups.reset_index().set_axis(["model", "product", "cells", "low", "high"], axis=1)
    return out[out["cells"] > 1].reset_index(drop=True)


@needs("clipping")
def smaller_rate(source: Evidence) -> str:
    """Whether clipping every step is only a smaller learning rate."""
    rows = same_products(source)
    if rows.empty:
        return (
            "No two cells of this study that clip nine steps in ten have the same product of rate "
            "and threshold, so that the claim cannot be tested."
        )
    gap = rows["high"] - rows["low"]
    across = rows["high"].max() - rows["low"].min()
    return (
        "Where at least nine steps in ten are clipped to the norm c, the length of a step is rate "
        f"times c. Over {prose.count(len(rows), 'product')} that several cells share, the "
        f"accuracies of these cells differ by {100 * gap.median():.1f} points in the median and "
        f"{100 * gap.max():.1f} at most, while from product to product accuracy goes over "
        f"{100 * across:.1f} points: clipping has become another name for the learning rate."
        if gap.max() < across / 2
        else "Where at least nine steps in ten are clipped to the norm c, the length of a step is "
        f"rate times c, but cells of the same product differ by up to {100 * gap.max():.1f} points."
    )


@needs("clipping")
def rule_figure(source: Evidence) -> str:
    """The 90th percentile of the unclipped norms against the best threshold."""
    frame = source.outcomes
    blocks = []
    for model, rows in frame.groupby("model", sort=False):
        rules = percentile_rules(source)
        rules = rules[rules["model"] == model]
        if rules.empty:
            continue
        clipped = rows[rows["clipping"] == "global_norm"]
        by = ["learning_rate", "clipping_threshold"]
        summary = interval(clipped, "accuracy", by, statistic=mean)
        caption = (
            f"Global-norm clipping, {name(model)}: test accuracy against the threshold, by "
            "learning rate. Points are means over seeds, bars 95% bootstrap intervals. Dashed: "
            "the 90th percentile of the norms of trials without clipping at that rate; star: the "
            "threshold that validation chooses."
        )
        alt = "Accuracy against threshold. 90th percentile and best threshold: " + prose.listing(
            f"at rate {r['learning_rate']:g} {number(r['percentile'])} and "
            f"{number(r['best_threshold'])}"
            for r in rules.to_dict("records")
        )
        drawing = accuracy_against_threshold(summary, rules)
        blocks.append(figure(source, f"percentile-{model}", drawing, caption, f"{alt}."))
    return "\n\n".join(blocks) or "The study lacks trials with and without global-norm clipping."


@needs("clipping")
def rule_table(source: Evidence) -> str:
    """The rule's cost at each rate."""
    rules = percentile_rules(source)
    if rules.empty:
        return ""
    shown = pd.DataFrame(
        {
            "model": rules["model"].map(name),
            "rate": rules["learning_rate"].map(lambda rate: f"{rate:g}"),
            "90th percentile": rules["percentile"].map(number),
            "nearest": rules["threshold"].map(number),
            "nearest: accuracy (%)": [f"{100 * a:.1f}" for a in rules["at_rule"]],
            "best": rules["best_threshold"].map(number),
            "best: accuracy (%)": [f"{100 * a:.1f}" for a in rules["at_best"]],
            "lost (points)": [f"{100 * r:.1f}" for r in rules["regret"]],
            "95% interval": prose.intervals(rules),
        }
    )
    lost = rules[np.isclose(rules["at_rule"], rules["at_best"], atol=0.01)]
    return (
        f"{prose.table(shown)}\n\nThe rule is within a point of the best threshold at {len(lost)} "
        f"of {prose.count(len(rules), 'learning rate')}. Where training without clipping explodes, "
        "the norms that it takes its percentile of are those of the wreck."
    )
