"""Loss scaling: what keeps small gradients from vanishing in half precision.

The smallest positive number of float16 is 2^-24, so an error signal below 3e-8 becomes zero on its
way back through the network. Where the loss is multiplied by a scale first, the whole signal is
that much larger; the gradient is divided by it afterwards, in single precision, before anything
else looks at it. A scale that is too large makes the signal overflow beyond 65,504: then the step
is skipped (Micikevicius et al. 2018, arXiv:1710.03740).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.records.fields import POSITIVE, SMALLEST, Real, Rule, Whole, check_fields

State = dict[str, Tensor]

RULES: dict[str, Rule] = {
    "initial": POSITIVE,
    "backoff": Real("a number in (0, 1]", low=SMALLEST, high=1.0),
    "growth": Real("a number >= 1", low=1.0),
    "growth_interval": Whole(1),
}
"""What each field of a `LossScaling` may be."""


@dataclass(frozen=True)
class LossScaling:
    """How the scale of the loss begins, and how it follows overflows.

    A step whose gradient is not finite is skipped: parameters and all that clipping and optimizer
    remember stay as they are, and only the scale moves. Each trial has a scale of its own.

    Parameters
    ----------
    initial
        Scale of the first step.
    backoff
        Factor on the scale after a step that overflowed; 1 keeps it.
    growth, growth_interval
        Factor on the scale after so many steps in a row that did not; 1 keeps it. A scale that
        would not be finite does not grow.

    Raises
    ------
    ValueError
        If a number is not allowed.

    >>> scaling = LossScaling(8.0, backoff=0.5, growth=2.0, growth_interval=2)
    >>> state = scaling.init(torch.zeros(()))
    >>> for overflowed in (True, False, False):
    ...     state = scaling.update(state, torch.tensor(overflowed))
    ...     print(state["scale"].item())
    4.0
    4.0
    8.0
    """

    initial: float
    backoff: float = 1.0
    growth: float = 1.0
    growth_interval: int = 2000

    def __post_init__(self) -> None:
        check_fields(self, RULES)

    def init(self, like: Tensor) -> State:
        """One trial's state before its first step, of the type and on the device of ``like``."""
        return {
            "scale": like.new_full((), self.initial),
            "good_steps": like.new_zeros((), dtype=torch.int32),
        }

    def update(self, state: State, overflowed: Tensor) -> State:
        """State after a step, of one trial () or of many (K,), without waiting for the device.

        Equals `torch.amp.GradScaler.update`.
        """
        scale = state["scale"]
        good = (state["good_steps"] + 1).masked_fill(overflowed, 0)
        full = good == self.growth_interval
        grown = scale * self.growth
        grown = torch.where(full & torch.isfinite(grown), grown, scale)
        return {
            "scale": torch.where(overflowed, scale * self.backoff, grown),
            "good_steps": good.masked_fill(full, 0),
        }


STATIC = LossScaling(2.0**10)
"""A constant scale, within the 8 to 32,768 of Micikevicius et al. 2018."""
DYNAMIC = LossScaling(2.0**16, backoff=0.5, growth=2.0, growth_interval=2000)
"""The defaults of `torch.amp.GradScaler`."""
