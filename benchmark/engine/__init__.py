"""Training trials, many at once."""

from benchmark.engine.resolve import REGISTRIES, group_by_shape, impossible, resolve
from benchmark.engine.training import Record, train

__all__ = ["REGISTRIES", "Record", "group_by_shape", "impossible", "resolve", "train"]
