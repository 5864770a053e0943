"""How well a detector tells fatal runs from those that heal, and how early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from benchmark.diagnosis.columns import RunLog, Series
from benchmark.diagnosis.detectors import Detector, first_alarm
from benchmark.diagnosis.finding import diagnose
from benchmark.schema import ALARMS, frame
from benchmark.statistics.seeds import proportion
from benchmark.status import spike_level

OUTCOMES = ("fatal", "healing", "stable", "stalled")
ENDED_WELL = ("stable", "recovered")
EARLY = 50
"""Up to this step trouble is there from the start, and what was usual before it is not known."""


def outcome(status: str, losses: np.ndarray) -> str:
    """What became of a trial, as a detector sees it, of its status and ``losses`` (steps,).

    Other than by status, a disturbed batch's own loss counts as a spike: a detector cannot know
    that the data were bad.

    >>> outcome("stable", np.array([2.3, 30.0, 2.0])), outcome("dead", np.array([2.3, 30.0]))
    ('healing', 'fatal')
    """
    if status == "stalled":
        return "stalled"
    if status not in ENDED_WELL:
        return "fatal"
    return "healing" if (losses > spike_level(float(losses[0]))).any() else "stable"


def alarms(steps: pd.DataFrame, detectors: Iterable[Detector]) -> pd.DataFrame:
    """A row of the table ``alarms`` for each detector and trial of the table ``labelled_steps``."""
    detectors = list(detectors)
    rows = []
    for _, run in steps.groupby("trial", sort=False):
        run = run.sort_values("step")
        labels = {name: run[name].iloc[0] for name in ALARMS if name in run}
        labels["diagnosed"] = diagnose(log_of(run)).status if len(run) > 1 else labels["status"]
        losses, norms = (run[name].tolist() for name in ("loss", "gradient_norm"))
        for detector in detectors:
            alarm = first_alarm(detector, losses, norms)
            rows.append({"detector": detector.name, "alarm": alarm, **labels})
    return frame("alarms", rows)


def log_of(run: pd.DataFrame) -> RunLog:
    """The steps of one trial as the log of a run."""
    steps = run["step"].to_numpy()
    loss, norm = (Series(name, steps, run[name].to_numpy()) for name in ("loss", "gradient_norm"))
    return RunLog(loss, norm)


def diagnosed_right(found: pd.DataFrame) -> tuple[int, int]:
    """How many trials of the table ``alarms`` a diagnosis calls fatal or not as they are, of all.

    It goes by the losses alone; their status also by accuracies.
    """
    trials = found.drop_duplicates("trial")
    right = ~trials["diagnosed"].isin(ENDED_WELL) == ~trials["status"].isin(ENDED_WELL)
    return int(right.sum()), len(trials)


def scores(found: pd.DataFrame) -> pd.DataFrame:
    """One row a detector of the table ``alarms``: what share of each outcome it raises an alarm at.

    For each of `OUTCOMES`, and for ``late``, the fatal trials whose trouble began after step
    `EARLY`: ``NAME`` with Wilson's 95% interval in ``NAME_low`` and ``NAME_high``, and ``NAME_n``
    trials; NaN of none. ``separation`` is the share of fatal trials less the mean of the shares of
    healing and stable ones: 1 where it tells them apart, 0 where it knows nothing. ``lead`` is the
    median number of steps from the alarm to the first bad step, over fatal trials with an alarm
    (negative: after it), between the quartiles ``lead_low`` and ``lead_high``.
    """
    rows = []
    for name, part in found.groupby("detector", sort=False):
        raised = part["alarm"].notna()
        row: dict[str, float | str] = {"detector": str(name)}
        fatal = part["outcome"] == "fatal"
        groups = {outcome: part["outcome"] == outcome for outcome in OUTCOMES}
        groups["late"] = fatal & (part["first_bad_step"] > EARLY)
        for label, chosen in groups.items():
            row |= _share(label, raised[chosen])
        row["separation"] = _separation(row)
        lead = (part["first_bad_step"].astype(float) - part["alarm"].astype(float))[fatal].dropna()
        quartiles = lead.quantile([0.5, 0.25, 0.75]) if len(lead) else [np.nan] * 3
        row |= dict(zip(("lead", "lead_low", "lead_high"), map(float, quartiles), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _share(name: str, raised: pd.Series) -> dict[str, float]:
    ends = proportion(int(raised.sum()), len(raised)) if len(raised) else (np.nan,) * 3
    found = dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    return {**found, f"{name}_n": len(raised)}


def _separation(row: Mapping[str, float | str]) -> float:
    fatal, healing, stable = (float(row[name]) for name in ("fatal", "healing", "stable"))
    return fatal - (healing + stable) / 2


def best(found: pd.DataFrame) -> str:
    """The detector of ``alarms`` with the largest ``separation``; of equal ones the first."""
    rows = scores(found)
    return str(rows["detector"].iloc[int(rows["separation"].to_numpy().argmax())])
