"""Optimizers: from a gradient to the direction that the learning rate multiplies."""

from benchmark.strategies.optimizers.by_tensor import LayerwiseAdaptation, OrthogonalizedMomentum
from benchmark.strategies.optimizers.elementwise import AdaptiveMoments, SignOfMomentum
from benchmark.strategies.optimizers.registry import OPTIMIZERS
from benchmark.strategies.optimizers.rule import (
    Directed,
    Direction,
    Optimizer,
    UpdateContext,
    no_memory,
)

__all__ = [
    "OPTIMIZERS",
    "AdaptiveMoments",
    "Directed",
    "Direction",
    "LayerwiseAdaptation",
    "Optimizer",
    "OrthogonalizedMomentum",
    "SignOfMomentum",
    "UpdateContext",
    "no_memory",
]
