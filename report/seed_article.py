"""Do the article's own networks train, and what does each remedy do: the page of the article."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmark.figures.effects import effect_rows
from benchmark.statistics import interval, mean, paired_comparison, status_shares
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, phrase
from report.quantities import unbroken
from report.remembering import once

REMEDIES = (
    *("learning_rate", "schedule", "clipping", "normalization", "batch_size"),
    *("batch_policy", "optimizer"),
)
"""What the study changes, one at a time."""
OWN = {
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 128,
    "clipping": "none",
    "normalization": "none",
    "schedule": "constant",
    "batch_policy": "fixed",
}
"""The article's own settings."""
STATUS_WORDS = {
    "stable": "left chance without a spike",
    "recovered": "spiked and then learned",
    "damaged": "spiked and neither learned nor stayed at chance",
    "collapsed": "fell to chance",
    "dead": "spiked and never learned",
    "stalled": "never learned",
    "nonfinite": "stopped being finite",
}


def differs(frame: pd.DataFrame) -> pd.DataFrame:
    """For each remedy, whether a trial's level is another than the article's own."""
    return pd.DataFrame({factor: frame[factor] != OWN[factor] for factor in REMEDIES})


def own(source: Evidence) -> pd.DataFrame:
    """The trials at the article's own settings."""
    frame = source.outcomes
    return frame[~differs(frame).any(axis=1)]


@once
def remedies(source: Evidence, value: str = "accuracy") -> pd.DataFrame:
    """Every remedy against the article's own settings, paired by seed.

    The columns of `paired_comparison`, with ``panel`` (network and data set) and ``factor``.
    """
    frame = source.outcomes
    apart = differs(frame)
    keys = ["model", "dataset"]
    several = frame["dataset"].nunique() > 1
    parts = []
    for factor in REMEDIES:
        # the own settings, and those that differ in this one only
        rows = frame[~apart.drop(columns=factor).any(axis=1)]
        for (model, dataset), group in rows.groupby(keys, sort=False):
            found = paired_comparison(group, factor, OWN[factor], value)
            panel = f"{name(model)} on {name(dataset)}" if several else name(model)
            parts.append(found.assign(panel=panel, factor=factor))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def label(factor: str, level: Any) -> str:
    """A remedy in words."""
    if factor in ("learning_rate", "batch_size"):
        return f"{name(factor)} {level:g}"
    if factor == "schedule":
        return f"{name(level)} schedule"
    return name(level) if factor == "optimizer" else phrase(factor, level)


@needs("article")
def answer(source: Evidence) -> str:
    """Whether the networks train at the article's settings, and which remedies help."""
    frame = own(source)
    if frame.empty:
        return "The study has no trial at the article's own settings."
    parts = [
        f"the {name(model)} on {name(dataset)} reaches "
        f"{prose.percent(rows['accuracy'].mean())} of test accuracy ({_ends(rows)})"
        for (model, dataset), rows in frame.groupby(["model", "dataset"], sort=False)
    ]
    return f"With the article's settings {prose.listing(parts)}. {_helping(source)}"


def _ends(rows: pd.DataFrame) -> str:
    counts = rows["status"].value_counts()
    if len(counts) == 1:
        all_of_them = "its one run" if len(rows) == 1 else f"all {len(rows)} runs"
        return f"{all_of_them} {STATUS_WORDS[str(counts.index[0])]}"
    return prose.listing(
        f"{counts[status]:,} of {len(rows):,} runs {words}"
        for status, words in STATUS_WORDS.items()
        if status in counts
    )


def _helping(source: Evidence) -> str:
    rows = remedies(source)
    if rows.empty:
        return "No remedy was tried."
    helps, hurts = rows[rows["low"] > 0], rows[rows["high"] < 0]
    count = prose.count(len(rows), "comparison")
    text = (
        f"Of {count} of a remedy with these settings, paired by seed, {len(helps)} "
        f"measurably raise accuracy and {len(hurts)} lower it."
    )
    if len(helps):
        best = helps.sort_values("effect").iloc[-1]
        text += (
            f" Most is gained by **{label(best['factor'], best['level'])}** in the "
            f"{best['panel']}: {prose.points(best['effect'])} "
            f"({prose.spread(best['low'], best['high'])})."
        )
    return text


@needs("article")
def endings(source: Evidence) -> str:
    """How the trials at the article's own settings ended."""
    rows = own(source)
    if rows.empty:
        return ""
    shares = status_shares(rows, ["model", "dataset"])
    wide = shares.pivot_table(
        index=["model", "dataset"], columns="status", values="count", sort=False
    ).reset_index()
    accuracy = interval(rows, "accuracy", ["model", "dataset"], statistic=mean)
    wide = wide.merge(accuracy, on=["model", "dataset"])
    shown = pd.DataFrame(
        {"model": wide["model"].map(unbroken), "data": wide["dataset"].map(unbroken)}
    )
    for status in STATUS_WORDS:
        shown[status] = wide[status].map(lambda count: f"{count:.0f}")
    shown["test accuracy (%)"] = [f"{100 * a:.1f}" for a in wide["estimate"]]
    return prose.table(shown)


@needs("article")
def forest(source: Evidence) -> str:
    """Every remedy's paired difference."""
    rows = remedies(source)
    if rows.empty:
        return ""
    labels = [label(f, level) for f, level in zip(rows["factor"], rows["level"], strict=True)]
    shown = rows.assign(row=labels, changed=rows["factor"])
    caption = (
        "Paired differences in test accuracy from the article's own settings (Adam, rate 0.01, "
        "batches of 128, 100 steps), one change at a time. Points are means over "
        f"{prose.count(int(rows['pairs'].max()), 'pair')} of seeds, bars 95% bootstrap intervals. "
        "The axis is linear up to one point and logarithmic beyond."
    )
    alt = "Forest plot of remedies. " + _helping(source).replace("**", "")
    label_of_axis = "difference in test accuracy (percentage points)"
    drawing = effect_rows(shown, "changed", label_of_axis, symlog=True)
    return figure(source, "article", drawing, caption, alt)


@needs("article")
def table(source: Evidence) -> str:
    """Every remedy with its effect on accuracy and on explosions."""
    rows = remedies(source)
    if rows.empty:
        return ""
    shown = pd.DataFrame(
        {
            "network": rows["panel"].str.replace(" ", "\N{NO-BREAK SPACE}"),
            "changed": rows["factor"].map(name),
            "to": [
                f"{level:g}" if isinstance(level, int | float) else name(level)
                for level in rows["level"]
            ],
            "pairs": rows["pairs"],
            "accuracy (points)": rows["effect"].map(prose.signed),
            "95% interval": prose.intervals(rows),
            "p (Holm)": [prose.p_value(p).removeprefix("p = ") for p in rows["p_holm"]],
        }
    )
    shown["p (Holm)"] = shown["p (Holm)"].str.replace("p < ", "< ")
    return f"{prose.table(shown)}\n\nP-values are corrected for the levels of each factor."
