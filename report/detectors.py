"""Detectors of lost runs: their scores, and where they come from."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from benchmark import results
from benchmark.diagnosis.detectors import DETECTORS, SHARE, WAIT
from benchmark.statistics import detection
from report import evidence
from report.evidence import Evidence

STUDY, STEPS, TABLE = "detectors", "labelled_steps", "alarms"
OURS = "unhealed"
IN_USE = f"{OURS} {WAIT} {SHARE:g}"
GROUPS = {
    "choosing": "to choose on",
    "reporting": "to report on, of the same kinds",
    "unseen": "to report on, of networks that were not chosen on",
}
COLUMNS = {
    "detector": "{detector:name}",
    **{
        heading: f"{{{name}:percent0}} ({{{name}_low:percent0}} to {{{name}_high:percent0}})"
        for heading, name in (
            *(("fatal", "fatal"), ("fatal, late", "late")),
            *(("healing", "healing"), ("stable", "stable")),
        )
    },
    "separation": "{separation:fixed2}",
    "lead in steps": "{lead:whole} ({lead_low:whole} to {lead_high:whole})",
}
"""Headings and cells of the tables of detectors."""
SHOWN = {"fatal": "fatal", "healing": "healing", "stable": "stable"}
EARLY = detection.EARLY
diagnosed_right = detection.diagnosed_right


def alarms() -> tuple[Evidence, pd.DataFrame] | None:
    """Where the alarms come from, and the table of them; None where there are none."""
    return _alarms(evidence.default_folder() / STUDY)


def folder() -> str:
    """The results folder, for a reader on another machine."""
    return evidence.shown(evidence.default_folder())


@functools.lru_cache(4)
def _alarms(folder: evidence.Path) -> tuple[Evidence, pd.DataFrame] | None:
    path = folder / f"{TABLE}.parquet"
    if not path.exists():
        return None
    found, metadata = results.read(TABLE, path)
    empty = pd.DataFrame()
    return Evidence(
        STUDY, folder, results.Results(empty, empty, empty, empty, metadata=metadata)
    ), found


def scores(found: pd.DataFrame, group: str) -> pd.DataFrame:
    """`benchmark.statistics.detection.scores` of the registered detectors on a group of trials.

    With the ``rule`` and the ``reference`` of each; empty where the group is.
    """
    rows = found[found["detector"].isin(DETECTORS) & (found["group"] == group)]
    if rows.empty:
        return pd.DataFrame()
    scored = detection.scores(rows)
    rules = [DETECTORS[name] for name in scored["detector"]]
    return scored.assign(
        rule=[rule.summary for rule in rules], reference=[rule.reference for rule in rules]
    )


def shares(scored: pd.DataFrame) -> pd.DataFrame:
    """A row a detector and outcome: ``panel``, ``level``, ``share``, ``low``, ``high``."""
    rows = [
        {
            "panel": f"{words} (n = {row[f'{name}_n']:.0f})",
            "level": row["detector"],
            **ends(row, name),
        }
        for name, words in SHOWN.items()
        for row in scored.to_dict("records")
        if row[f"{name}_n"]
    ]
    return pd.DataFrame(rows)


def ends(row: Mapping[Hashable, Any] | pd.Series, name: str) -> dict[str, float]:
    """One share of a detector with its interval: ``share``, ``low``, ``high``."""
    return {"share": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}


def chosen(found: pd.DataFrame) -> str:
    """The pair of numbers of the rule that separates best on the trials to choose on."""
    return detection.best(_tried(found)[lambda rows: rows["group"] == "choosing"])


def pairs(found: pd.DataFrame) -> int:
    """How many pairs of numbers of the rule were tried."""
    return int(_tried(found)["detector"].nunique())


def _tried(found: pd.DataFrame) -> pd.DataFrame:
    return found[found["detector"].str.startswith(f"{OURS} ")]


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Trials of each group, a column for each outcome, with the ``words`` of the group."""
    trials = found.drop_duplicates("trial")
    wide = trials.groupby(["group", "outcome"]).size().unstack(fill_value=0)
    wide = wide.reindex(columns=list(detection.OUTCOMES), fill_value=0).reset_index()
    return wide.assign(words=wide["group"].map(GROUPS))


def digests(study: Evidence) -> str:
    """SHA-256 of the files behind the page, and their names."""
    files = [study.folder / f"{table}.parquet" for table in (STEPS, TABLE)]
    return "\n".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {study.file(file.stem)}"
        for file in files
        if file.exists()
    )
