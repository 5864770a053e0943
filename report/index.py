"""What the first page says of the whole: what was run, and what was not."""

from __future__ import annotations

import shlex

import pandas as pd

from report import evidence, throughput

REPEATED = ("published", "edge_of_stability")
"""Studies that repeat what others have measured, on networks and data of theirs."""


def not_run() -> list[str]:
    """Studies of the suite of which the folder holds nothing."""
    missing = [study for study in evidence.PAGES if not evidence.load(study)]
    # its rows are timings, and no trials
    return [study for study in missing if study != throughput.STUDY or throughput.timed() is None]


def narrowed() -> list[str]:
    """Studies that the folder holds a part of: their command narrowed a factor with ``--only``."""
    return [e.study for e in evidence.all_studies() if "--only" in shlex.split(e.command)]


def everything() -> pd.DataFrame:
    """Some columns of the trained outcomes of all studies but the `REPEATED`."""
    frames = [e.outcomes for e in evidence.all_studies() if e.study not in REPEATED]
    columns = ["dataset", "model", "optimizer", "schedule", "steps"]
    rows = pd.concat([pd.DataFrame(columns=columns), *(f[columns] for f in frames)])
    return rows[rows["steps"] > 0]
