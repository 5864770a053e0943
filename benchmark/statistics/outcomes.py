"""How trials ended: the columns that comparisons use, statuses, onsets and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark import status
from benchmark.statistics.arguments import checked
from benchmark.statistics.seeds import interval, mean
from benchmark.status import FINISHED, capped_loss, counted_accuracy

COULD_ACT = {"clipping": "could_act", "batch_policy": "policy_could_act"}
"""Factors whose strategies may have a warm-up, and the column of `outcomes` that says whether they
could act."""
EVENTS = ("exploded", "overshoot", "diverged", "learned")
"""Columns of `outcomes` that say of each trial, by 0 or 1, whether something happened."""


def outcomes(trials: pd.DataFrame) -> pd.DataFrame:
    """Finished trials with the columns that every comparison uses.

    Adds ``accuracy`` and ``validation`` (test and validation accuracy, 0..1; where missing or not
    finite, chance: 1 / classes), ``objective`` (min(validation loss, initial loss), nats),
    ``exploded``, ``overshoot``, ``diverged`` and ``learned`` (0 or 1, as `benchmark.status` says;
    exploded = overshoot + diverged), and ``could_act`` and ``policy_could_act``, whether the
    clipping and the batch policy had steps after their warm-up. Skipped and failed trials are left
    out: they are counted by `completeness`.
    """
    rows = trials[trials["status"].isin(FINISHED)].copy()
    for name, source in (("accuracy", "test_accuracy"), ("validation", "validation_accuracy")):
        both = zip(rows[source].astype(float), rows["classes"], strict=True)
        counted = [counted_accuracy(found, classes) for found, classes in both]
        rows[name] = pd.Series(counted, rows.index, dtype=float)
    pairs = zip(rows["validation_loss"], rows["initial_loss"], strict=True)
    rows["objective"] = [capped_loss(loss, initial) for loss, initial in pairs]
    for word in (status.exploded, status.overshoot, status.diverged, status.learned):
        rows[word.__name__] = word(rows).astype(float)
    for factor, name in COULD_ACT.items():
        rows[name] = status.could_act(rows, factor)
    return rows.reset_index(drop=True)


def able(frame: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The rows of `outcomes` whose level of ``factor`` could act: had steps after its warm-up.

    The others would be ranked by what they did not do. All rows, of a factor without warm-ups.

    >>> frame = pd.DataFrame({"clipping": ["none", "adagc"], "could_act": [True, False]})
    >>> able(frame, "clipping")["clipping"].tolist(), len(able(frame, "schedule"))
    (['none'], 2)
    """
    return frame[is_able(frame, factor)] if COULD_ACT.get(factor) in frame else frame


def is_able(frame: pd.DataFrame, factor: str) -> np.ndarray:
    """Whether each row of `outcomes` is one of those that `able` keeps, (rows,)."""
    column = COULD_ACT.get(factor)
    known = column is not None and column in frame
    return frame[column].astype(bool).to_numpy() if known else np.ones(len(frame), dtype=bool)


def idle(frame: pd.DataFrame) -> list[object]:
    """Clippings that changed no step's gradient in at least half of their trials.

    What such a rule does, none does: it had steps after its warm-up (`able`), and nothing to do.

    >>> frame = pd.DataFrame({"clipping": ["value", "update_rms"], "clipped_fraction": [0.9, 0.0]})
    >>> idle(frame)
    ['update_rms']
    """
    return idle_in(frame, [], 0.5)["level"].tolist()


@checked
def idle_in(frame: pd.DataFrame, by: Sequence[str], share: float = 1.0) -> pd.DataFrame:
    """Columns ``by``, ``level``: clippings that changed no step in a ``share`` of their trials.

    In each group of ``by``; in none of its trials, unless another share is named.

    >>> frame = pd.DataFrame({"times": [1, 1, 3, 3], "clipping": "value"})
    >>> idle_in(frame.assign(clipped_fraction=[0.0, 0.0, 0.0, 0.5]), ["times"]).values.tolist()
    [[1, 'value']]
    """
    known = frame.dropna(subset="clipped_fraction")
    never = known["clipped_fraction"].eq(0)
    shares = known.assign(_never=never).groupby([*by, "clipping"], sort=False)["_never"].mean()
    out = shares.reset_index().rename(columns={"clipping": "level"})
    return out.loc[out["_never"] >= share, [*by, "level"]].reset_index(drop=True)


