"""Initial weights: explicit, from a generator, with a gain that can make gradients explode."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from benchmark.layout import linear_maps
from benchmark.names import quoted
from benchmark.records.declarations import DESCRIPTION, Function, check_declaration
from benchmark.records.fields import Rule

Draw = Callable[[Tensor, bool, float, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Initialization:
    """One way to draw the weights and biases of a linear map.

    Parameters
    ----------
    draw
        ``(weight (out, in, ...), hidden, gain, generator) -> (weight, bias (out,))``, both new and
        in float32 on the CPU, so that a seed gives the same numbers on every device and in every
        precision. ``hidden`` is False for the classifier, and for a map that no ReLU follows
        (`unrectified`); ``gain`` multiplies hidden weights.
        None keeps what the module draws when it is built, seeded by the trial; the gain is 1 then.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    draw: Draw | None
    reference: str
    summary: str

    def __post_init__(self) -> None:
        check_declaration("initialization", self, RULES)


RULES: dict[str, Rule] = {
    **DESCRIPTION,
    "draw": Function("(weight, hidden, gain, generator) -> (weight, bias)", 4, optional=True),
}
"""What each field of an `Initialization` may be."""


@runtime_checkable
class FollowsWeights(Protocol):
    """A linear map that holds more than its weights and bias: a scale, say, that starts with them.

    Its method is called once its weights have been drawn.
    """

    def weights_drawn(self) -> None:
        """Set everything that follows the weights."""
        ...


def unrectified(linear: nn.Module) -> nn.Module:
    """Mark a hidden linear map or convolution that no ReLU follows, and return it.

    It is drawn as the classifier is, which no ReLU follows either, times the gain: with ``he`` its
    weights have the variance gain^2 / fan_in.

    >>> unrectified(nn.Linear(2, 3)).rectified
    False
    """
    linear.rectified = False  # type: ignore[assignment]
    return linear


def initialize(
    module: nn.Module, initialization: Initialization, gain: float, generator: torch.Generator
) -> None:
    """Draw every linear map and convolution of ``module`` in order; normalizations stay at 1 and 0.

    The draws depend on the generator and the shapes of the linear maps alone, so that two models
    that differ in their normalization start from the same weights. A weight that several maps share
    is drawn once.

    Parameters
    ----------
    gain
        Multiplies the hidden weights; below 1 gradients vanish with depth, above 1 they explode.
    generator
        On the CPU.

    Raises
    ------
    ValueError
        If a matrix of weights belongs to no linear map or convolution, and so would keep numbers
        that no seed of this trial has drawn.
    """
    assert initialization.draw is not None
    by_weight: dict[int, nn.Linear | nn.Conv2d] = {}
    for linear in linear_maps(module).values():
        by_weight.setdefault(id(linear.weight), linear)
    left = [n for n, p in module.named_parameters() if p.dim() > 1 and id(p) not in by_weight]
    if left:
        raise ValueError(
            f"initialization {initialization.name!r} draws linear maps and convolutions, but the "
            f"model also has {', '.join(left)}; use initialization 'own'"
        )
    with torch.no_grad():
        for i, linear in enumerate(by_weight.values()):
            hidden = i < len(by_weight) - 1
            rectified = hidden and getattr(linear, "rectified", True)
            weight, bias = _drawn(initialization, linear, rectified, gain, generator)
            linear.weight.copy_(weight if rectified or not hidden else weight * gain)
            if linear.bias is not None:
                linear.bias.copy_(bias)
            if isinstance(linear, FollowsWeights):
                linear.weights_drawn()


