"""What the first page says of the whole: what was run, and what came out."""

from __future__ import annotations

import shlex

import pandas as pd

from benchmark.figures import words
from report import (
    advice,
    claims,
    disturbances,
    evidence,
    explosion,
    headline,
    initialization,
    thresholds,
    throughput,
)

CLAIMS, QUESTIONS = claims.CLAIMS, advice.QUESTIONS
exploded, missed = explosion.exploded, explosion.missed
plain_and_aided = explosion.plain_and_aided
dense, deepest = initialization.dense, initialization.deepest
same_products = thresholds.same_products
against_none, holding, room = headline.against_none, headline.holding, headline.room
harm = disturbances.harm
dated = evidence.dated
FAMILIES = {
    **{"mlp": "dense", "cnn": "convolutional", "rnn": "recurrent", "resnet": "residual"},
    "transformer": "transformer",
}
"""What a model is, by the first word of its name."""
REPEATED = ("published", "edge_of_stability")
"""Studies that repeat what others have measured, on networks and data of theirs."""


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


def not_run() -> list[str]:
    """Studies of the suite of which the folder holds nothing."""
    missing = [study for study in evidence.PAGES if not evidence.load(study)]
    # its rows are timings, and no trials
    return [study for study in missing if study != throughput.STUDY or throughput.timed() is None]


def narrowed() -> list[str]:
    """Studies that the folder holds a part of: their command narrowed a factor with ``--only``."""
    return [e.study for e in evidence.all_studies() if "--only" in shlex.split(e.command)]


def everything() -> dict[str, object]:
    """Trained trials, updates, data sets and families of networks of all but the `REPEATED`.

    ``measured`` counts those that were looked at before any update, and not trained.
    """
    studies = [e for e in evidence.all_studies() if e.study not in REPEATED]
    frames = [study.outcomes for study in studies]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    # of a custom model the whole name
    found = [FAMILIES.get(name.split("_")[0], words(name)) for name in rows["model"].unique()]
    return {
        "trials": int((rows["steps"] > 0).sum()) if len(rows) else 0,
        "measured": int((rows["steps"] == 0).sum()) if len(rows) else 0,
        "updates": float(rows["steps"].sum()),
        "datasets": list(dict.fromkeys(rows["dataset"])),
        "families": sorted(set(found), key=[*FAMILIES.values(), *found].index),
    }


def verdict_counts() -> list[dict[str, object]]:
    """How many claims got which verdict, in the words of a sentence."""
    counts = claims.by_claim()["verdict"].value_counts()
    said = {
        claims.SUPPORTED: ("is supported", "are supported"),
        claims.REFUTED: ("is refuted", "are refuted"),
        claims.DEPENDS: ("depends on the setting", "depend on the setting"),
        claims.NOT_TESTED: ("is not tested", "are not tested"),
    }
    return [
        {"count": int(counts[w]), "verdict": said[w][int(counts[w] > 1)]}
        for w in said
        if w in counts
    ]
