"""Claims 1 and 2: what an explosion is, and whether a lower learning rate prevents it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from benchmark import status
from benchmark.records import CONFIGURATION
from benchmark.statistics.budgets import usual_budget
from benchmark.statistics.multiples import varying, varying_but_rate
from benchmark.statistics.onset import CONTROL, EXPLOSION, GREW, windows_before_onset
from benchmark.statistics.selection import where
from report import prose
from report.claims.effects import share_of_configurations, share_of_trials
from report.claims.frames import (
    able,
    at_multiples_of_one_budget,
    by_normalization,
    by_setting,
    by_times,
    parts,
)
from report.claims.records import Effect, Found, found, nothing
from report.evidence import Evidence

GROWTH = 10.0
"""How many times larger a gradient norm must be to count as grown."""
RISE, CORRELATION, CHECKPOINTS = 2.0, 0.5, 3
"""A rise through training: over so many checkpoints, by such a factor and rank correlation."""
ALONE = "without clipping and normalization"
SIZE = prose.FORMATS["size"]
FAR = 0.1
"""Test accuracy by which a network that was cured may stay far behind."""
NAMED = ("clipping", "normalization")
"""Factors whose levels are names."""


def _exploded(source: Evidence) -> tuple[pd.DataFrame, str]:
    """Exploded trials without clipping at 1, 3 and 10 times the best rate, and a note on others.

    With the largest gradient norm of the same configuration and seed at its best rate (``calm``).
    Configurations that do not learn there, on most seeds, have no best rate to speak of.
    """
    frame = where(at_multiples_of_one_budget(source), clipping="none")
    best = where(frame, times=1)
    keys = varying_but_rate(frame)
    learned = best.groupby(keys, dropna=False)["learned"].mean().rename("at_best")
    frame = frame.merge(learned.reset_index(), on=keys)
    none = frame[frame["at_best"] < 0.5]
    amount = len(none[keys].drop_duplicates())
    note = (
        f"Left out: {prose.count(amount, 'configuration')} that no rate trains." if amount else ""
    )
    same = [*keys, "seed"]
    calm = best[[*same, "gradient_norm_max"]].rename(columns={"gradient_norm_max": "calm"})
    rows = frame[(frame["at_best"] >= 0.5) & (frame["exploded"] == 1)].merge(calm, on=same)
    groups = rows.groupby([*keys, "times"], sort=False, dropna=False)
    return rows.assign(configuration=groups.ngroup()), note


def _shares(flags: pd.Series, rows: pd.DataFrame) -> list[Effect]:
    """The shares of configurations in which most of the exploded ``rows`` are flagged.

    By normalization and by how far above the best rate: what an explosion does depends on both.
    """
    flagged = rows.assign(flagged=flags)
    return [
        share_of_configurations(trials, about, _most)
        for about, trials in parts(flagged, by_setting, by_normalization, by_times)
    ]


def _most(trials: pd.DataFrame) -> pd.Series:
    """Of each configuration whether most of its trials are ``flagged``."""
    return trials.groupby("configuration")["flagged"].mean() > 0.5


NONE_EXPLODED = (
    "no trial without clipping exploded at 1, 3 or 10 times a best rate that two seeds share"
)


def growth(source: Evidence) -> Found:
    """Exploded configurations whose gradient norm grew, against the same seeds at the best rate."""
    rows, note = _exploded(source)
    rows = rows[rows["times"] > 1].reset_index(drop=True)
    if rows.empty:
        return nothing(NONE_EXPLODED)
    peak = rows["gradient_norm_max"].astype(float).fillna(np.inf)
    return found(_shares(peak >= GROWTH * rows["calm"].astype(float), rows), [note])


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
    """Exploded configurations whose norm rises over the checkpoints before the first bad step.

    Of the trials that had enough of them for a rise to be seen.
    """
    exploded, lost = _exploded(source)
    if exploded.empty:
        return nothing(NONE_EXPLODED)
    history = source.results.history
    onset = exploded[["trial", "first_bad_step"]].drop_duplicates("trial")
    before = history.merge(onset, on="trial")
    before = before[(before["step"] > 0) & (before["step"] < before["first_bad_step"])]
    norms = before.sort_values("step").groupby("trial")["gradient_norm_median"]
    rising = {trial for trial, values in norms if rises(values.to_numpy(dtype=float))}
    seen = exploded["trial"].map(norms.size()).fillna(0) >= CHECKPOINTS
    note = (
        f"{(~seen).sum():,} of the {prose.count(len(seen), 'exploded trial')} went "
        f"wrong before {CHECKPOINTS} checkpoints could have shown a rise (the first bad step is "
        f"step {exploded['first_bad_step'].median():g} in the median)."
    )
    if not seen.any():
        return nothing(f"no trial had {CHECKPOINTS} checkpoints before its first bad step")
    observed = exploded[seen]
    return found(_shares(observed["trial"].isin(rising), observed), [note, lost])


def rise_by_step(source: Evidence) -> Found:
    """Explosions before which the norm rose, of every step's norm, beside windows without one.

    Of those that came late enough for a rise to be seen, by schedule and data set. A constant rate
    judges, where most of them did: those that come late are no sample of all.
    """
    steps = source.results.history
    if "gradient_norm" not in steps or not (steps["disturbance"] == "none").any():
        return nothing("no step was logged")
    windows = windows_before_onset(steps, ("schedule", "dataset"))
    judging = where(windows, schedule="constant")
    seen = where(windows, kind=EXPLOSION).dropna(subset=["rise"])
    if seen.empty:
        return nothing("no explosion came late enough for a rise to be seen")
    effects, early = [], where(judging, kind=EXPLOSION)["rise"].isna()
    enough = bool(len(early)) and early.mean() <= 0.5
    for (schedule, dataset), rows in seen.groupby(["schedule", "dataset"], sort=False):
        about = (prose.setting("schedule", schedule), f"networks on {prose.name(dataset)}")
        grew = rows.assign(grew=(rows["rise"] >= GREW).astype(float))
        effect = share_of_trials(grew, about, "grew")
        # where the rate rises before an explosion, so do the norms
        effects.append(replace(effect, judges=enough and schedule == "constant"))
    control = where(judging, kind=CONTROL)["rise"].dropna()
    notes = [
        f"{early.sum():,} of the {prose.count(len(early), 'explosion')} at a constant rate came "
        f"too early to be observed{'' if enough else '; the others are no sample of all'}.",
        f"Of stable trials {prose.percent(float((control >= GREW).mean()))} show such a rise over "
        "the same steps."
        if len(control)
        else "",
    ]
    return found(effects, notes)


def stop(source: Evidence) -> Found:
    """Exploded configurations that do not learn."""
    exploded, lost = _exploded(source)
    if exploded.empty:
        return nothing(NONE_EXPLODED)
    return found(_shares(exploded["learned"] == 0, exploded), [lost])


def cured(source: Evidence) -> Found:
    """Configurations that diverge at some rate and train, on every seed, at a lower one."""
    keys = [c for c in CONFIGURATION if c not in ("learning_rate", "seed", "arm")]
    frame, warm = able(usual_budget(source.outcomes))
    if frame["learning_rate"].nunique() < 2:
        return nothing("the learning rate does not vary")
    numbers = frame.groupby(keys, sort=False, dropna=False).ngroup()
    frame = frame.assign(configuration=numbers)
    rates = _by_rate(frame)
    each = _helped(frame)
    if each.empty:
        return nothing("no configuration diverged at any rate")
    effects = []
    for label, group in by_setting(frame[frame["configuration"].isin(each.index)]):
        effects.append(share_of_configurations(group, ("", label), _helped))
        plain = where(group, clipping="none", normalization="none")
        if 0 < plain["configuration"].nunique() < group["configuration"].nunique():
            effect = share_of_configurations(plain, (ALONE, label), _helped)
            effects.append(replace(effect, judges=False))
    named = frame.drop_duplicates("configuration").set_index("configuration")[keys]
    rates = rates.join(named, on="configuration")
    lost = _price(rates[rates["fine"]], rates)
    price = (
        f"A cure is no more than learning on every seed. Of {prose.count(len(lost), 'cured one')} "
        f"half end {SIZE(lost.median())} or more below the best configuration of as "
        f"many layers, and {int((lost > FAR).sum())} more than {SIZE(FAR)}."
        if len(lost)
        else ""
    )
    return found(effects, [price, _uncured(named.loc[each.index[~each]], varying(frame)), warm])


def _by_rate(trials: pd.DataFrame) -> pd.DataFrame:
    """Each ``configuration`` at each rate: whether any seed ``diverged``, and all of them learned.

    ``fine`` says whether they did below a rate at which one diverged, ``bad`` whether there is one.
    """
    groups = trials.groupby(["configuration", "learning_rate"], sort=False)
    rates = groups.agg(
        diverged=("diverged", "max"),
        learned=("learned", "min"),
        validation=("validation", "mean"),
        accuracy=("accuracy", "mean"),
    ).reset_index()
    worst = rates["learning_rate"].where(rates["diverged"] > 0)
    worst = worst.groupby(rates["configuration"]).transform("max")
    fine = rates["learned"].eq(1) & rates["learning_rate"].lt(worst)
    return rates.assign(fine=fine, bad=worst.notna())


def _helped(trials: pd.DataFrame) -> pd.Series:
    """Of each configuration that diverges at some rate whether all seeds learn at a lower one."""
    rates = _by_rate(trials)
    return rates[rates["bad"]].groupby("configuration")["fine"].any()


def learned_from(source: Evidence) -> str:
    """The validation accuracy from which a network of the study has learned, in words: ``45%``."""
    rows = source.outcomes[["classes", "target_accuracy"]].astype(float).drop_duplicates()
    levels = status.learned_level(rows["classes"], rows["target_accuracy"])
    return prose.between(levels.min(), levels.max(), prose.FORMATS["percent0"])


def _price(cures: pd.DataFrame, rates: pd.DataFrame) -> pd.Series:
    """Test accuracy of each configuration cured, at its best rate of ``cures``, below the best.

    The best is that of all configurations and ``rates`` of as many layers of the same network.
    Validation chooses both.
    """
    same = ["dataset", "model", "train_fraction", "depth"]
    best = rates.sort_values("validation").drop_duplicates(same, keep="last")
    keys = [c for c in CONFIGURATION if c not in ("learning_rate", "seed", "arm")]
    own = cures.sort_values("validation").drop_duplicates(keys, keep="last")
    both = own.merge(best[[*same, "accuracy"]], on=same, suffixes=("", "_best"))
    return both["accuracy_best"] - both["accuracy"]


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
