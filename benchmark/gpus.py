"""Which devices count as a GPU, where what is computed depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TYPES = frozenset({"cuda"})
"""Types of devices that are one; in the tests also that of the pretended GPU. Other accelerators
are none: not all of them have double precision."""


def is_gpu(device: torch.device) -> bool:
    """Whether ``device``, of a tensor or of a run, is a GPU."""
    return device.type in TYPES
