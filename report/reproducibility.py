"""Where the numbers come from: completeness, versions and hashes."""

from __future__ import annotations

import pandas as pd

from benchmark.schema import SCHEMA_VERSION, TABLES
from report import evidence

all_studies, dated = evidence.all_studies, evidence.dated
VERSION, COLUMNS = SCHEMA_VERSION, TABLES
SOFTWARE = ("python", "torch", "optuna", "numpy", "pandas", "pyarrow")


def folder() -> str:
    """The results folder, for a reader on another machine."""
    return evidence.shown(evidence.default_folder())


def completeness() -> pd.DataFrame:
    """Expected, present, missing, finished, skipped and failed trials by study and arm."""
    rows = evidence.completeness_of_all(("study", "arm"))
    return rows.assign(arm=rows["arm"].replace("", "all").str.replace(":", " "))


def reasons() -> list[dict[str, object]]:
    """Why trials were skipped or failed: ``study``, ``status``, ``reason``, ``trials``."""
    found = []
    for study in evidence.all_studies():
        trials = study.results.trials
        rows = trials[trials["status"].isin(["skipped", "failed"])]
        for (status, reason), group in rows.groupby(["status", "status_reason"]):
            said = {"status": status, "reason": reason, "trials": len(group)}
            found.append({"study": study.study, **said})
    return found


def environments() -> list[dict[str, object]]:
    """When, on what and with which versions every study ran."""
    return [
        {
            "study": study.study,
            "created": str(study.metadata.get("created", "unknown"))[:16].replace("T", " "),
            "platform": study.metadata.get("platform", "unknown"),
            "versions": ", ".join(f"{p} {study.metadata.get(p, 'unknown')}" for p in SOFTWARE),
        }
        for study in evidence.all_studies()
    ]


def hashes() -> str:
    """SHA-256 of every file that was read, a line each."""
    return "\n".join(
        f"{row['sha256']}  {row['file']}"
        for study in evidence.all_studies()
        for row in study.hashes().to_dict("records")
    )
