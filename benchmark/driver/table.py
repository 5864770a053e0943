"""The closing table of a run."""

from __future__ import annotations

import pandas as pd

from benchmark.status import STATUSES

BEST = 5


def closing_table(trials: pd.DataFrame) -> str:
    """How many trials ended how, and the best cells by mean validation accuracy over seeds."""
    counts = trials["status"].value_counts().reindex(list(STATUSES)).dropna().astype(int)
    lines = [f"{len(trials)} trials: " + ", ".join(f"{n} {s}" for s, n in counts.items())]
    done = trials.dropna(subset=["validation_accuracy"])
    if done.empty:
        return lines[0]
    factors = ["model", "clipping", "normalization", "batch_policy", "learning_rate", "arm"]
    factors = [f for f in factors if done[f].nunique() > 1]
    groups = done.groupby("cell", sort=False)
    best = groups[factors].first()
    best["seeds"] = groups.size()
    best["validation accuracy"] = groups["validation_accuracy"].mean().round(4)
    # a cell that exploded on one of its seeds is not represented by the others
    whole = trials.groupby("cell")["validation_accuracy"].apply(lambda a: a.notna().all())
    best = best[whole.reindex(best.index)]
    best = best.sort_values("validation accuracy", ascending=False, kind="stable").head(BEST)
    if best.empty:
        return lines[0]
    lines += ["best cells:", best.to_string(index=False, float_format=lambda x: f"{x:.4g}")]
    return "\n".join(lines)
