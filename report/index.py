"""What the first page says of the whole: what was run, and what came out."""

from __future__ import annotations

import pandas as pd

from report import evidence
from report.evidence import Evidence


def folder() -> str:
    """The results folder, for a reader on another machine."""
    return evidence.shown(evidence.default_folder())


def completeness() -> pd.DataFrame:
    """Expected and present trials of every study, with ``missing``."""
    return evidence.completeness_of_all()


def built_from() -> list[dict[str, object]]:
    """Every study: ``study``, ``question``, ``trials``, ``scale``, ``commit``, ``device``."""
    counts = completeness().set_index("study")
    return [
        {
            "study": e.study,
            "question": e.question,
            "present": int(counts.loc[e.study, "present"]),
            "expected": int(counts.loc[e.study, "expected"]),
            "scale": e.scale,
            "commit": e.commit,
            "device": str(e.metadata.get("device", "unknown")),
        }
        for e in evidence.all_studies()
    ]


def everything() -> dict[str, object]:
    """Trials, updates and the levels of all studies together."""
    frames = [study.outcomes for study in evidence.all_studies()]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return {
        "trials": len(rows),
        "updates": float(rows["steps"].sum()),
        "datasets": list(dict.fromkeys(rows["dataset"])),
        "models": list(dict.fromkeys(rows["model"])),
    }


def missed_by_nan(study: Evidence) -> dict[str, float]:
    """Share of the exploded trials that end in finite numbers, with its interval."""
    from report.explosion import exploded, missed

    return missed(exploded(study)) if len(exploded(study)) else {}
