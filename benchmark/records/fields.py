"""What each field of a record may be."""

from __future__ import annotations

WHOLE_NUMBERS = ("depth", "width", "batch_size", "seed")
REAL_NUMBERS = (
    *("train_fraction", "init_gain", "learning_rate", "clipping_threshold"),
    *("batch_policy_parameter", "epochs"),
)
"""The fields of a `Trial` that are numbers; the others are names."""


def check_checkpoints(checkpoints: int) -> None:
    """Raise a ValueError unless the number of checkpoints is a positive multiple of 4."""
    if checkpoints < 4 or checkpoints % 4:
        raise ValueError(f"`checkpoints` must be a positive multiple of 4, but got {checkpoints}")
