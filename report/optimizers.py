"""Do better optimizers, more epochs and guards make training safer?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import best_per_arm, interval, mean, paired_comparison, stable_range
from report.evidence import Evidence
from report.headline import TIMES
from report.prose import name

GUARDS = ("skip_step", "global_norm")


def relative(study: Evidence) -> bool:
    """Whether rates are multiples of each configuration's own best one."""
    return bool(study.outcomes["arm"].isin(list(TIMES)).all())


def by_multiple(study: Evidence) -> pd.DataFrame:
    """`bare` with ``times`` the best rate; empty where rates are no multiples."""
    rows = bare(study)
    return rows.assign(times=rows["arm"].map(TIMES)) if relative(study) else rows.iloc[:0]


def whether_exploded(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with ``exploded`` as a truth value, whose share has Wilson's interval."""
    return rows.assign(exploded=rows["exploded"].astype(bool))


def bare(study: Evidence) -> pd.DataFrame:
    """Trials without a guard, at a constant rate, with a ``panel`` for each model and budget."""
    return _bare(study.outcomes)


def _bare(frame: pd.DataFrame) -> pd.DataFrame:
    return _by_panel(frame[(frame["clipping"] == "none") & (frame["schedule"] == "constant")])


def _by_panel(rows: pd.DataFrame) -> pd.DataFrame:
    panels = [
        f"{name(model)}, {f'{updates:,.0f} updates' if pd.isna(epochs) else f'{epochs:g} epochs'}"
        for model, epochs, updates in zip(
            rows["model"], rows["epochs"], rows["updates"], strict=True
        )
    ]
    return rows.assign(panel=panels)


def shared(study: Evidence) -> pd.DataFrame:
    """`bare` at the budgets at which every optimizer was trained: they alone rank optimizers."""
    rows = bare(study)
    counts = rows.groupby("panel")["optimizer"].nunique()
    whole = counts.index[counts == rows["optimizer"].nunique()]
    return rows[rows["panel"].isin(whole)]


def ranked(study: Evidence) -> pd.DataFrame:
    """By optimizer, at the budgets of `shared`, the most accurate first.

    The share ``exploded`` over all rates; the mean ``accuracy`` at the best one with its interval,
    ``low`` and ``high``.
    """
    rows = shared(study)
    if rows.empty:
        return pd.DataFrame()
    shares = rows.groupby("optimizer", sort=False)["exploded"].mean().reset_index()
    best = best_per_arm(rows, ["panel", "optimizer"])
    accuracy = interval(best, "accuracy", ["optimizer"], statistic=mean)
    accuracy = accuracy.rename(columns={"estimate": "accuracy"})
    return shares.merge(accuracy, on="optimizer").sort_values(
        "accuracy", ascending=False, kind="stable", ignore_index=True
    )


def scheduled(study: Evidence) -> pd.DataFrame:
    """By schedule and optimizer the mean accuracy without a guard at the budgets of `shared`.

    The most accurate first; only schedules that are not constant.
    """
    frame = study.outcomes
    rows = _by_panel(frame[(frame["clipping"] == "none") & (frame["schedule"] != "constant")])
    rows = rows[rows["panel"].isin(shared(study)["panel"].unique())]
    if rows.empty:
        return pd.DataFrame()
    best = best_per_arm(rows, ["panel", "schedule", "optimizer"])
    found = interval(best, "accuracy", ["schedule", "optimizer"], statistic=mean)
    return found.rename(columns={"estimate": "accuracy"}).sort_values(
        "accuracy", ascending=False, kind="stable", ignore_index=True
    )


def plainer(study: Evidence) -> list[str]:
    """Optimizers that were trained in fewer settings (guards, schedules, budgets) than others."""
    settings = ["clipping", "schedule", "epochs", "updates"]
    counts = (
        study.outcomes[["optimizer", *settings]]
        .drop_duplicates()
        .groupby("optimizer", sort=False)
        .size()
    )
    return list(counts.index[counts < counts.max()])


@functools.lru_cache(8)
def changes(study: Evidence, value: str) -> pd.DataFrame:
    """What guards, schedules and the longest budget do: `paired_comparison` with ``factor``."""
    frame = study.outcomes
    pairs = [(frame, "clipping", "none"), (frame, "schedule", "constant")]
    for unit in ("epochs", "updates"):
        budgets = sorted(frame[unit].dropna().unique())
        if len(budgets) > 1:
            ends = frame[frame[unit].isin([budgets[0], budgets[-1]])]
            pairs.append((ends, unit, budgets[0]))
    ignored = ["learning_rate"] if relative(study) else []
    parts = [
        paired_comparison(rows, factor, baseline, value, ignore=ignored).assign(factor=factor)
        for rows, factor, baseline in pairs
    ]
    return pd.concat(parts, ignore_index=True)


def guards(study: Evidence) -> pd.DataFrame:
    """Each guard for each optimizer: the columns of `paired_comparison`, ``panel`` and ``row``."""
    panels = {"exploded": "share of explosions", "accuracy": "test accuracy"}
    ignored = ["learning_rate"] if relative(study) else []
    parts = [
        paired_comparison(rows, "clipping", "none", value, ignore=ignored).assign(
            panel=panel, row=optimizer
        )
        for value, panel in panels.items()
        for optimizer, rows in study.outcomes.groupby("optimizer", sort=False)
    ]
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(clipping=rows["level"])


def summary(study: Evidence) -> list[dict[str, object]]:
    """Best rate, range and accuracy of every optimizer and budget, and its explosions by guard.

    All at a constant rate. Where rates are multiples of the best, the range is that of the rates
    among which the best was looked for.
    """
    found = []
    tried = _bare(study.tried)
    guarded = _by_panel(study.outcomes[study.outcomes["schedule"] == "constant"])
    by = ["panel", "optimizer"]
    in_order = bare(study).sort_values(["updates", "epochs"], kind="stable")
    for key, part in in_order.groupby(by, sort=False):
        looked, all_guards = (
            rows[(rows[by] == list(key)).all(axis=1)] for rows in (tried, guarded)
        )
        shares = all_guards.groupby("clipping")["exploded"].mean()
        found.append(
            {
                "panel": key[0],
                **stable_range(looked, ["optimizer"]).iloc[0],
                "accuracy": best_per_arm(part, ["panel"])["accuracy"].mean(),
                **{guard: shares.get(guard) for guard in ("none", *GUARDS)},
            }
        )
    return found
