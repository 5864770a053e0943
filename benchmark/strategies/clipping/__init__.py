"""Clipping: what is done to a gradient that may be too large."""

from benchmark.strategies.clipping.chain import chain
from benchmark.strategies.clipping.registry import CLIPPINGS
from benchmark.strategies.clipping.rule import (
    Clipped,
    Clipping,
    Context,
    Rule,
    State,
    in_double,
    keep,
    no_state,
    norm_of,
    scale_tensors,
    scale_to,
)
from benchmark.strategies.declared import COMPARED

__all__ = [
    "CLIPPINGS",
    "COMPARED",
    "Clipped",
    "Clipping",
    "Context",
    "Rule",
    "State",
    "chain",
    "in_double",
    "keep",
    "no_state",
    "norm_of",
    "scale_tensors",
    "scale_to",
]
