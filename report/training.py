"""How trials end, when explosion begins and what decides the accuracy: the learning-rate page."""

from __future__ import annotations

import numpy as np

from benchmark import figures
from benchmark.statistics import (
    explosion_onset,
    main_effects,
    stable_range,
    status_shares,
)
from benchmark.status import STATUSES, TRAINED
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name

PRACTICAL_CLIPPED = 0.5
"""Share of clipped steps above which practice calls clipping extremely aggressive."""


@needs("grid")
def endings(source: Evidence) -> str:
    """How many trials ended how, and what the exploded ones came to."""
    shares = status_shares(source.results.trials, ["study"])
    total = int(shares["count"].sum())
    occurred = shares[shares["count"] > 0]
    parts = [
        f"{row['status']} {prose.percent(row['share'])} ({STATUSES[row['status']]})"
        for row in occurred.to_dict("records")
    ]
    exploded = source.outcomes["exploded"]
    back = source.outcomes.loc[exploded == 1, "trained"]
    lines = [
        f"Of {prose.count(total, 'finished trial')}, {prose.percent(exploded.mean())} exploded at "
        f"some step. By status: {'; '.join(parts)}."
    ]
    if len(back):
        losses = source.outcomes.loc[exploded == 1, "status"].eq("nonfinite")
        lines.append(
            f"Of the exploded trials {prose.percent(back.mean())} trained all the same, and only "
            f"{prose.percent(losses.mean())} ended with a number that was not finite: a test for "
            "NaN alone would have counted the others as ordinary runs."
            if losses.mean() < 0.5
            else f"Of the exploded trials {prose.percent(back.mean())} trained all the same, and "
            f"{prose.percent(losses.mean())} ended with a number that was not finite."
        )
    return " ".join(lines)


@needs("grid")
def by_rate(source: Evidence) -> str:
    """Best and largest usable learning rate without clipping, by model."""
    frame = source.outcomes[source.outcomes["clipping"] == "none"]
    if frame.empty:
        return "Every trial of this grid clips its gradients."
    lines = []
    rates = sorted(frame["learning_rate"].unique())
    for row in stable_range(frame, ["model"]).to_dict("records"):
        rows = frame[frame["model"] == row["model"]]
        shares = rows.groupby("learning_rate")["exploded"].mean()
        reached = [rate for rate in rates if shares.get(rate, 0.0) > 0.5]
        text = (
            f"Without clipping, the {name(row['model'])} is most accurate at the learning rate "
            f"{row['best_rate']:g} (chosen on validation, averaged over normalization and batch "
            "policy)"
        )
        if reached:
            above = reached[0] / row["best_rate"]
            text += (
                f"; more than half of its trials explode from {reached[0]:g} on, "
                f"{prose.number(above)} times the best rate."
                if above > 1
                else f"; more than half of its trials explode already at {reached[0]:g}."
            )
        else:
            text += "; at no rate of the grid do more than half of its trials explode."
        lines.append(text)
    return " ".join(lines)


@needs("grid")
def status_figure(source: Evidence, facet: str | None) -> str:
    """The status map; without a facet, that of the trials without clipping, by normalization."""
    trials = source.results.trials
    rows = trials if facet else trials[trials["clipping"] == "none"]
    factor = "clipping" if facet else "normalization"
    if rows.empty:
        return ""
    shares = status_shares(rows, [factor])
    trained = shares[shares["status"].isin(TRAINED)].groupby(factor)["share"].sum()
    extremes = prose.listing(f"{name(level)} {prose.percent(s)}" for level, s in trained.items())
    which = "" if facet else " without clipping"
    caption = (
        f"How trials{which} end, by learning rate and {factor}: each bar is one cell of the "
        "figure, divided into the shares of its trials (batch policies and seeds) by status."
    )
    alt = f"Status map. Share of trials that end trained (stable or recovered): {extremes}."
    label = f"status-{factor}"
    return figure(source, label, figures.status_map(rows, factor, facet), caption, alt)


@needs("grid")
def onset(source: Evidence) -> str:
    """When the first bad step falls."""
    rows = explosion_onset(source.results.trials, ["model"])
    rows = rows[rows["exploded"] > 0]
    if rows.empty:
        return "No trial had a bad step."
    lines = []
    for row in rows.to_dict("records"):
        of_model = source.outcomes[source.outcomes["model"] == row["model"]]
        early = (of_model["first_bad_step"].dropna() <= 10).mean()
        lines.append(
            f"In the {name(row['model'])}, {prose.count(row['exploded'], 'trial')} of "
            f"{row['finished']:,} had a bad step; the first came at step {row['median']:g} in the "
            f"median (from {row['first']:g} to {row['last']:g}), and within the first ten steps "
            f"in {prose.percent(early)} of them."
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
        "normalization and with a fixed batch size: one line a seed, strong the median and faint "
        "the maximum over the steps since the last checkpoint. A cross marks the checkpoint of "
        "the first bad step, a triangle at the upper edge a norm that was not finite."
    )
    alt = (
        f"Log-scale line plots for each learning rate and model; the largest finite norm is "
        f"{finite.max():.1e}, and {prose.count(lost, 'checkpoint')} had an infinite one."
    )
    drawing = figures.gradient_norm_trajectories(history, chosen)
    return figure(source, "trajectories", drawing, caption, alt, ("history", "trials"))


