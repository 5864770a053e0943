"""The networks and their initial weights."""

from benchmark.models.initialization import initialize
from benchmark.models.networks import (
    MODELS,
    Model,
    convolutional_network,
    dense_network,
)

__all__ = ["MODELS", "Model", "convolutional_network", "dense_network", "initialize"]
