"""Detectors of lost runs: their scores, and where they come from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.diagnosis.detectors import DETECTORS, SHARE, WAIT
from benchmark.statistics import detection, where
from benchmark.statistics.onset import collapsed_silently
from benchmark.statistics.rivals import rival_scores, scores_by_wait, tuned

STUDY, STEPS, TABLE = "detectors", "labelled_steps", "alarms"
UNHEALED = "unhealed"
IN_USE = f"{UNHEALED} {WAIT} {SHARE:g}"
GROUPS = {
    "choosing": "to choose on",
    "reporting": "to report on, of the same kinds",
    "unseen": "to report on, of networks that were not chosen on",
}
SHOWN = ("fatal", "healing", "stable")


def scores(found: pd.DataFrame, group: str) -> pd.DataFrame:
    """`benchmark.statistics.detection.scores` of the registered detectors on a group of trials.

    With the ``rule`` and the ``reference`` of each; empty where the group is.
    """
    rows = found[found["detector"].isin(DETECTORS) & (found["group"] == group)]
    if rows.empty:
        return pd.DataFrame()
    scored = detection.scores(rows)
    rules = scored["detector"].map(DETECTORS.get)
    return scored.assign(rule=[r.summary for r in rules], reference=[r.reference for r in rules])


def shares(scored: pd.DataFrame) -> pd.DataFrame:
    """A row a detector and outcome: ``panel``, ``level``, ``share``, ``low``, ``high``."""
    rows = [
        {"panel": f"{n} (n = {row[f'{n}_n']:.0f})", "level": row["detector"], **ends(row, n)}
        for n in SHOWN
        for row in scored.to_dict("records")
        if row[f"{n}_n"]
    ]
    return pd.DataFrame(rows)


def ends(row: Mapping[Hashable, Any] | pd.Series, name: str) -> dict[str, float]:
    """One share of a detector with its interval: ``share``, ``low``, ``high``."""
    return {"share": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}


def silent_alarms(steps: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Alarms of each registered ``detector`` at trials that collapsed without a spike.

    Of the tables ``labelled_steps`` and ``alarms``: how many of such ``trials`` it ``noticed``.
    """
    rows = where(found, trial=collapsed_silently(steps), detector=list(DETECTORS))
    groups = rows.groupby("detector", sort=False)["alarm"]
    return pd.DataFrame({"noticed": groups.count(), "trials": groups.size()}).reset_index()


def counts(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of each group, in words, with a column for each outcome."""
    table = pd.crosstab(trials["group"], trials["outcome"]).rename(index=GROUPS)
    return table.reindex(columns=list(detection.OUTCOMES), fill_value=0).reset_index()


def rivals(steps: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rivals as tuned, and the separation of every rule by how long it waits.

    Of the tables ``labelled_steps`` and ``alarms``: rows of `tuned`, the best first; and ``rule``,
    ``wait``, ``group`` and ``estimate`` with ``low`` and ``high`` for a figure, without intervals.
    """
    scored = rival_scores(steps)
    best = tuned(scored).sort_values("separation", ascending=False, kind="stable")
    curves = pd.concat([scores_by_wait(found, UNHEALED), tuned(scored, ["rule", "wait"])])
    curves = curves.assign(estimate=curves["separation"], low=np.nan, high=np.nan)
    columns = ["rule", "wait", "estimate", "low", "high"]
    return best, curves[columns].assign(group="trials to report on")
