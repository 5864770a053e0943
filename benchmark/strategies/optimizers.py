"""Optimizers: from a gradient to the direction that the learning rate multiplies.

Written for one trial, element by element: ``(gradient (D,), state, parameters (D,)) -> (direction
(D,), state)``; the engine then moves the parameters by ``-learning_rate * direction``. Each equals
torch.optim's own of the same name on the same gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.records import Range
from benchmark.strategies.clipping import State

Direction = Callable[[Tensor, State, Tensor], tuple[Tensor, State]]


def no_memory(parameters: Tensor) -> State:
    """State of an optimizer that remembers nothing."""
    return {}


@dataclass(frozen=True)
class Optimizer:
    """One optimizer.

    Parameters
    ----------
    direction
        ``(gradient (D,), state, parameters (D,)) -> (direction (D,), state)``.
    learning_rate
        The one tunable number: the range that a search looks in.
    init
        ``parameters (D,) -> state``.
    """

    name: str
    direction: Direction
    learning_rate: Range
    reference: str
    summary: str
    init: Callable[[Tensor], State] = no_memory


MOMENTUM = 0.9
RMS_DECAY = 0.99
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
WEIGHT_DECAY = 0.01


def gradient_descent(gradient: Tensor, state: State, parameters: Tensor) -> tuple[Tensor, State]:
    """The gradient itself."""
    return gradient, state


def zero_velocity(parameters: Tensor) -> State:
    """A velocity of zero."""
    return {"velocity": torch.zeros_like(parameters)}


def heavy_ball(gradient: Tensor, state: State, parameters: Tensor) -> tuple[Tensor, State]:
    """v <- 0.9 v + g; the direction is v."""
    velocity = MOMENTUM * state["velocity"] + gradient
    return velocity, {"velocity": velocity}


def look_ahead(gradient: Tensor, state: State, parameters: Tensor) -> tuple[Tensor, State]:
    """v <- 0.9 v + g; the direction is g + 0.9 v."""
    velocity, state = heavy_ball(gradient, state, parameters)
    return gradient + MOMENTUM * velocity, state


def zero_scale(parameters: Tensor) -> State:
    """A mean square of zero."""
    return {"second": torch.zeros_like(parameters)}


def root_mean_square(gradient: Tensor, state: State, parameters: Tensor) -> tuple[Tensor, State]:
    """v <- 0.99 v + 0.01 g^2; the direction is g / (sqrt(v) + 1e-8)."""
    second = RMS_DECAY * state["second"] + (1 - RMS_DECAY) * gradient * gradient
    return gradient / (second.sqrt() + EPSILON), {"second": second}


def zero_moments(parameters: Tensor) -> State:
    """Both moments and the count of steps at zero."""
    zero = torch.zeros_like(parameters)
    return {"first": zero, "second": zero.clone(), "steps": zero.new_zeros(())}


def adaptive_moments(gradient: Tensor, state: State, parameters: Tensor) -> tuple[Tensor, State]:
    """m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + 1e-8), with b1 = 0.9 and b2 = 0.999."""
    steps = state["steps"] + 1
    first = BETA1 * state["first"] + (1 - BETA1) * gradient
    second = BETA2 * state["second"] + (1 - BETA2) * gradient * gradient
    mean = first / (1 - BETA1**steps)
    scale = (second / (1 - BETA2**steps)).sqrt() + EPSILON
    return mean / scale, {"first": first, "second": second, "steps": steps}


def decoupled_decay(gradient: Tensor, state: State, parameters: Tensor) -> tuple[Tensor, State]:
    """Adam's direction plus 0.01 times the parameters, outside the moments."""
    direction, state = adaptive_moments(gradient, state, parameters)
    return direction + WEIGHT_DECAY * parameters, state


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(
        "sgd",
        gradient_descent,
        Range(1e-3, 1e2, default=0.1),
        "Robbins, Monro 1951, doi:10.1214/aoms/1177729586",
        "plain stochastic gradient descent",
    ),
    "momentum": Optimizer(
        "momentum",
        heavy_ball,
        Range(1e-4, 1e1, default=0.01),
        "Polyak 1964, doi:10.1016/0041-5553(64)90137-5",
        "heavy ball, 0.9",
        zero_velocity,
    ),
    "nesterov": Optimizer(
        "nesterov",
        look_ahead,
        Range(1e-4, 1e1, default=0.01),
        "Nesterov 1983, Doklady 27; Sutskever et al. 2013, PMLR 28(3)",
        "momentum 0.9 with the gradient looked up ahead",
        zero_velocity,
    ),
    "rmsprop": Optimizer(
        "rmsprop",
        root_mean_square,
        Range(1e-5, 1.0, default=1e-3),
        "Tieleman, Hinton 2012, Coursera lecture 6.5",
        "gradient over its root mean square, 0.99",
        zero_scale,
    ),
    "adam": Optimizer(
        "adam",
        adaptive_moments,
        Range(1e-5, 1.0, default=1e-3),
        "Kingma, Ba 2015, arXiv:1412.6980",
        "adaptive moments, 0.9 and 0.999",
        zero_moments,
    ),
    "adamw": Optimizer(
        "adamw",
        decoupled_decay,
        Range(1e-5, 1.0, default=1e-3),
        "Loshchilov, Hutter 2019, arXiv:1711.05101",
        "Adam with decoupled weight decay 0.01",
        zero_moments,
    ),
}
