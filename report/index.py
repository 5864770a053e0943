"""What the first page says of the whole: what was run, and what was not."""

from __future__ import annotations

import shlex

import pandas as pd

from benchmark.statistics.selection import CELL
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
    """The configuration, the seed and the steps of each trained outcome of all but the `REPEATED`.

    With ``study``.
    """
    columns = [*CELL, "seed", "steps"]
    frames = [
        e.outcomes[columns].assign(study=e.study)
        for e in evidence.all_studies()
        if e.study not in REPEATED
    ]
    rows = pd.concat(frames or [pd.DataFrame(columns=[*columns, "study"])], ignore_index=True)
    return rows[rows["steps"] > 0]


def counted() -> dict[str, int]:
    """How the trials with a row come down to those that pages compare.

    Of ``rows``, those that were ``skipped`` or failed, ``tuning`` runs by which rates were found,
    ``untrained`` ones (networks measured at their initialization), ``repeated`` ones (of the
    `REPEATED`), and the ``trained`` rest, of which ``distinct`` differ in configuration or seed;
    ``within`` counts the others that are in one study twice.
    """
    studies, trained = evidence.all_studies(), everything()
    again = trained[trained.duplicated([*CELL, "seed"])]
    within = trained[trained.duplicated([*CELL, "seed", "study"])]
    own = [e.outcomes for e in studies if e.study in REPEATED]
    untrained = sum(int((e.outcomes["steps"] == 0).sum()) for e in studies)
    return {
        "rows": sum(len(e.results.trials) for e in studies),
        "skipped": sum(len(e.results.trials) - len(e.outcomes) - len(e.looked) for e in studies),
        "tuning": sum(len(e.looked) for e in studies),
        "untrained": untrained,
        "repeated": sum(int((rows["steps"] > 0).sum()) for rows in own),
        "trained": len(trained),
        "distinct": len(trained) - len(again),
        "within": len(within),
    }
