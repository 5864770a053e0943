"""What trouble late in training costs, and which guard makes it up."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics.disturbances import accuracy_lost, made_up, recovery
from report.evidence import Evidence, where


@functools.lru_cache(8)
def losses(study: Evidence) -> pd.DataFrame:
    """`accuracy_lost` by model and clipping, with ``effect`` = ``lost`` and a ``panel`` each.

    Beside it what no guard loses, with its interval: ``bare``, ``bare_low`` and ``bare_high``. A
    guard helps where its whole interval lies below that, and harms where it lies above.
    """
    rows = accuracy_lost(study.outcomes, ["model", "clipping"])
    rows = rows.assign(
        effect=rows["lost"], level=rows["clipping"], panel=rows["disturbance"].str.replace("_", " ")
    )
    keys, ends = ["disturbance", "model"], {"lost": "bare", "low": "bare_low", "high": "bare_high"}
    bare = where(rows, clipping="none")[[*keys, *ends]].rename(columns=ends)
    return rows.merge(bare, on=keys, how="left")


@functools.lru_cache(8)
def recoveries(study: Evidence) -> pd.DataFrame:
    """`recovery` by model and clipping: who made up the loss, and in how many updates."""
    return recovery(made_up(study.outcomes, study.results.history), ["model", "clipping"])