@needs("grid")
def importance(source: Evidence) -> str:
    """Which factor decides the accuracy, by the variance that it explains."""
    effects = main_effects(source.outcomes, source.factors, "accuracy")
    effects = effects.sort_values("estimate", ascending=False).to_dict("records")
    if not effects:
        return "No factor varies."
    parts = [
        f"{name(r['factor'])} {prose.percent(r['estimate'])} "
        f"(95% interval {prose.percent(r['low'])} to {prose.percent(r['high'])})"
        for r in effects
    ]
    rest = 1 - sum(r["estimate"] for r in effects)
    return (
        f"On the grid, **{name(effects[0]['factor'])}** explains the largest share of the variance "
        f"of test accuracy: {prose.listing(parts)}. Interactions and seeds share the remaining "
        f"{prose.percent(max(rest, 0.0))}."
    )


@needs("grid")
def clipped_steps(source: Evidence) -> str:
    """How often each clipping acts, and what practice's threshold would have been."""
    frame = source.outcomes
    acting = frame[frame["clipping"] != "none"]
    if acting.empty:
        return "No trial of this grid clips."
    lines = []
    for level, rows in acting.groupby("clipping", sort=False):
        often = rows["clipped_fraction"] > PRACTICAL_CLIPPED
        thresholds = prose.listing(f"{t:g}" for t in sorted(rows["clipping_threshold"].unique()))
        lines.append(
            f"- **{name(str(level))}** (threshold {thresholds}) changes the gradient in "
            f"{prose.percent(rows['clipped_fraction'].median())} of the steps in the median trial, "
            f"and in more than half of the steps in {prose.percent(often.mean())} of the trials."
        )
    quiet = frame[(frame["clipping"] == "none") & (frame["status"] == "stable")]
    history = source.results.history
    norms = history[history["trial"].isin(quiet["trial"]) & (history["step"] > 0)]
    if len(norms):
        ninety = norms["gradient_norm_median"].quantile(0.9)
        lines.append(
            f"- The 90th percentile of the gradient norms of stable trials without clipping "
            f"(medians between checkpoints), which practice suggests as the threshold of global "
            f"norm, is {prose.number(ninety)}."
        )
    return "\n".join(lines)


@needs("grid")
def cost(source: Evidence) -> str:
    """What the batch policies cost in updates and time."""
    frame = source.outcomes[source.outcomes["trained"] == 1]
    if frame.empty:
        return "No trial trained, so there is no cost to compare."
    means = frame.groupby(["model", "batch_policy"])[["steps", "seconds"]].mean()
    caption = (
        "Updates and time of a trained trial against its batch size at the end of training, by "
        "model and batch policy; all trials see the same number of examples. Means with 95% "
        "bootstrap intervals; the time is a trial's share of that of the trials trained together."
    )
    alt = "Updates and seconds: " + "; ".join(
        f"{name(model)} with {name(policy)} {row['steps']:.0f} updates in {row['seconds']:.2f} s"
        for (model, policy), row in means.iterrows()
    )
    return figure(source, "cost", figures.cost_against_batch_size(frame), caption, f"{alt}.")


@needs("grid")
def cost_sentences(source: Evidence) -> str:
    """Updates and time of each policy as a ratio to those of the fixed batch size."""
    frame = source.outcomes[source.outcomes["trained"] == 1]
    lines = []
    for model, rows in frame.groupby("model", sort=False):
        means = rows.groupby("batch_policy", sort=False)[["steps", "seconds"]].mean()
        if "fixed" not in means.index:
            continue
        for policy, ratio in (means / means.loc["fixed"]).drop(index="fixed").iterrows():
            faster = "less" if ratio["seconds"] < 1 else "more"
            lines.append(
                f"- {name(str(model))}, {name(str(policy))}: {prose.number(ratio['steps'])} times "
                f"the updates and {prose.number(ratio['seconds'])} times the time of a fixed batch "
                f"size ({faster} time)."
            )
    return "\n".join(lines) or "There is no trained trial with a fixed batch size to compare with."
