"""Do better optimizers, more epochs and guards make training safer?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import best_per_arm, interval, mean, paired_comparison, stable_range
from report.evidence import Evidence, where
from report.prose import name

GUARDS = ("skip_step", "global_norm")


def relative(study: Evidence) -> bool:
    """Whether rates are multiples of each configuration's own best one."""
    return len(study.relative) == len(study.outcomes)


def bare(frame: pd.DataFrame) -> pd.DataFrame:
    """Trials without a guard, at a constant rate, with a ``panel`` for each model and budget."""
    return panels(where(frame, clipping="none", schedule="constant"))


def panels(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with model and budget in words, as ``panel``."""
    budgets = zip(rows["model"], rows["epochs"], rows["updates"], strict=True)
    named = [
        f"{name(m)}, {f'{updates:,.0f} updates' if pd.isna(epochs) else f'{epochs:g} epochs'}"
        for m, epochs, updates in budgets
    ]
    return rows.assign(panel=named)


def shared(study: Evidence) -> pd.DataFrame:
    """`bare` at the budgets at which every optimizer was trained: they alone rank optimizers."""
    rows = bare(study.outcomes)
    counts = rows.groupby("panel")["optimizer"].nunique()
    whole = counts.index[counts == rows["optimizer"].nunique()]
    return rows[rows["panel"].isin(whole)]


def ranked(study: Evidence, rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The mean ``accuracy`` of ``rows`` at their best rates, with its ``low`` and ``high``.

    By the columns of ``by``, at the budgets of `shared`, the most accurate first; and the share
    ``exploded`` over all rates.
    """
    rows = where(rows, panel=list(shared(study)["panel"].unique()))
    if rows.empty:
        return pd.DataFrame()
    shares = rows.groupby(by, sort=False)["exploded"].mean().reset_index()
    found = interval(best_per_arm(rows, ["panel", *by]), "accuracy", by, statistic=mean)
    return shares.merge(found.rename(columns={"estimate": "accuracy"}), on=by).sort_values(
        "accuracy", ascending=False, kind="stable", ignore_index=True
    )


def plainer(study: Evidence) -> list[str]:
    """Optimizers that were trained in fewer settings (guards, schedules, budgets) than others."""
    settings = ["clipping", "schedule", "epochs", "updates"]
    each = study.outcomes[["optimizer", *settings]].drop_duplicates()
    counts = each.groupby("optimizer", sort=False).size()
    return list(counts.index[counts < counts.max()])


@functools.lru_cache(8)
def changes(study: Evidence, value: str) -> pd.DataFrame:
    """What guards, schedules and the longest budget do: `paired_comparison` with ``factor``."""
    rows = study.outcomes
    pairs = [(rows, "clipping", "none"), (rows, "schedule", "constant")]
    for unit in ("epochs", "updates"):
        budgets = sorted(rows[unit].dropna().unique())
        if len(budgets) > 1:
            pairs.append((where(rows, **{unit: [budgets[0], budgets[-1]]}), unit, budgets[0]))
    ignore = ["learning_rate"] if relative(study) else []
    return pd.concat(
        [
            paired_comparison(some, factor, baseline, value, ignore=ignore).assign(factor=factor)
            for some, factor, baseline in pairs
        ],
        ignore_index=True,
    )


def guards(study: Evidence) -> pd.DataFrame:
    """Each guard for each optimizer: the columns of `paired_comparison`, ``panel`` and ``row``."""
    ignore = ["learning_rate"] if relative(study) else []
    parts = [
        paired_comparison(
            study.outcomes, "clipping", "none", value, by=["optimizer"], ignore=ignore
        )
        for value in ("exploded", "accuracy")
    ]
    rows = pd.concat(parts, keys=["share of explosions", "test accuracy"], names=["panel"])
    rows = rows.reset_index("panel").rename(columns={"optimizer": "row"})
    return rows.assign(clipping=rows["level"])


def summary(study: Evidence) -> pd.DataFrame:
    """Best rate, range and accuracy of every optimizer and budget, and its explosions by guard.

    All at a constant rate. Where rates are multiples of the best, the range is that of the rates
    among which the best was looked for.
    """
    by = ["panel", "optimizer"]
    rows = bare(study.outcomes).sort_values(["updates", "epochs"], kind="stable")
    guarded = panels(where(study.outcomes, schedule="constant"))
    shares = guarded.groupby([*by, "clipping"])["exploded"].mean().unstack()
    best = best_per_arm(rows, by).groupby(by, sort=False)["accuracy"].mean()
    found = best.to_frame().join(shares.reindex(columns=["none", *GUARDS])).reset_index()
    return found.merge(stable_range(bare(study.tried), by), on=by)
