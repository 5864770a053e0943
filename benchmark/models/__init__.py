"""The networks and their initial weights."""

from benchmark.models.initialization import INITIALIZATIONS, Initialization, initialize
from benchmark.models.modules import module_model
from benchmark.models.networks import (
    MODELS,
    Model,
    convolutional_network,
    dense_network,
)

__all__ = [
    "INITIALIZATIONS",
    "MODELS",
    "Initialization",
    "Model",
    "convolutional_network",
    "dense_network",
    "initialize",
    "module_model",
]
