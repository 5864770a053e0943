"""Optimizers: from a gradient to the direction that the learning rate multiplies."""

from benchmark.strategies.optimizers.registry import OPTIMIZERS
from benchmark.strategies.optimizers.rule import (
    Directed,
    Direction,
    Optimizer,
    UpdateContext,
    no_memory,
)

__all__ = ["OPTIMIZERS", "Directed", "Direction", "Optimizer", "UpdateContext", "no_memory"]
