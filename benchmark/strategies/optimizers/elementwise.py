"""Optimizers that treat each number by itself.

Each that torch.optim has equals its own of the same name on the same gradients. Those with numbers
beside the rate and the momentum are records, so that a custom optimizer can have others:
``Optimizer("adam_95", AdaptiveMoments(beta2=0.95), ...)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.records.fields import Real, Rule, check_fields
from benchmark.strategies.clipping import State
from benchmark.strategies.optimizers.rule import Directed, UpdateContext

DECAY = Real("a number in [0, 1)", low=0.0, high=math.nextafter(1.0, 0.0))
NOT_NEGATIVE = Real("a number >= 0", low=0.0)
LION: dict[str, Rule] = {"beta1": DECAY, "beta2": DECAY}
ADAM: dict[str, Rule] = {**LION, "epsilon": NOT_NEGATIVE}
"""What the numbers of an optimizer may be, but for its weight decay."""

RMS_DECAY = 0.99
EPSILON = 1e-8


def gradient_descent(gradient: Tensor, state: State, context: UpdateContext) -> Directed:
    """The gradient itself."""
    return gradient, state


def zero_velocity(layout: Layout, like: Tensor) -> State:
    """A velocity of zero."""
    return {"velocity": torch.zeros_like(like)}


def heavy_ball(gradient: Tensor, state: State, context: UpdateContext) -> Directed:
    """v <- m v + g; the direction is v."""
    velocity = context.momentum * state["velocity"] + gradient
    return velocity, {"velocity": velocity}


def look_ahead(gradient: Tensor, state: State, context: UpdateContext) -> Directed:
    """v <- m v + g; the direction is g + m v."""
    velocity, state = heavy_ball(gradient, state, context)
    return gradient + context.momentum * velocity, state


def zero_scale(layout: Layout, like: Tensor) -> State:
    """A mean square of zero."""
    return {"second": torch.zeros_like(like)}


def root_mean_square(gradient: Tensor, state: State, context: UpdateContext) -> Directed:
    """v <- 0.99 v + 0.01 g^2; the direction is g / (sqrt(v) + 1e-8)."""
    second = RMS_DECAY * state["second"] + (1 - RMS_DECAY) * gradient * gradient
    return gradient / (second.sqrt() + EPSILON), {"second": second}


def zero_moments(layout: Layout, like: Tensor) -> State:
    """Both moments and the count of steps at zero."""
    zero = torch.zeros_like(like)
    return {"first": zero, "second": zero.clone(), "steps": zero.new_zeros(())}


@dataclass(frozen=True)
class AdaptiveMoments:
    """Adam's direction, m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon), plus the decay w.

    ``weight_decay`` times the parameters is added outside the moments, as AdamW does.

    >>> direction = AdaptiveMoments(beta2=0.95, weight_decay=0.1)
    >>> direction.beta1
    0.9
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, {**ADAM, "weight_decay": NOT_NEGATIVE})

    def __call__(self, gradient: Tensor, state: State, context: UpdateContext) -> Directed:
        """The direction and both moments."""
        steps = state["steps"] + 1
        first = self.beta1 * state["first"] + (1 - self.beta1) * gradient
        second = self.beta2 * state["second"] + (1 - self.beta2) * gradient * gradient
        mean = first / (1 - self.beta1**steps)
        direction = mean / ((second / (1 - self.beta2**steps)).sqrt() + self.epsilon)
        if self.weight_decay:
            direction = direction + self.weight_decay * context.parameters
        return direction, {"first": first, "second": second, "steps": steps}


@dataclass(frozen=True)
class SignOfMomentum:
    """Lion: the sign of b1 m + (1 - b1) g, plus the decay w; then m <- b2 m + (1 - b2) g."""

    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, {**LION, "weight_decay": NOT_NEGATIVE})

    def __call__(self, gradient: Tensor, state: State, context: UpdateContext) -> Directed:
        """The direction and the momentum."""
        mixed = self.beta1 * state["velocity"] + (1 - self.beta1) * gradient
        velocity = self.beta2 * state["velocity"] + (1 - self.beta2) * gradient
        # NaN stays NaN, so that an explosion is not hidden
        direction = torch.where(mixed.isnan(), mixed, mixed.sign())
        return direction + self.weight_decay * context.parameters, {"velocity": velocity}


def zero_average(layout: Layout, like: Tensor) -> State:
    """The average where the parameters are, and no weight in it yet."""
    return {"offset": torch.zeros_like(like), "weight": like.new_zeros(())}


def schedule_free(gradient: Tensor, state: State, context: UpdateContext) -> Directed:
    """Schedule-free SGD: gradients at y = (1 - b) z + b x, x the average of the steps z.

    ``z <- z - r g(y)`` and ``x <- (1 - c) x + c z`` with c = r^2 / (sum of all r^2) at the rate r;
    b is the trial's momentum. The parameters are y, and with the offset a = x - y the three
    sequences are: the direction is (1 - b + b c) g + b c / (1 - b) / r a, and
    a <- (1 - c) (a + (1 - b) r g).
    """
    rate, momentum, offset = context.learning_rate, context.momentum, state["offset"]
    weight = state["weight"] + rate * rate
    some = torch.where(weight > 0, weight, torch.ones_like(weight))
    share = rate * rate / some
    pull = momentum / (1 - momentum) * (rate / some)
    direction = (1 - momentum + momentum * share) * gradient + pull * offset
    offset = (1 - share) * (offset + (1 - momentum) * rate * gradient)
    return direction, {"offset": offset, "weight": weight}


def average(parameters: Tensor, state: State) -> Tensor:
    """The average x of schedule-free SGD, which is what it promises something about."""
    return parameters + state["offset"]
