"""What the first page says of the whole: what was run, and what was not."""

from __future__ import annotations

import shlex
from collections.abc import Collection

import pandas as pd

from benchmark.project import SCALES as SCALES
from benchmark.statistics.selection import CELL
from report import evidence, not_run
from report.evidence import Evidence
from report.prose import count

BRIEF = ("smoke", "quick", "standard")
"""Scales whose trials are too short for conclusions: docs/experiments.md, on updates."""
REPEATED = ("published", "edge_of_stability")
"""Studies that repeat what others have measured, on networks and data of theirs."""


def without_lead(links: Collection[str]) -> list[Evidence]:
    """The studies of the suite to whose page none of the ``links`` of findings leads."""
    studies = [study for study in map(evidence.load, not_run.of_suite()) if study]
    return [s for s in studies if f"[]({not_run.PAGES[s.study]}.md)" not in links]


def seeds_of_suite() -> str:
    """How many seeds a configuration has in the studies of the suite: ``1 to 3 seeds``."""
    studies = [study for study in map(evidence.load, evidence.PAGES) if study]
    fewest, most = (pick(s.seeds[i] for s in studies) for i, pick in ((0, min), (1, max)))
    return count(most, "seed") if fewest == most else f"{fewest} to {count(most, 'seed')}"


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
