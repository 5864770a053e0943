"""How much data an update should have, and whether that should change."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.figures import comparison_forest
from benchmark.figures.batches import (
    batch_size_over_training,
    costs_by_batch_size,
    rates_by_batch_size,
)
from benchmark.statistics import best_per_arm, bootstrap, mean, stable_range
from benchmark.statistics.targets import cheapest, costs_to_target, knee, scaled_rates
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, number, phrase
from report.quantities import magnitude, rates, unbroken
from report.remembering import once

FIXED = "fixed"


def fixed(source: Evidence) -> pd.DataFrame:
    """The trials with a fixed batch size."""
    frame = source.outcomes
    return frame[frame["batch_policy"] == FIXED]


@once
def costs(source: Evidence) -> pd.DataFrame:
    """What the target costs at each batch size, at the rate that gets there soonest."""
    return cheapest(fixed(source), ["model", "batch_size"], ["learning_rate"])


@once
def knees(source: Evidence) -> pd.DataFrame:
    """Columns ``model``, ``knee``, ``noise``, ``noise_low``, ``noise_high``.

    The noise scale's median and quarters over all checkpoints of the trials at the cheapest rate
    of each batch size. An estimate that is not positive could not tell the mean gradient from its
    noise: the scale is then larger than could be measured, and counts as infinite.
    """
    found, frame = costs(source), fixed(source)
    chosen = frame.merge(found[["model", "batch_size", "learning_rate"]])[["trial", "model"]]
    rows = source.results.history.merge(chosen, on="trial")
    rows = rows[rows["noise_scale"].notna()]
    out = []
    for model, group in found.groupby("model", sort=False):
        noise = rows.loc[rows["model"] == model, "noise_scale"].astype(float)
        noise = noise.where(noise > 0, np.inf)
        # the nearest, because between a number and infinity there is none
        at = [0.25, 0.5, 0.75]
        quarters = noise.quantile(at, interpolation="nearest") if len(noise) else [np.nan] * 3
        low, middle, high = quarters
        out.append((model, knee(group), middle, low, high))
    return pd.DataFrame(out, columns=["model", "knee", "noise", "noise_low", "noise_high"])


@once
def rules(source: Evidence) -> pd.DataFrame:
    """Best rate at each batch size and what the linear and square-root rules say."""
    ranges = stable_range(fixed(source), ["model", "batch_size"])
    parts = [scaled_rates(rows) for _, rows in ranges.groupby("model", sort=False)]
    return pd.concat(parts, ignore_index=True)


@once
def arms(source: Evidence) -> pd.DataFrame:
    """Every policy, and the fixed size, at the settings that validation chooses for it."""
    frame = source.outcomes
    over = ["learning_rate", "batch_size", "learning_rate_scaling", "batch_policy_parameter"]
    filled = frame.assign(batch_policy_parameter=frame["batch_policy_parameter"].fillna(-1.0))
    return best_per_arm(filled, ["model", "batch_policy"], over)


@once
def against_fixed(source: Evidence) -> pd.DataFrame:
    """Each policy's best against the best fixed size, paired by seed.

    Columns ``panel`` (the model), ``level``, ``effect``, ``low``, ``high``, ``pairs``.
    """
    out = []
    for model, rows in arms(source).groupby("model", sort=False):
        base = rows[rows["batch_policy"] == FIXED].set_index("seed")["accuracy"]
        for policy, group in rows.groupby("batch_policy", sort=False):
            other = group.set_index("seed")["accuracy"]
            seeds = base.index.intersection(other.index)
            if policy == FIXED or seeds.empty:
                continue
            gap = (other[seeds] - base[seeds]).to_numpy()
            out.append((name(model), policy, *bootstrap(gap, np.zeros(len(gap)), mean), len(gap)))
    return pd.DataFrame(out, columns=["panel", "level", "effect", "low", "high", "pairs"])


@needs("batch_updates")
def answer(source: Evidence) -> str:
    """The knee, where the linear rule breaks, and what policies gain."""
    return " ".join(filter(None, (_knee(source), _breaking(source), _policies(source))))


def _knee(source: Evidence) -> str:
    found, sentences = costs(source), []
    for row in knees(source).to_dict("records"):
        of_model = found[found["model"] == row["model"]]
        if len(of_model) < 2:
            continue
        first, last = of_model.iloc[0], of_model.iloc[-1]
        where = f"In the {name(row['model'])} the" if found["model"].nunique() > 1 else "The"
        sentences.append(
            f"{where} target takes {number(first['samples'])} examples in "
            f"{number(first['steps'])} updates at batches of {int(first['batch_size'])}, and "
            f"{number(last['samples'])} in {number(last['steps'])} at {int(last['batch_size'])}; "
            f"up to **batches of {int(row['knee'])}** it takes at most twice the least number of "
            f"examples{_noise(row)}."
        )
    return " ".join(sentences) or "Too few batch sizes reached the target to say where they pay."


def _noise(row: prose.Row) -> str:
    if np.isnan(row["noise"]):
        return ""
    if np.isinf(row["noise"]):
        return (
            ", and at most checkpoints the noise scale is too large to be told (its lower quarter "
            f"is {_scale(row['noise_low'])})"
        )
    return (
        f", and over training the noise scale is {_scale(row['noise'])} in the median (quarters "
        f"{_scale(row['noise_low'])} and {_scale(row['noise_high'])})"
    )


def _scale(value: float) -> str:
    return "beyond measure" if np.isinf(value) else magnitude(value)


def _breaking(source: Evidence) -> str:
    found, sentences = rules(source), []
    for model, rows in found.groupby("model", sort=False):
        if len(rows) < 2:
            continue
        where = f" in the {name(model)}" if found["model"].nunique() > 1 else ""
        sentences.append(
            f"Scaled up from the best rate at {int(rows['batch_size'].iloc[0])}, {rates_of(rows)}"
            f"{where}."
        )
    return " ".join(sentences)


def rates_of(rows: pd.DataFrame) -> str:
    """Up to which batch size each rule gives a good rate, in words."""
    parts = []
    for rule, label in (("linear", "the linear rule"), ("root", "the square-root rule")):
        good = rows[f"{rule}_good"]
        # the first size is the start, good by definition
        broken = rows.loc[~good, "batch_size"]
        if broken.empty:
            parts.append(f"{label} gives a rate within one point of the best at every size")
        else:
            parts.append(f"{label} first misses it at {int(broken.iloc[0])}")
    return prose.listing(parts)


def _policies(source: Evidence) -> str:
    rows = against_fixed(source)
    if rows.empty:
        return ""
    better, worse = rows[rows["low"] > 0], rows[rows["high"] < 0]
    return (
        "Against the best fixed size and rate, each chosen on validation, "
        f"**{_labels(better) or 'no policy'} is better** in test accuracy"
        + (f"; worse: {_labels(worse)}" if len(worse) else "")
        + f" ({len(rows):,} compared)."
    )


def _labels(rows: pd.DataFrame) -> str:
    several = rows["panel"].nunique() > 1
    return prose.listing(
        phrase("batch_policy", row["level"])
        + (f" ({row['panel']})" if several else "")
        + f" by {100 * abs(row['effect']):.1f} points"
        for row in rows.to_dict("records")
    )


@needs("batch_updates")
def cost_figure(source: Evidence) -> str:
    """Updates, examples and seconds to the target by batch size."""
    found = costs(source)
    if found.empty:
        return "No fixed batch size reached the target accuracy in the median trial."
    caption = (
        "What it takes to reach the target accuracy against the batch size, at the learning rate "
        "that reaches it with the fewest examples. Points are medians over seeds, bars from the "
        "least to the greatest. Dotted: updates if examples alone counted. Dashed: the largest "
        "size that takes at most twice the least number of examples; the band is where the noise "
        "scale lies (its quarters over the checkpoints of these trials)."
    )
    alt = "Costs to the target. Examples: " + prose.listing(
        f"{name(r['model'])} at {int(r['batch_size'])} {number(r['samples'])}"
        for r in found.to_dict("records")
    )
    drawing = costs_by_batch_size(found, knees(source))
    return figure(source, "cost-to-target", drawing, caption, f"{alt}.", ("trials", "history"))


@needs("batch_updates")
def cost_table(source: Evidence) -> str:
    """The same as a table."""
    found = costs(source)
    if found.empty:
        return ""
    shown = pd.DataFrame(
        {
            "model": found["model"].map(unbroken),
            "batch size": found["batch_size"].map(lambda size: f"{size:,}"),
            "rate": found["learning_rate"].map(lambda rate: f"{rate:g}"),
            "reached": found["reached"].map(lambda share: prose.percent(share, 0)),
            "updates": found["steps"].map(number),
            "examples": found["samples"].map(number),
            "seconds": found["seconds"].map(number),
        }
    )
    missed = sorted(set(fixed(source)["batch_size"]) - set(found["batch_size"]))
    note = (
        f"\n\nBatches of {prose.listing(map(str, missed))} did not reach the target in the median "
        "trial at any rate."
        if missed
        else ""
    )
    return prose.table(shown) + note


@needs("batch_updates")
def rate_figure(source: Evidence) -> str:
    """Best rate against batch size with both rules."""
    found = rules(source)
    if found["batch_size"].nunique() < 2:
        return "The study has one batch size only."
    caption = (
        "Learning rate with the best validation accuracy (point) and those within one point of it "
        "(bar) against the batch size, and the rates that the linear and the square-root rule "
        "make of the best rate of the smallest batch."
    )
    alt = "Best rate against batch size: " + prose.listing(
        f"{name(r['model'])} at {int(r['batch_size'])} {rates(r['low_rate'], r['high_rate'])}"
        for r in found.to_dict("records")
    )
    return figure(source, "rate-by-batch-size", rates_by_batch_size(found), caption, f"{alt}.")


@needs("batch_updates")
def policy_figure(source: Evidence) -> str:
    """Policies against the best fixed size."""
    rows = against_fixed(source)
    if rows.empty:
        return "The study has no policy beside a fixed batch size."
    pairs = int(rows["pairs"].max())
    caption = (
        "Difference in test accuracy from the best fixed batch size, each policy and the fixed "
        "size at the rate, first size and scaling rule that validation chooses. Points are means "
        f"over {prose.count(pairs, 'pair')} of seeds, bars 95% bootstrap intervals."
    )
    alt = "Forest plot. " + _policies(source).replace("**", "")
    drawing = comparison_forest(
        rows, "difference in test accuracy from the best fixed size (percentage points)"
    )
    return figure(source, "policies", drawing, caption, alt)


@needs("batch_updates")
def policy_table(source: Evidence) -> str:
    """What each policy chose, and what it cost to the target."""
    chosen = costs_to_target(arms(source))
    out = []
    for (model, policy), rows in chosen.groupby(["model", "batch_policy"], sort=False):
        row = rows.iloc[0]
        reached = np.isfinite(rows["samples"]).mean()
        median = rows[["steps", "samples"]].median()
        out.append(
            (
                unbroken(model),
                name(policy),
                f"{row['learning_rate']:g}",
                f"{int(row['batch_size'])}",
                name(row["learning_rate_scaling"]),
                f"{100 * rows['accuracy'].mean():.1f}",
                prose.percent(reached, 0),
                number(median["steps"]),
                number(median["samples"]),
            )
        )
    headings = ["model", "policy", "rate", "first size", "scaling", "test accuracy (%)"]
    headings += ["reached the target", "updates", "examples"]
    text = prose.table(pd.DataFrame(out, columns=headings))
    return f"{text}\n\nUpdates and examples are medians to the target; ∞ where it was not reached."


@needs("batch_updates")
def scaling_rules(source: Evidence) -> str:
    """How the rate should follow a size that changes, over all policies."""
    frame = source.outcomes
    changing = frame[~frame["batch_policy"].isin([FIXED, "full", "accumulate"])]
    if changing["learning_rate_scaling"].nunique() < 2:
        return ""
    best = best_per_arm(changing, ["model", "batch_policy", "learning_rate_scaling"])
    means = best.groupby("learning_rate_scaling", sort=False)[["accuracy", "exploded"]].mean()
    parts = [
        f"{'no scaling' if rule == 'none' else f'{name(rule)} scaling'} "
        f"{prose.percent(row['accuracy'])} ({prose.percent(row['exploded'], 0)} exploded)"
        for rule, row in means.iterrows()
    ]
    return (
        "When a policy changes the batch, should the rate follow? Mean test accuracy over the "
        f"policies, each at its best rate: {prose.listing(parts)}."
    )


@needs("batch_updates")
def size_figure(source: Evidence) -> str:
    """Batch size over training by policy."""
    chosen = arms(source)
    chosen = chosen[~chosen["batch_policy"].isin([FIXED, "full", "accumulate"])]
    if chosen.empty:
        return ""
    columns = ["trial", "model", "batch_policy", "examples", "epochs"]
    rows = source.results.history.merge(chosen[columns], on="trial")
    rows = rows[rows["step"] > 0]
    budget = rows["examples"].astype(float) * rows["epochs"]
    rows = rows.assign(share=rows["samples"] / budget)
    # what is left at the end decides the size of the last updates, not the policy
    rows = rows[rows["share"] < 0.99]
    caption = (
        "Batch size over training, by policy, at the settings that validation chooses; medians "
        "over seeds."
    )
    last = rows.sort_values("samples").drop_duplicates("trial", keep="last")
    last = last.groupby(["model", "batch_policy"], sort=False)["batch_size"].median()
    alt = "Batch size over training. At the end: " + prose.listing(
        f"{name(model)} {name(policy)} {size:,.0f}" for (model, policy), size in last.items()
    )
    drawing = batch_size_over_training(rows, "model")
    return figure(source, "batch-size", drawing, caption, f"{alt}.", ("history", "trials"))


@needs("batch_updates")
def noise_table(source: Evidence) -> str:
    """The noise scale beside the knee."""
    found = knees(source)
    if found.empty:
        return ""
    shown = pd.DataFrame(
        {
            "model": found["model"].map(unbroken),
            "knee": found["knee"].map(number),
            "noise scale": found["noise"].map(_scale),
            "quarters": [
                f"{_scale(low)} to {_scale(high)}"
                for low, high in zip(found["noise_low"], found["noise_high"], strict=True)
            ],
        }
    )
    return prose.table(shown)
