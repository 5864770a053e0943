"""Initial weights: explicit, from a generator, with a gain that can make gradients explode."""

from __future__ import annotations

import math

import torch
from torch import nn


def initialize(module: nn.Module, gain: float, generator: torch.Generator) -> None:
    """Draw W ~ N(0, 2 gain^2 / fan_in) for hidden linear maps, N(0, 1 / fan_in) for the head.

    Biases start at zero; normalization layers at scale 1 and shift 0. The draws depend on the
    generator and the shapes of the linear maps alone, so that two models that differ in their
    normalization start from the same weights.

    Parameters
    ----------
    gain
        Multiplies He's standard deviation; below 1 gradients vanish with depth, above 1 they
        explode (He et al. 2015, arXiv:1502.01852).
    generator
        On the CPU, so that a seed gives the same weights on every device.
    """
    maps = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    for i, linear in enumerate(maps):
        fan_in = linear.weight[0].numel()
        hidden = i < len(maps) - 1
        deviation = gain * math.sqrt(2 / fan_in) if hidden else math.sqrt(1 / fan_in)
        # drawn in float32 whatever the model's type: float64 starts from the same numbers
        noise = torch.randn(linear.weight.shape, generator=generator)
        with torch.no_grad():
            linear.weight.copy_(noise * deviation)
            if linear.bias is not None:
                linear.bias.zero_()
