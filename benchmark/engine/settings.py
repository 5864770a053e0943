"""How to train, as opposed to what."""

from __future__ import annotations

from dataclasses import dataclass

import torch

CHECKED_EXAMPLES = 1000
"""Validation examples looked at in a checkpoint; the final evaluation takes all."""


@dataclass(frozen=True)
class Settings:
    """How to train, as opposed to what."""

    device: torch.device
    checkpoints: int
    layers: bool
    sharpness: bool
    steps: bool
    together: int | None

    def evaluated_at_once(self, trials: int) -> int:
        """Examples of each trial that go through the network together in an evaluation.

        On a CPU as many as keep a convolution's outputs in its caches (small CNN, 28x28 pixels:
        73 ms for 1,000 examples by 256, 107 ms at once; dense networks do not mind).
        """
        return max(1, 65_536 // trials) if self.device.type == "cuda" else 256
