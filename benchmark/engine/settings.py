"""How to train, as opposed to what."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import torch

from benchmark.gpus import is_gpu

CHECKED_EXAMPLES = 1000
"""Validation examples looked at in a checkpoint; the final evaluation takes all."""
VARIABLE = "BENCHMARK_GRAPHS"
"""Environment variable: whether a GPU's steps are captured as CUDA graphs."""
GRAPHS = {
    "0": "never",
    "1": "where it pays",
    "always": "of however few steps, and however large: for checks",
}
"""What it may be; 1 unless it is set."""


def graphs() -> str:
    """A key of `GRAPHS`, as the environment has it.

    Raises
    ------
    ValueError
        If the variable is something else.
    """
    asked = os.environ.get(VARIABLE, "1")
    if asked not in GRAPHS:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(GRAPHS)}, but got {asked!r}")
    return asked


@dataclass(frozen=True)
class Settings:
    """How to train, as opposed to what."""

    device: torch.device
    checkpoints: int
    layers: bool
    sharpness: bool
    steps: bool
    together: int | None
    graphs: str = field(default_factory=graphs)

    def evaluated_at_once(self, trials: int) -> int:
        """Examples of each trial that go through the network together in an evaluation.

        On a CPU as many as keep a convolution's outputs in its caches (small CNN, 28x28 pixels:
        73 ms for 1,000 examples by 256, 107 ms at once; dense networks do not mind).
        """
        return max(1, 65_536 // trials) if is_gpu(self.device) else 256
