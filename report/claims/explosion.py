"""Claims 1 to 4 and 8: what an explosion is, what prevents it, and what vanishing gradients do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.records import CONFIGURATION
from report import prose
from report.claims.effects import (
    share_of,
)
from report.claims.frames import by_setting, unclipped, varying
from report.claims.records import Effect, Found, found, nothing
from report.evidence import Evidence

GROWTH = 10.0
"""How many times larger a gradient norm must be to count as grown."""
RISE, CORRELATION, CHECKPOINTS = 2.0, 0.5, 3
"""A rise through training: over so many checkpoints, by such a factor and rank correlation."""
VANISHED = 0.1
"""Factor by which theory lets the error signal shrink from the last hidden layer to the first,
from which on gradients count as vanishing."""
EARLY = 0.25
"""Share of the budget after which the loss is compared."""
NOT_DYNAMIC = ("constant", "range_test")
"""Schedules that a dynamic rate is not: the second is a probe, not a way to train."""
NAMED = ("clipping", "normalization")
"""Factors whose levels are names."""


def _exploded(source: Evidence) -> pd.DataFrame:
    frame = unclipped(source.outcomes)
    return frame[frame["exploded"] == 1]


def _cells(flags: pd.Series, rows: pd.DataFrame, label: str) -> Effect:
    """The share of cells in which most of ``rows`` are flagged."""
    return share_of(flags.groupby(rows["cell"], sort=False).mean() > 0.5, "cell", label)


def growth(source: Evidence) -> Found:
    """Exploded cells whose gradient norm grew, against the same cells at a stable rate."""
    exploded = _exploded(source)
    if exploded.empty:
        return nothing("no trial without clipping exploded")
    keys = [c for c in CONFIGURATION if c != "learning_rate"]
    frame = unclipped(source.outcomes)
    calm = frame[frame["status"] == "stable"].sort_values("learning_rate")
    calm = calm.drop_duplicates(keys, keep="last")[[*keys, "gradient_norm_max"]]
    pairs = exploded.merge(calm, on=keys, suffixes=("", "_calm"))
    if pairs.empty:
        return nothing("no exploded trial has a stable counterpart at another rate")
    peak = pairs["gradient_norm_max"].astype(float).fillna(np.inf)
    grown = peak >= GROWTH * pairs["gradient_norm_max_calm"].astype(float)
    effects = [_cells(grown.loc[rows.index], rows, label) for label, rows in by_setting(pairs)]
    alone = len(exploded) - len(pairs)
    note = (
        f"{prose.count(alone, 'exploded trial')} that no learning rate of the study makes stable "
        f"{'is' if alone == 1 else 'are'} left out here."
    )
    return found(effects, [note if alone else ""])


def rises(norms: np.ndarray) -> bool:
    """Whether gradient norms (checkpoints,) rise rather than jump.

    >>> rises(np.array([1.0, 2.0, 4.0])), rises(np.array([1.0, 9.0])), rises(np.ones(5))
    (True, False, False)
    """
    known = norms[~np.isnan(norms)]
    if len(known) < CHECKPOINTS or not known[-1] >= RISE * known[0]:
        return False
    ranks = pd.Series(known).rank()
    return bool(ranks.corr(pd.Series(range(len(known)), dtype=float)) >= CORRELATION)


def rise(source: Evidence) -> Found:
    """Exploded cells whose norm rises over the checkpoints before the first bad step."""
    exploded = _exploded(source)
    if exploded.empty:
        return nothing("no trial without clipping exploded")
    history = source.results.history
    onset = exploded[["trial", "first_bad_step"]]
    before = history.merge(onset, on="trial")
    before = before[(before["step"] > 0) & (before["step"] < before["first_bad_step"])]
    norms = before.sort_values("step").groupby("trial")["gradient_norm_median"]
    rising = {trial for trial, values in norms if rises(values.to_numpy(dtype=float))}
    seen = exploded["trial"].map(norms.size()).fillna(0)
    flags = exploded["trial"].isin(rising)
    effects = [_cells(flags.loc[rows.index], rows, label) for label, rows in by_setting(exploded)]
    longest = int(unclipped(source.outcomes)["steps"].max())
    note = (
        f"The first bad step is step {exploded['first_bad_step'].median():g} in the median, of up "
        f"to {longest:,}; {prose.percent(float((seen < CHECKPOINTS).mean()))} of the "
        f"{prose.count(len(exploded), 'exploded trial')} left the rails before the "
        f"{CHECKPOINTS} checkpoints that could have shown a rise, and count as having jumped."
    )
    return found(effects, [note])


def stop(source: Evidence) -> Found:
    """Exploded cells that do not learn."""
    exploded = _exploded(source)
    if exploded.empty:
        return nothing("no trial without clipping exploded")
    stopped = exploded["learned"] == 0
    return found(
        _cells(stopped.loc[rows.index], rows, label) for label, rows in by_setting(exploded)
    )


def cured(source: Evidence) -> Found:
    """Configurations that explode at some rate and are stable, on every seed, at a lower one."""
    keys = [c for c in CONFIGURATION if c not in ("learning_rate", "seed", "arm")]
    frame = source.outcomes
    if frame["learning_rate"].nunique() < 2:
        return nothing("the learning rate does not vary")
    rates = frame.groupby([*keys, "learning_rate"], sort=False, dropna=False).agg(
        exploded=("exploded", "max"), stable=("status", lambda s: s.eq("stable").all())
    )
    rows, lost = [], []
    for _, group in rates.reset_index().groupby(keys, sort=False, dropna=False):
        bad = group.loc[group["exploded"] > 0, "learning_rate"]
        if len(bad):
            first = group.iloc[0]
            helped = bool((group["stable"] & (group["learning_rate"] < bad.max())).any())
            rows.append((first["dataset"], first["model"], helped))
            if not helped:
                lost.append(first)
    if not rows:
        return nothing("no configuration exploded at any rate")
    table = pd.DataFrame(rows, columns=["dataset", "model", "helped"])
    effects = [
        share_of(group["helped"], "configuration", label) for label, group in by_setting(table)
    ]
    return found(effects, [_uncured(pd.DataFrame(lost), varying(frame))])


def _uncured(lost: pd.DataFrame, varied: list[str]) -> str:
    """What the configurations that no lower rate cures have in common."""
    factors = [c for c in varied if c in NAMED or c in ("depth", "init_gain")]
    if lost.empty or not factors:
        return ""
    common = []
    for factor in factors:
        counts = lost[factor].value_counts()
        level = counts.index[0]
        words = (
            prose.phrase(factor, level)
            if factor in NAMED
            else f"{prose.name(factor)} {prose.name(level)}"
        )
        common.append(f"{words} ({counts.iloc[0]})")
    return (
        f"Configurations that no lower rate cures: {len(lost)}, most often with "
        f"{prose.listing(common)}."
    )
