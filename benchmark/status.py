"""How a trial ended: the words of this benchmark, each in one place.

- *Spiked*: the training loss of some step was above `spike_level`.
- *Exploded*: spiked, or not finite; nothing else. An explosion is an *overshoot* where the trial
  learned all the same, and the trial *diverged* where it did not. Comparisons judge the share that
  diverged, which hardly depends on the level of a spike, and state beside it the share that
  exploded.
- *Learned*: an accuracy at least half way from chance to the data set's target.
- *At chance*: an accuracy that guessing may have, `chance_level`.

`classify` makes the status of one trial of these; the functions of a frame of trials say which of
them exploded, learned and so on, so that nobody counts statuses: a trial that ``collapsed`` need
not have spiked, and one that is ``stable`` may have learned little yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import pandas as pd

Numbers = TypeVar("Numbers", float, pd.Series)

STATUSES: dict[str, str] = {
    "stable": "never spiked, and left chance",
    "recovered": "spiked, then learned",
    "damaged": "spiked, and neither learned nor at chance",
    "collapsed": "learned, then fell to chance",
    "dead": "spiked, never learned, and at chance",
    "stalled": "never spiked, never learned, and at chance",
    "nonfinite": "a loss, gradient or parameter stopped being finite",
    "skipped": "an impossible combination",
    "failed": "the program failed",
}
"""Every status with its meaning, from best to worst."""

FINISHED = tuple(s for s in STATUSES if s not in ("skipped", "failed"))

SPIKE_LOSS = 10.0
SPIKE_FACTOR = 4.0


def spike_level(initial_loss: float) -> float:
    """Loss above which a step counts as a spike: max(10, 4 x initial loss)."""
    return max(SPIKE_LOSS, SPIKE_FACTOR * initial_loss) if math.isfinite(initial_loss) else math.inf


def chance_level(classes: int, examples: int) -> float:
    """Accuracy up to which a classifier counts as guessing.

    Three binomial standard deviations above ``1 / classes`` on ``examples`` examples.

    >>> round(chance_level(10, 10_000), 3)
    0.109
    """
    p = 1 / classes
    return p + 3 * math.sqrt(p * (1 - p) / examples)


def learned_level(classes: Numbers, target_accuracy: Numbers) -> Numbers:
    """Accuracy from which a classifier has learned: half way from chance to the target.

    >>> learned_level(10, 0.9)
    0.5
    """
    return (1 / classes + target_accuracy) / 2


def classify(
    accuracies: Sequence[float],
    final_accuracy: float,
    *,
    chance: float,
    learned: float,
    spiked: bool,
    finite: bool = True,
) -> str:
    """Status of a finished trial.

    Parameters
    ----------
    accuracies
        At every checkpoint after the first step; NaN counts as not learned.
    final_accuracy
        On all validation examples, at the end.
    chance, learned
        The `chance_level` of the final evaluation, and the `learned_level`.
    spiked
        Some step's training loss exceeded `spike_level`.
    finite
        Every loss, gradient norm and parameter was finite.

    >>> classify([0.8, 0.1, 0.7], 0.7, chance=0.11, learned=0.5, spiked=True)
    'recovered'
    >>> classify([0.8, 0.1, 0.25], 0.25, chance=0.11, learned=0.5, spiked=True)
    'damaged'
    """
    if not finite:
        return "nonfinite"
    if final_accuracy > chance:
        if not spiked:
            return "stable"
        return "recovered" if final_accuracy >= learned else "damaged"
    if any(accuracy >= learned for accuracy in accuracies):
        return "collapsed"
    return "dead" if spiked else "stalled"


def exploded(trials: pd.DataFrame) -> pd.Series:
    """Which of ``trials`` spiked or did not stay finite; of nothing else one says so."""
    always = trials["status"].isin(("recovered", "damaged", "dead", "nonfinite"))
    # the one status that says nothing about spikes
    collapsed = trials["status"].eq("collapsed")
    return always | (collapsed & _spiked(trials)) if collapsed.any() else always


def silently_collapsed(trials: pd.DataFrame) -> pd.Series:
    """Which of ``trials`` learned, then fell to chance without a step that spiked.

    They neither exploded nor diverged: no loss was so high, and no number stopped being finite.
    """
    return trials["status"].eq("collapsed") & ~exploded(trials)


def _spiked(trials: pd.DataFrame) -> pd.Series:
    return trials["first_spike_step"].notna()


def learned(trials: pd.DataFrame) -> pd.Series:
    """Which of ``trials`` ended with a validation accuracy of `learned_level` or more.

    One that is at chance or not finite has not learned, whatever the level.
    """
    left_chance = trials["status"].isin(("stable", "recovered"))
    level = learned_level(*(trials[c].astype(float) for c in ("classes", "target_accuracy")))
    return left_chance & (trials["validation_accuracy"].astype(float) >= level)


def overshoot(trials: pd.DataFrame) -> pd.Series:
    """Which of ``trials`` exploded and learned all the same: the ``recovered`` ones."""
    return trials["status"].eq("recovered")


def diverged(trials: pd.DataFrame) -> pd.Series:
    """Which of ``trials`` exploded for good: those that did not recover."""
    return exploded(trials) & ~overshoot(trials)


WARM_UPS = {"clipping": "warm_up_steps", "batch_policy": "policy_warm_up_steps"}
"""Factors whose strategies may have a warm-up, and the column that has its steps."""


def could_act(trials: pd.DataFrame, factor: str = "clipping") -> pd.Series:
    """Whose clipping or batch policy had steps after its warm-up: the others say nothing about it.

    A disturbance has to come after it, too. A rule without a warm-up can act from the first step,
    and so could one of results that were written before its warm-up was recorded.
    """
    if WARM_UPS[factor] not in trials:
        return pd.Series(True, index=trials.index)
    warm_up = trials[WARM_UPS[factor]].fillna(0)
    last = trials["steps"].fillna(0)
    if "disturbed_step" in trials:
        last = trials["disturbed_step"].fillna(last)
    return ~((warm_up > 0) & (last <= warm_up))


def counted_accuracy(accuracy: float | None, classes: float) -> float:
    """``accuracy`` (0..1), or that of guessing where it is missing or not finite.

    What an exploded trial counts as, wherever trials are judged; its loss is `capped_loss`.

    >>> counted_accuracy(float("nan"), 10), counted_accuracy(0.5, 10)
    (0.1, 0.5)
    """
    return accuracy if accuracy is not None and math.isfinite(accuracy) else 1 / classes


def capped_loss(loss: float | None, initial_loss: float | None) -> float:
    """min(loss, loss at initialization), finite whatever happened.

    A trial that ended without a finite loss counts at its initial one; where that is not finite
    either (the network overflowed before the first update), at the spike level of 10.

    >>> capped_loss(float("nan"), 2.3), capped_loss(0.5, 2.3)
    (2.3, 0.5)
    """
    cap = initial_loss if initial_loss is not None and math.isfinite(initial_loss) else SPIKE_LOSS
    return min(loss, cap) if loss is not None and math.isfinite(loss) else cap