def _drawn(
    initialization: Initialization,
    linear: nn.Linear | nn.Conv2d,
    rectified: bool,
    gain: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    assert initialization.draw is not None
    found = initialization.draw(linear.weight, rectified, gain, generator)
    wanted = [tuple(linear.weight.shape), (len(linear.weight),)]
    pair = isinstance(found, tuple | list) and all(isinstance(t, Tensor) for t in found)
    if not pair or [tuple(t.shape) for t in found] != wanted:
        gave = [tuple(t.shape) for t in found] if pair else quoted(found)
        raise ValueError(
            f"initialization {initialization.name!r}: draw must return a weight {wanted[0]} and a "
            f"bias {wanted[1]}, but gave {gave}"
        )
    weight, bias = found
    return weight, bias


def fan_in(weight: Tensor) -> int:
    """Numbers that each output is a sum of."""
    return weight[0].numel()


def he_normal(
    weight: Tensor, hidden: bool, gain: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """W ~ N(0, 2 gain^2 / fan_in), the classifier N(0, 1 / fan_in); zero biases."""
    scale = gain * math.sqrt(2) if hidden else 1.0
    noise = torch.randn(weight.shape, generator=generator, dtype=torch.float32)
    return noise * scale / math.sqrt(fan_in(weight)), zeros(len(weight))


def torch_default(
    weight: Tensor, hidden: bool, gain: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """W and biases ~ U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)); hidden W times the gain."""
    limit = 1 / math.sqrt(fan_in(weight))
    drawn = empty(weight).uniform_(-limit, limit, generator=generator)
    bias = zeros(len(weight)).uniform_(-limit, limit, generator=generator)
    return drawn * (gain if hidden else 1.0), bias


def glorot_uniform(
    weight: Tensor, hidden: bool, gain: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """W ~ U(-a, a) with a = sqrt(6 / (fan_in + fan_out)), hidden times the gain; zero biases."""
    scale = gain if hidden else 1.0
    drawn = nn.init.xavier_uniform_(empty(weight), gain=scale, generator=generator)
    return drawn, zeros(len(weight))


def orthogonal(
    weight: Tensor, hidden: bool, gain: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows, or columns where there are fewer, orthogonal and of norm sqrt(2) gain; zero biases.

    The classifier's norm is 1. sqrt(2) makes up for the half that ReLU takes away.
    """
    scale = gain * math.sqrt(2) if hidden else 1.0
    drawn = nn.init.orthogonal_(empty(weight), gain=scale, generator=generator)
    return drawn, zeros(len(weight))


TRUNCATED_DEVIATION, TRUNCATED_BIAS = 0.05, 0.05


def truncated_normal(
    weight: Tensor, hidden: bool, gain: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """W ~ N(0, 0.05^2) within two standard deviations, hidden times the gain; biases 0.05.

    Whatever the layer, the classifier too: as DeepOBS initializes its ``2c2d``.
    """
    deviation = TRUNCATED_DEVIATION
    drawn = nn.init.trunc_normal_(
        empty(weight), 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator
    )
    return drawn * (gain if hidden else 1.0), zeros(len(weight)) + TRUNCATED_BIAS


def empty(weight: Tensor) -> Tensor:
    """Room for new weights, in float32 on the CPU."""
    return torch.empty(weight.shape, dtype=torch.float32)


def zeros(features: int) -> Tensor:
    """Zero biases, in float32 on the CPU."""
    return torch.zeros(features, dtype=torch.float32)


INITIALIZATIONS: dict[str, Initialization] = {
    "he": Initialization(
        "he",
        he_normal,
        "He et al. 2015, arXiv:1502.01852",
        "normal, variance 2 / fan_in; the classifier 1 / fan_in",
    ),
    "torch": Initialization(
        "torch",
        torch_default,
        "LeCun et al. 1998, doi:10.1007/3-540-49430-8_2",
        "torch's default: uniform, variance 1 / (3 fan_in), biases too",
    ),
    "glorot": Initialization(
        "glorot",
        glorot_uniform,
        "Glorot, Bengio 2010, PMLR 9:249-256",
        "uniform, variance 2 / (fan_in + fan_out); also called Xavier",
    ),
    "orthogonal": Initialization(
        "orthogonal",
        orthogonal,
        "Saxe, McClelland, Ganguli 2013, arXiv:1312.6120",
        "orthogonal rows of norm sqrt(2); the classifier's of norm 1",
    ),
    "truncated_normal": Initialization(
        "truncated_normal",
        truncated_normal,
        "Schneider, Balles, Hennig 2019, arXiv:1903.05499",
        "normal of deviation 0.05 cut at 0.1, biases 0.05: that of 2c2d in DeepOBS",
    ),
    "own": Initialization(
        "own",
        None,
        "-",
        "what the module draws when it is built, under the trial's seed",
    ),
}