def too_late_in(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``level``: clippings with which most trials are lost in the warm-up.

    In each group of ``by``: those that explode there and do not learn. What such a rule is worth,
    it could not show: it acts on what is left of a network that has exploded already. A network
    that heals was alive when the rule began to act, and is the rule's as well.

    >>> frame = pd.DataFrame({"times": [1, 3, 10], "clipping": "zclip", "warm_up_steps": 25})
    >>> frame = frame.assign(status="damaged", first_bad_step=[30, 2, 2], learned=[0, 1, 0])
    >>> too_late_in(frame.assign(first_spike_step=[30, 2, 2]), ["times"]).values.tolist()
    [[10, 'zclip']]
    """
    first = frame["first_spike_step"].where(
        frame["status"].ne("nonfinite"), frame[["first_spike_step", "first_bad_step"]].min(axis=1)
    )
    late = frame.assign(_late=first.le(frame["warm_up_steps"]) & frame["learned"].eq(0))
    groups = late.groupby([*by, "clipping"], sort=False)["_late"].mean().reset_index()
    groups = groups.rename(columns={"clipping": "level"})
    return groups.loc[groups["_late"] > 0.5, [*by, "level"]].reset_index(drop=True)


@checked
def status_shares(trials: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``status``, ``count``, ``share`` (of the finished trials of the group).

    Every group has one row for each status of a finished trial, also where it did not occur.
    """
    rows = trials[trials["status"].isin(FINISHED)]
    marks = rows[list(by)].assign(**{s: rows["status"].eq(s).astype(int) for s in FINISHED})
    counts = marks.groupby(list(by), sort=False, dropna=False).sum().reset_index()
    counts["total"] = counts[list(FINISHED)].sum(axis=1)
    long = counts.melt(
        [*by, "total"], list(FINISHED), var_name="status", value_name="count", ignore_index=False
    )
    long = long.sort_index(kind="stable").reset_index(drop=True)
    return long.assign(share=long["count"] / long["total"]).drop(columns="total")


@checked
def outcome_means(
    frame: pd.DataFrame,
    by: Sequence[str],
    values: Sequence[str] = ("accuracy", "diverged", "exploded"),
) -> pd.DataFrame:
    """Columns ``by``, ``trials``, and of each of ``values`` the mean, ``..._low`` and ``..._high``.

    95% intervals over seeds, as `interval` has them: of a share for what happened or not
    (`EVENTS`, and columns of True and False), of a mean for what is measured.

    >>> frame = pd.DataFrame({"times": 3, "seed": [0, 1], "accuracy": [0.5, 0.75]})
    >>> found = outcome_means(frame.assign(diverged=[1, 0]), ["times"], ["accuracy", "diverged"])
    >>> found[["trials", "accuracy", "diverged"]].values.tolist()
    [[2.0, 0.625, 0.5]]
    """
    events = {value: frame[value].astype(bool) for value in values if value in EVENTS}
    rows, found = frame.assign(**events), None
    for value in values:
        ends = {"estimate": value, "low": f"{value}_low", "high": f"{value}_high"}
        part = interval(rows, value, by, statistic=mean).rename(columns=ends)
        found = part if found is None else found.merge(part.drop(columns="trials"), on=list(by))
    return rows[[*by]].iloc[:0] if found is None else found


@checked
def explosion_onset(trials: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``finished``, ``exploded``, ``first``, ``median``, ``last``.

    ``exploded`` counts the trials that spiked or did not stay finite; the others are the smallest,
    median and largest step at which that began (counted from 1), NaN where none exploded.
    """
    rows = trials[trials["status"].isin(FINISHED)]
    # the bad step of a trial that fell to chance without a spike is no explosion's
    rows = rows.assign(first_bad_step=rows["first_bad_step"].where(status.exploded(rows)))
    onset = rows.groupby(list(by), sort=False, dropna=False)["first_bad_step"]
    columns = {"finished": onset.size(), "exploded": onset.count(), "first": onset.min()}
    return pd.DataFrame({**columns, "median": onset.median(), "last": onset.max()}).reset_index()


def completeness(
    plan: pd.DataFrame, trials: pd.DataFrame, by: Sequence[str] = ("study",)
) -> pd.DataFrame:
    """Columns ``by``, ``expected``, ``present``, ``missing``, ``finished``, ``skipped``,
    ``failed``.

    ``present`` counts the planned trials that have a row, whatever its status:
    present = finished + skipped + failed, and missing = expected - present.
    """
    known = trials[["trial", "status"]].drop_duplicates("trial")
    joined = plan.merge(known, on="trial", how="left")
    status = joined["status"]
    counted = joined[list(by)].assign(
        expected=1,
        present=status.notna().astype(int),
        missing=status.isna().astype(int),
        finished=status.isin(FINISHED).astype(int),
        skipped=(status == "skipped").astype(int),
        failed=(status == "failed").astype(int),
    )
    return counted.groupby(list(by), sort=False, dropna=False).sum().reset_index()


def best_so_far(
    plan: pd.DataFrame, trials: pd.DataFrame, by: Sequence[str] = ("model", "arm")
) -> pd.DataFrame:
    """Columns ``by``, ``number``, ``trial``, ``objective``, ``best``: a search in trial order.

    ``number`` counts each group's planned trials from 1; ``objective`` is min(validation loss,
    initial loss), NaN where the trial did not finish; ``best`` is the smallest so far.
    """
    losses = outcomes(trials)[["trial", "objective"]]
    rows = plan[[*by, "trial"]].merge(losses, on="trial", how="left")
    groups = rows.groupby(list(by), sort=False, dropna=False)
    rows["number"] = groups.cumcount() + 1
    rows["best"] = groups["objective"].cummin()
    rows["best"] = rows.groupby(list(by), sort=False, dropna=False)["best"].ffill()
    return rows[[*by, "number", "trial", "objective", "best"]]
