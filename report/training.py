"""How trials end, when explosion begins and what decides the accuracy: the learning-rate page."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from benchmark import figures
from benchmark.statistics import (
    clipping_facts,
    explosion_onset,
    fanova,
    main_effects,
    paired_ratio,
    ped_anova,
    stable_range,
    status_shares,
)
from benchmark.status import STATUSES
from report import evidence, prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, opening, phrase

EARLY = 10
"""Steps within which an explosion counts as early."""
MAIN_EFFECTS, FANOVA, PED_ANOVA = "main effects, grid", "fANOVA, search", "PED-ANOVA, search"
UNTAUGHT = ("random", "quasi-random")
"""Samplers that do not learn from their trials, which importance needs."""


@needs("grid")
def endings(source: Evidence) -> str:
    """How many trials ended how, and what the exploded ones came to."""
    shares = status_shares(source.results.trials, ["study"])
    total = int(shares["count"].sum())
    exploded = source.outcomes[source.outcomes["exploded"] == 1]
    lines = [
        f"Of {prose.count(total, 'finished trial')}, "
        f"{prose.percent(len(exploded) / total)} exploded at some step."
    ]
    if len(exploded):
        nonfinite = exploded["status"].eq("nonfinite").mean()
        lines.append(
            f"Of these {prose.percent(exploded['learned'].mean())} learned all the same, and "
            f"{prose.percent(nonfinite)} ended with a number that was not finite: a test for NaN "
            f"alone would have missed {prose.percent(1 - nonfinite)} of the explosions."
        )
    table = shares.assign(
        share=shares["share"].map(prose.percent), meaning=shares["status"].map(STATUSES)
    )
    columns = ["status", "meaning", "count", "share"]
    return (
        " ".join(lines)
        + "\n\n"
        + prose.table(table[columns], ["status", "meaning", "trials", "share"])
    )


@needs("grid")
def by_rate(source: Evidence) -> str:
    """Best and largest usable learning rate without clipping, by model."""
    frame = source.outcomes[source.outcomes["clipping"] == "none"]
    if frame.empty:
        return "Every trial of this grid clips its gradients."
    others = [f for f in source.factors if f not in ("learning_rate", "clipping", "model")]
    over = f", averaged over {prose.listing(map(name, others))}" if others else ""
    lines = []
    for row in stable_range(frame, ["model"]).to_dict("records"):
        rows = frame[frame["model"] == row["model"]]
        shares = rows.groupby("learning_rate")["exploded"].mean()
        text = (
            f"Without clipping, the {name(row['model'])} is most accurate at the learning rate "
            f"{row['best_rate']:g} (chosen on validation{over})"
        )
        broken = breaking_rate(shares)
        if broken is None:
            text += "; at the largest rate of the grid no more than half of its trials explode."
        elif broken > row["best_rate"]:
            text += (
                f"; from {broken:g} on, {prose.number(broken / row['best_rate'])} times that rate, "
                "more than half of its trials explode."
            )
        else:
            text += f", although from {broken:g} on more than half of its trials explode."
        lines.append(text)
    return " ".join(lines)


def breaking_rate(shares: pd.Series) -> float | None:
    """Smallest rate from which on more than half of the trials explode.

    ``shares`` are shares of exploded trials, indexed by learning rate; None where at most half
    explode at the largest rate.
    """
    broken = None
    for rate, share in shares.sort_index(ascending=False).items():
        if share <= 0.5:
            break
        broken = float(rate)
    return broken


@needs("grid")
def status_figure(source: Evidence, facet: str | None) -> str:
    """The status map; without a facet, that of the trials without clipping, by normalization."""
    trials = source.results.trials
    rows = trials if facet else trials[trials["clipping"] == "none"]
    factor = "clipping" if facet else "normalization"
    if rows.empty:
        return ""
    outcomes = source.outcomes if facet else source.outcomes[source.outcomes["clipping"] == "none"]
    learned = outcomes.groupby(factor, sort=False)["learned"].mean()
    extremes = prose.listing(
        f"{phrase(factor, level)} {prose.percent(s)}" for level, s in learned.items()
    )
    inside = [f for f in source.factors if f not in ("model", "learning_rate", factor, facet)]
    inside = [f for f in inside if rows[f].nunique() > 1]
    within = prose.listing([*(name(f) for f in inside), "seed"])
    which = "" if facet else " without clipping"
    caption = (
        f"How trials{which} end, by learning rate and {name(factor)}. Each bar is one cell of the "
        f"map, divided into the shares of its trials (which differ in {within}) by status."
    )
    alt = f"Status map. Share of trials that learned: {extremes}."
    label = f"status-{factor}"
    return figure(source, label, figures.status_map(rows, factor, facet), caption, alt)


@needs("grid")
def onset(source: Evidence) -> str:
    """When the first bad step falls."""
    rows = explosion_onset(source.results.trials, ["model"])
    rows = rows[rows["exploded"] > 0]
    if rows.empty:
        return "No trial had a bad step."
    lines = ["A bad step is one that spikes or is not finite; steps are counted from 1."]
    for row in rows.to_dict("records"):
        of_model = source.outcomes[source.outcomes["model"] == row["model"]]
        early = (of_model["first_bad_step"].dropna() <= EARLY).mean()
        lines.append(
            f"In the {name(row['model'])}, {prose.count(row['exploded'], 'trial')} of "
            f"{row['finished']:,} had one. Their first came at step {row['median']:g} in the "
            f"median, at the earliest at step {row['first']:g} and at the latest at step "
            f"{row['last']:g}; in {prose.percent(early)} of them it came within the first {EARLY} "
            "steps."
        )
    return " ".join(lines)


@needs("grid")
def trajectories(source: Evidence) -> str:
    """Gradient norms over training, without normalization and at the baseline policy."""
    frame = source.outcomes
    chosen = frame[frame["normalization"].eq("none") & frame["batch_policy"].eq("fixed")]
    history = source.results.history
    if chosen.empty or history.empty:
        return "The study has no history of trials without normalization at a fixed batch size."
    norms = history[history["trial"].isin(chosen["trial"])]["gradient_norm_max"]
    finite = norms[np.isfinite(norms)]
    lost = int((~np.isfinite(norms.dropna())).sum())
    caption = (
        "Gradient norm before clipping over the course of training, by clipping, without "
        "normalization and with a fixed batch size: the largest norm since the last checkpoint, "
        "lines at the median over seeds, bands from the least to the greatest. A cross marks the "
        "checkpoint of a trial's first bad step, a triangle at the upper edge the first norm of a "
        "trial that was not finite, after which it is trained no further."
    )
    alt = (
        f"Log-scale line plots for each learning rate and model; the largest finite norm is "
        f"{prose.number(finite.max())}, and {prose.count(lost, 'checkpoint')} had an infinite one."
    )
    drawing = figures.gradient_norm_trajectories(history, chosen)
    return figure(source, "trajectories", drawing, caption, alt, ("history", "trials"))


@needs("grid")
def importance(source: Evidence) -> str:
    """Which factor decides the accuracy, by the variance that it explains."""
    effects = main_effects(source.outcomes, source.factors, "accuracy")
    effects = effects.sort_values("estimate", ascending=False)
    if effects.empty:
        return "No factor varies."
    rows = effects.to_dict("records")
    parts = [
        f"{name(r['factor'])} {prose.percent(r['estimate'])} "
        f"({prose.percent(r['low'])} to {prose.percent(r['high'])})"
        for r in rows
    ]
    rest = max(1 - effects["estimate"].sum(), 0.0)
    return (
        f"On the grid, **{name(rows[0]['factor'])}** explains the largest share of the variance of "
        f"test accuracy. Shares with 95% intervals: {prose.listing(parts)}. Interactions of the "
        f"factors, and seeds, share the remaining {prose.percent(rest)}."
    )


@needs("grid")
def importance_figure(source: Evidence) -> str:
    """Importance by every evaluator that the data allow."""
    effects = main_effects(source.outcomes, source.factors, "accuracy")
    effects = effects.sort_values("estimate", ascending=False)
    if effects.empty:
        return ""
    parts = [effects.assign(panel=MAIN_EFFECTS)]
    caption = (
        "Importance of each factor for test accuracy, with 95% bootstrap intervals. On the grid: "
        "the main-effect share of variance, exact."
    )
    search = evidence.load("search")
    rows = pd.DataFrame() if search is None else searched_untaught(search)
    factors = [f for f in source.factors if f in rows and rows[f].nunique() > 1]
    if factors:
        parts.append(fanova(rows, factors, "error").assign(panel=FANOVA))
        parts.append(ped_anova(rows, factors, "error").assign(panel=PED_ANOVA))
        caption += (
            f" On the {prose.count(len(rows), 'trial')} of the random and quasi-random searches, "
            "by Optuna's evaluators: fANOVA, the share of variance by a random forest, and "
            "PED-ANOVA, what the best tenth of trials has in common, as a share of the sum."
        )
    bars = pd.concat(parts, ignore_index=True)
    alt = "Bar plot. " + "; ".join(
        f"{panel}: "
        + prose.listing(
            f"{name(r['factor'])} {prose.percent(r['estimate'], 0)}"
            for r in part.to_dict("records")
        )
        for panel, part in bars.groupby("panel", sort=False)
    )
    also = [search] if search is not None and factors else []
    drawing = figures.importance_bars(bars)
    return figure(source, "importance", drawing, caption, f"{alt}.", also=also)


def searched_untaught(search: Evidence) -> pd.DataFrame:
    """Outcomes of the samplers that do not learn, with ``error`` = 1 - test accuracy."""
    rows = search.outcomes[search.outcomes["arm"].isin(UNTAUGHT)]
    return rows.assign(error=1 - rows["accuracy"])


@needs("grid")
def clipped_steps(source: Evidence) -> str:
    """How often each clipping acts, and what practice's threshold would have been."""
    frame = source.outcomes
    acting = frame[frame["clipping"] != "none"]
    if acting.empty:
        return "No trial of this grid clips."
    lines = []
    for row in clipping_facts(acting).to_dict("records"):
        rows = acting[acting["clipping"] == row["clipping"]]
        thresholds = prose.listing(f"{t:g}" for t in sorted(rows["clipping_threshold"].unique()))
        lines.append(
            f"- **{opening(phrase('clipping', row['clipping']))}** (threshold {thresholds}) "
            f"changes the gradient in {prose.percent(row['clipped'])} of the steps of the median "
            f"trial, and in more than half of the steps in {prose.percent(row['aggressive'])} of "
            "the trials."
        )
    return "\n".join([*lines, *filter(None, [_percentile_fact(frame)])])


