"""Do better optimizers, more epochs and guards make training safer?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import best_per_arm, paired_comparison, stable_range
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
    frame = study.outcomes
    rows = frame[(frame["clipping"] == "none") & (frame["schedule"] == "constant")]
    panels = [
        f"{name(model)}, {f'{updates:,.0f} updates' if pd.isna(epochs) else f'{epochs:g} epochs'}"
        for model, epochs, updates in zip(
            rows["model"], rows["epochs"], rows["updates"], strict=True
        )
    ]
    return rows.assign(panel=panels)


def ranked(study: Evidence) -> pd.DataFrame:
    """By optimizer: the share ``exploded`` over all rates, and the ``accuracy`` at the best one."""
    rows = bare(study)
    shares = rows.groupby("optimizer", sort=False)["exploded"].mean()
    best = best_per_arm(rows, ["panel", "optimizer"])
    accuracy = best.groupby("optimizer", sort=False)["accuracy"].mean()
    return pd.DataFrame({"exploded": shares, "accuracy": accuracy}).reset_index()


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
    """Best rate, range and accuracy of every optimizer, and its explosions by guard."""
    found = []
    for (model, optimizer), part in bare(study).groupby(["model", "optimizer"], sort=False):
        frame = study.outcomes
        frame = frame[(frame["optimizer"] == optimizer) & (frame["model"] == model)]
        shares = frame.groupby("clipping")["exploded"].mean()
        found.append(
            {
                "model": model,
                **stable_range(part, ["optimizer"]).iloc[0],
                "accuracy": best_per_arm(part, ["panel"])["accuracy"].mean(),
                **{guard: shares.get(guard) for guard in ("none", *GUARDS)},
            }
        )
    return found
