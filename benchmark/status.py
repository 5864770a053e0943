"""How a trial ended: the outcome that this benchmark is about."""

from __future__ import annotations

import math

STATUSES: dict[str, str] = {
    "stable": "trained, and never spiked",
    "recovered": "spiked, then trained",
    "collapsed": "trained, then fell to chance",
    "dead": "spiked, and never left chance",
    "stalled": "never spiked, and never left chance",
    "nonfinite": "a loss, gradient or parameter stopped being finite",
    "skipped": "an impossible combination",
    "failed": "the program failed",
}
"""Every status with its meaning, from best to worst."""

TRAINED = ("stable", "recovered")
EXPLODED = ("recovered", "collapsed", "dead", "nonfinite")
"""Statuses in which training left the rails at some step, whether or not it came back."""
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


def classify(*, finite: bool, spiked: bool, left_chance: bool, at_chance: bool) -> str:
    """Status of a finished trial.

    Parameters
    ----------
    finite
        Every loss, gradient norm and parameter was finite.
    spiked
        Some step's training loss exceeded `spike_level`.
    left_chance
        Some checkpoint after the first step had an accuracy above `chance_level`.
    at_chance
        The final accuracy is not above `chance_level`.

    >>> classify(finite=True, spiked=True, left_chance=True, at_chance=False)
    'recovered'
    """
    if not finite:
        return "nonfinite"
    if not at_chance:
        return "recovered" if spiked else "stable"
    if left_chance:
        return "collapsed"
    return "dead" if spiked else "stalled"


def capped_loss(loss: float | None, initial_loss: float | None) -> float:
    """min(loss, loss at initialization), finite whatever happened.

    A trial that ended without a finite loss counts at its initial one; where that is not finite
    either (the network overflowed before the first update), at the spike level of 10.

    >>> capped_loss(float("nan"), 2.3), capped_loss(0.5, 2.3)
    (2.3, 0.5)
    """
    cap = initial_loss if initial_loss is not None and math.isfinite(initial_loss) else SPIKE_LOSS
    return min(loss, cap) if loss is not None and math.isfinite(loss) else cap