def _percentile_fact(frame: pd.DataFrame) -> str:
    quiet = frame[(frame["clipping"] == "none") & (frame["status"] == "stable")]
    norms = quiet["gradient_norm_p90"].dropna().astype(float)
    if norms.empty:
        return ""
    text = (
        "- The 90th percentile of the gradient norms, which practice suggests as the threshold of "
        f"global-norm clipping, is {prose.number(norms.median())} in the median stable trial "
        f"without clipping, and lies between {prose.number(norms.min())} and "
        f"{prose.number(norms.max())} in all of them"
    )
    used = frame.loc[frame["clipping"] == "global_norm", "clipping_threshold"].unique()
    if len(used) == 1:
        text += f"; the threshold that was run is {prose.number(used[0] / norms.median())} times it"
    return f"{text}."


@needs("grid")
def cost(source: Evidence) -> str:
    """What the batch policies cost in updates and time."""
    frame = source.outcomes[source.outcomes["learned"] == 1]
    if frame.empty:
        return "No trial learned, so there is no cost to compare."
    means = frame.groupby(["model", "batch_policy"], sort=False)[["steps", "seconds"]].mean()
    caption = (
        "Updates and time of a trial that learned, by model and batch policy; all see the same "
        "number of examples. Points are means, bars 95% bootstrap intervals (often narrower than "
        "the point). The time is a trial's share of that of the trials trained together with it."
    )
    alt = "Updates and seconds: " + "; ".join(
        f"{name(model)} with {phrase('batch_policy', policy)} {row['steps']:.0f} updates in "
        f"{row['seconds']:.2f} s"
        for (model, policy), row in means.iterrows()
    )
    return figure(source, "cost", figures.cost_by_level(frame), caption, f"{alt}.")


@needs("grid")
def cost_sentences(source: Evidence) -> str:
    """Updates and time of each policy as a ratio to those of the fixed batch size."""
    frame = source.outcomes[source.outcomes["learned"] == 1]
    lines = []
    for model, rows in frame.groupby("model", sort=False):
        ratios = [
            paired_ratio(rows, "batch_policy", "fixed", value) for value in ("steps", "seconds")
        ]
        for steps, seconds in zip(*(r.to_dict("records") for r in ratios), strict=True):
            spread = (
                "a single cell, so no interval"
                if math.isnan(seconds["low"])
                else f"95% interval over cells {seconds['low']:.2f} to {seconds['high']:.2f}"
            )
            lines.append(
                f"- {name(model)}: {phrase('batch_policy', steps['level'])} takes "
                f"{steps['ratio']:.2f} times the updates of a fixed batch size, and "
                f"{seconds['ratio']:.2f} times the time ({spread})."
            )
    return "\n".join(lines) or "No trial learned with a fixed batch size to compare with."
