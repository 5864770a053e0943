"""Rules that look at one step at a time, tuned as the rule of ``diagnose`` was: on other trials.

A published threshold was made for other models. Here each rule has its own threshold and its own
patience, chosen among many by the separation on the trials to choose on. It alarms where it fired
at more than half of the last ``wait`` steps (*most*; a wait of one step is none), or fires again
``wait`` steps or more after it first did (*again*). All raise an alarm at what is not finite.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from benchmark.spikes import LARGEST_LOSS
from benchmark.statistics.detection import scores
from benchmark.status import spike_level

WAITS = (1, 5, 10, 20, 40, 60, 80, 100)
WINDOW, LEAST = 100, 10
"""Steps of which a median or a mean is taken, and the fewest of them."""

Excess = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Losses and norms (trials, steps) to what is held against a threshold, (trials, steps)."""


def loss_over_level(losses: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """The loss over the level of a spike, (trials, steps).

    >>> loss_over_level(np.array([[2.0, 20.0]]), np.ones((1, 2))).tolist()
    [[0.2, 2.0]]
    """
    levels = np.array([spike_level(float(first)) for first in losses[:, 0]])
    return losses / levels[:, None]


def norm_over_median(losses: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """The norm over the median of up to 100 norms before it, (trials, steps); NaN of the first.

    >>> norm_over_median(np.ones((1, 11)), np.array([[2.0] * 10 + [6.0]]))[0, -1:].tolist()
    [3.0]
    """
    found = np.full(norms.shape, np.nan)
    for step in range(LEAST, norms.shape[1]):
        past = norms[:, max(step - WINDOW, 0) : step]
        found[:, step] = norms[:, step] / np.median(past, axis=1)
    return found


def loss_over_mean(losses: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Deviations of the loss above the mean of up to 100 losses before it, (trials, steps).

    >>> loss_over_mean(np.array([[1.0, 3.0] * 5 + [4.0]]), np.ones((1, 11)))[0, -1:].tolist()
    [2.0]
    """
    found = np.full(losses.shape, np.nan)
    for step in range(LEAST, losses.shape[1]):
        past = losses[:, max(step - WINDOW, 0) : step]
        spread = np.maximum(past.std(axis=1), 1e-12)
        found[:, step] = (losses[:, step] - past.mean(axis=1)) / spread
    return found


EXCESSES: Mapping[str, tuple[Excess, Sequence[float]]] = {
    "spike_level": (loss_over_level, (0.1, 0.2, 0.5, 1.0, 2.0, 10.0, 100.0)),
    "norm_multiple": (norm_over_median, (2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)),
    "loss_spike": (loss_over_mean, (2.0, 3.0, 5.0, 7.0, 15.0, 50.0, 500.0)),
}
"""What each rule compares with its threshold, and the thresholds that are tried."""


def most(fired: np.ndarray, wait: int) -> np.ndarray:
    """Where ``fired`` (trials, steps) holds at more than half of the last ``wait`` steps.

    >>> most(np.array([[True, False, True, True]]), 3).tolist()
    [[False, False, True, True]]
    """
    counts = np.cumsum(np.pad(fired, ((0, 0), (wait, 0))).astype(int), axis=1)
    return (counts[:, wait:] - counts[:, :-wait]) * 2 > wait


def again(fired: np.ndarray, wait: int) -> np.ndarray:
    """Where ``fired`` (trials, steps) holds, and did ``wait`` steps before or sooner.

    >>> again(np.array([[True, True, False, True]]), 2).tolist()
    [[False, False, False, True]]
    """
    before = np.maximum.accumulate(fired, axis=1)
    return fired & np.pad(before, ((0, 0), (wait, 0)))[:, : fired.shape[1]]


MANNERS = {"most": most, "again": again}


def rival_scores(steps: pd.DataFrame) -> pd.DataFrame:
    """`detection.scores` of every rule, threshold, manner and wait, in each group of trials.

    Of the table ``labelled_steps``: columns ``rule``, ``threshold``, ``manner``, ``wait``,
    ``group`` and those of `benchmark.statistics.detection.scores`.
    """
    tables = {
        name: steps.pivot(index="trial", columns="step", values=name)
        for name in ("loss", "gradient_norm")
    }
    losses, norms = (table.to_numpy() for table in tables.values())
    trials = steps.drop_duplicates("trial").set_index("trial").loc[tables["loss"].index]
    last = steps.groupby("trial")["step"].max().loc[trials.index].to_numpy()
    ran = tables["loss"].columns.to_numpy()[None, :] <= last[:, None]
    broken = ran & ~(np.isfinite(losses) & np.isfinite(norms))
    losses = np.where(np.isfinite(losses), np.minimum(losses, LARGEST_LOSS), np.nan)
    norms = np.where(np.isfinite(norms), norms, np.nan)
    labels = trials[["group", "outcome", "first_bad_step"]].reset_index()
    rows = []
    for rule, (excess, thresholds) in EXCESSES.items():
        values = excess(losses, norms)
        for threshold, manner, wait in itertools.product(thresholds, MANNERS, WAITS):
            fired = np.greater(values, threshold, where=np.isfinite(values), out=np.zeros_like(ran))
            alarm = first(MANNERS[manner](fired, wait) | broken)
            rows.append(
                labels.assign(detector=f"{rule} {threshold:g} {manner} {wait}", alarm=alarm)
            )
    found = pd.concat(rows, ignore_index=True)
    parts = [scores(part).assign(group=group) for group, part in found.groupby("group", sort=False)]
    scored = pd.concat(parts, ignore_index=True)
    names = scored["detector"].str.split(" ", expand=True)
    return scored.assign(
        rule=names[0], threshold=names[1].astype(float), manner=names[2], wait=names[3].astype(int)
    )


def first(alarms: np.ndarray) -> np.ndarray:
    """The step, from 1, of the first of ``alarms`` (trials, steps); NaN of none.

    >>> first(np.array([[False, True], [False, False]])).tolist()
    [2.0, nan]
    """
    return np.where(alarms.any(axis=1), alarms.argmax(axis=1) + 1.0, np.nan)


def tuned(
    scored: pd.DataFrame, by: Sequence[str] = ("rule",), on: str = "reporting"
) -> pd.DataFrame:
    """The rows of `rival_scores` in the group ``on`` of what separates best on ``choosing``.

    One row for each level of ``by``; of equal ones the first.
    """
    keys = ["rule", "threshold", "manner", "wait"]
    chosen = scored[scored["group"] == "choosing"]
    chosen = chosen.sort_values("separation", ascending=False, kind="stable")
    chosen = chosen.drop_duplicates(list(by))[keys]
    return chosen.merge(scored[scored["group"] == on], on=keys)


def scores_by_wait(found: pd.DataFrame, rule: str) -> pd.DataFrame:
    """A rule of two numbers by how long it waits, its second number chosen for each wait.

    ``found`` is the table ``alarms`` with detectors ``RULE WAIT NUMBER``: the number with the
    largest separation on the trials of the group ``choosing`` is scored on those of ``reporting``.
    Columns ``detector``, ``rule``, ``wait`` and those of `detection.scores`; empty where one of the
    groups is.
    """
    tried = found[found["detector"].str.startswith(f"{rule} ")]
    groups = {group: part for group, part in tried.groupby("group") if len(part)}
    if not {"choosing", "reporting"} <= set(groups):
        return pd.DataFrame()
    chosen = scores(groups["choosing"])
    chosen = chosen.sort_values("separation", ascending=False, kind="stable")
    chosen = chosen.assign(wait=chosen["detector"].str.split(" ").str[1].astype(int), rule=rule)
    chosen = chosen.drop_duplicates("wait")[["detector", "rule", "wait"]]
    return chosen.merge(scores(groups["reporting"]), on="detector")
