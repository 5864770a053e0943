"""What happened in the checkpoints about the first bad step."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.status import exploded

NORM = "gradient_norm_max"


def aligned_at_onset(history: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``history`` of the trials that exploded, with ``offset``, ``norm`` and ``ratio``.

    ``offset`` counts checkpoints from the one by which the first bad step was taken: 0 there,
    negative before. ``norm`` is the largest gradient norm since the checkpoint before, infinite
    where it was not finite; ``ratio`` that over its value at the first checkpoint, NaN where the
    first one was not finite.
    """
    bad = trials[exploded(trials)].dropna(subset=["first_bad_step"])[["trial", "first_bad_step"]]
    rows = history[history["step"] > 0].merge(bad, on="trial").sort_values(["trial", "step"])
    groups = rows.groupby("trial", sort=False)
    place = groups.cumcount()
    reached = rows["step"] >= rows["first_bad_step"].astype(float)
    onset = place.where(reached).groupby(rows["trial"]).transform("min")
    norm = rows[NORM].astype(float).fillna(np.inf)
    first = norm.groupby(rows["trial"]).transform("first")
    with np.errstate(all="ignore"):
        ratio = (norm / first).where(np.isfinite(first) & (first > 0))
    return rows.assign(offset=place - onset, norm=norm, ratio=ratio).dropna(subset=["offset"])


def growth_before_onset(aligned: pd.DataFrame) -> pd.DataFrame:
    """Columns ``trial``, ``before``, ``growth``: the norm's growth ahead of the first bad step.

    ``before`` counts the checkpoints ahead of the one with the first bad step; ``growth`` is the
    largest norm in the last of them over that in the first checkpoint, NaN where there are fewer
    than two.
    """
    ahead = aligned[aligned["offset"] < 0]
    counts = ahead.groupby("trial").size()
    last = ahead[ahead["offset"] == -1].set_index("trial")["ratio"]
    out = pd.DataFrame({"before": counts, "growth": last.where(counts >= 2)})
    out = out.reindex(aligned["trial"].unique()).rename_axis("trial")
    return out.fillna({"before": 0}).reset_index()
