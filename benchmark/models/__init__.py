"""The networks and their initial weights."""

from benchmark.models.initialization import (
    INITIALIZATIONS,
    Initialization,
    initialize,
    unrectified,
)
from benchmark.models.model import Model
from benchmark.models.modules import module_model
from benchmark.models.networks import convolutional_network, dense_network
from benchmark.models.registry import MODELS

__all__ = [
    "INITIALIZATIONS",
    "MODELS",
    "Initialization",
    "Model",
    "convolutional_network",
    "dense_network",
    "initialize",
    "module_model",
    "unrectified",
]
