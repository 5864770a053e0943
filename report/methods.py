"""What the methods say of the networks and levels of the grid."""

from __future__ import annotations

from benchmark.status import STATUSES
from report import prose
from report.evidence import Evidence


def networks(study: Evidence) -> list[dict[str, object]]:
    """The networks of a study: ``model``, ``layers`` and ``parameters``, in words."""
    return [
        {
            "model": model,
            "layers": prose.count(int(rows["depth"].iloc[0]), "hidden layer"),
            "parameters": prose.between(rows["parameters"].min(), rows["parameters"].max()),
        }
        for model, rows in study.outcomes.groupby("model", sort=False)
    ]


def levels(study: Evidence) -> list[dict[str, str]]:
    """Each ``factor`` of a study with its ``levels``."""
    return [
        {"factor": f, "levels": ", ".join(map(prose.name, study.outcomes[f].drop_duplicates()))}
        for f in study.factors
    ]


def meanings() -> list[dict[str, str]]:
    """Every status with its meaning."""
    return [{"status": status, "meaning": meaning} for status, meaning in STATUSES.items()]
