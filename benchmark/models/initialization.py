"""Initial weights: explicit, from a generator, with a gain that can make gradients explode."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Draw = Callable[[Tensor, bool, float, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Initialization:
    """One way to draw the weights and biases of a linear map.

    Parameters
    ----------
    draw
        ``(weight (out, in, ...), hidden, gain, generator) -> (weight, bias (out,))``, both new and
        in float32 on the CPU, so that a seed gives the same numbers on every device and in every
        precision. ``hidden`` is False for the classifier; ``gain`` multiplies hidden weights.
        None keeps what the module draws when it is built, seeded by the trial.
    """

    name: str
    draw: Draw | None
    reference: str
    summary: str


def initialize(
    module: nn.Module, initialization: Initialization, gain: float, generator: torch.Generator
) -> None:
    """Draw every linear map and convolution of ``module`` in order; normalizations stay at 1 and 0.

    The draws depend on the generator and the shapes of the linear maps alone, so that two models
    that differ in their normalization start from the same weights.

    Parameters
    ----------
    gain
        Multiplies the hidden weights; below 1 gradients vanish with depth, above 1 they explode.
    generator
        On the CPU.
    """
    assert initialization.draw is not None
    maps = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        for i, linear in enumerate(maps):
            hidden = i < len(maps) - 1
            weight, bias = initialization.draw(linear.weight, hidden, gain, generator)
            linear.weight.copy_(weight)
            if linear.bias is not None:
                linear.bias.copy_(bias)


def fan_in(weight: Tensor) -> int:
    """Numbers that each output is a sum of."""
    return weight[0].numel()


def he_normal(
    weight: Tensor, hidden: bool, gain: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """W ~ N(0, 2 gain^2 / fan_in), the classifier N(0, 1 / fan_in); zero biases."""
    scale = gain * math.sqrt(2) if hidden else 1.0
    noise = torch.randn(weight.shape, generator=generator)
    return noise * scale / math.sqrt(fan_in(weight)), torch.zeros(len(weight))


INITIALIZATIONS: dict[str, Initialization] = {
    "he": Initialization(
        "he",
        he_normal,
        "He et al. 2015, arXiv:1502.01852",
        "normal, variance 2 / fan_in; the classifier 1 / fan_in",
    ),
}
