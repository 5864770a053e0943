"""The batch-update problem, and what would solve it.

It counts as solved where the size of an update no longer matters: the least suitable size is as
accurate as the best, within one point, and hardly a trial explodes.
"""

from __future__ import annotations

import pandas as pd

from report import prose
from report.claims.effects import difference, share_of_trials
from report.claims.frames import at_best
from report.claims.records import Effect, Found, found, nothing

SOLVED = 0.05
"""Share of exploded trials up to which explosions count as solved."""


def worst_against_best(rows: pd.DataFrame, normalization: str, setting: str) -> Effect | None:
    """Test accuracy at the worst batch size with a normalization, minus that of the best arm.

    An arm is a normalization and a batch size. Validation chooses the rate of each, and says
    which is worst and which best, so that the test set only reports. None where there are not
    two sizes.
    """
    arms = ["normalization", "batch_size"]
    best = at_best(rows, by=arms)
    scores = best.groupby(arms)["validation"].mean()
    if normalization not in scores.index or len(scores[normalization]) < 2:
        return None
    worst, top = (normalization, scores[normalization].idxmin()), scores.idxmax()
    of_arm = {arm: group[["seed", "accuracy"]] for arm, group in best.groupby(arms)}
    pairs = of_arm[worst].merge(of_arm[top], on="seed", suffixes=("_worst", "_top"))
    pairs["difference"] = pairs["accuracy_worst"] - pairs["accuracy_top"]
    label = f"batches of {worst[1]} against batches of {top[1]}"
    if top[0] != normalization:
        label += f" with {prose.phrase('normalization', top[0])}"
    return difference(pairs.assign(stratum=0), f"{label}, {setting}")


def few_explosions(treated: pd.DataFrame, control: pd.DataFrame, label: str) -> Effect | None:
    """Share of treated trials that did not explode.

    None where there was nothing to solve: neither these nor the control's trials explode in more
    than the share that counts as solved.
    """
    if treated.empty or max(treated["exploded"].mean(), _share(control)) <= SOLVED:
        return None
    return share_of_trials(treated.assign(calm=1 - treated["exploded"]), "calm", label)


def _share(frame: pd.DataFrame) -> float:
    return float(frame["exploded"].mean()) if len(frame) else 0.0


def solved(effects: list[Effect | None], absent: str) -> Found:
    """What `few_explosions` found; ``absent`` says why nothing was compared, where that is so."""
    known = [effect for effect in effects if effect is not None]
    if known or not effects:
        return found(known) if known else nothing(absent)
    return nothing(
        f"with or without it no more than {prose.percent(SOLVED, 0)} of the trials explode, so "
        "there is nothing to solve"
    )
