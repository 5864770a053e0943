"""Training trials, many at once.

`training` is the entry, `settings` what it is told beside its trials. Everything else has a room,
which imports from those that follow and from no other (`tests/test_layers.py` draws the arrows):
`runs` (from initialization to the end of the budget), `steps` (K trials take theirs together),
`networks` (their passes), `kernels` (what numba compiles), `trials` (before they are trained) and
`machine` (devices and memory).
"""

from benchmark.engine.training import Record, train
from benchmark.engine.trials.resolve import REGISTRIES, group_by_shape, impossible, resolve

__all__ = ["REGISTRIES", "Record", "group_by_shape", "impossible", "resolve", "train"]
