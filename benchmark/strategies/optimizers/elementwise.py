"""Optimizers that treat each number by itself.

Each equals torch.optim's own of the same name on the same gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.strategies.clipping import State
from benchmark.strategies.optimizers.rule import Directed, UpdateContext

RMS_DECAY = 0.99
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
WEIGHT_DECAY = 0.01


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


def adaptive_moments(gradient: Tensor, state: State, context: UpdateContext) -> Directed:
    """m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + 1e-8), with b1 = 0.9 and b2 = 0.999."""
    steps = state["steps"] + 1
    first = BETA1 * state["first"] + (1 - BETA1) * gradient
    second = BETA2 * state["second"] + (1 - BETA2) * gradient * gradient
    mean = first / (1 - BETA1**steps)
    scale = (second / (1 - BETA2**steps)).sqrt() + EPSILON
    return mean / scale, {"first": first, "second": second, "steps": steps}


def decoupled_decay(gradient: Tensor, state: State, context: UpdateContext) -> Directed:
    """Adam's direction plus 0.01 times the parameters, outside the moments."""
    direction, state = adaptive_moments(gradient, state, context)
    return direction + WEIGHT_DECAY * context.parameters, state
