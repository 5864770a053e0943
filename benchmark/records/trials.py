"""One configuration with one seed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.names import Choice
from benchmark.records.fields import TRIAL, check_fields
from benchmark.records.levels import plain


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One configuration with one seed.

    Strategies, the model and the data set are given by name, or as custom objects.
    Numbers may be numpy's; what each field may be says `benchmark.records.fields`.
    ``None`` stands for the default of the strategy or model and is filled in by
    `benchmark.engine.trials.resolve`, so that a recorded trial is always explicit.

    Parameters
    ----------
    depth, width
        Number of hidden layers, and features of the first; only models that can vary them take
        another than their own.
    initialization, init_gain
        Where the weights are drawn from, and what multiplies the hidden weights.
    train_fraction
        Share of the training set that is used, in (0, 1]: its first examples.
    loss
        What is minimized.
    momentum
        Of the optimizers that have one: the share of the last velocity that is kept.
    learning_rate
        Rate before the schedule's factor.
    learning_rate_scaling
        How the rate follows the batch size when a policy changes it.
    clipping_threshold, batch_policy_parameter
        The one tunable number of the clipping and of the batch policy.
    batch_size
        Examples in the first update, unless the policy sets its own.
    epochs, updates
        Budget, in passes over the training set or in updates: one of the two, or neither for 5
        epochs. A budget of 0 measures the network as it was initialized.
    precision
        In which the arithmetic is done.
    disturbance
        Trouble that is made once, in the midst of training.
    seed
        Fixes the initial weights, the order of the data and what a disturbance draws, whatever the
        strategy.
    arm
        Part of the study that asked for this trial (a sampler's name, say); empty in a grid.

    Raises
    ------
    ValueError
        If a value is not allowed, whatever the others are. Names, and numbers that belong to what
        they name, are checked before anything is trained, and not here: recorded rows have names
        of custom objects, which only the script that defines these knows.

    >>> import numpy as np
    >>> Trial(learning_rate=np.float32(0.1), batch_size=32.0) == Trial()
    True
    """

    dataset: Choice = "digits"
    train_fraction: float = 1.0
    model: Choice = "mlp"
    depth: int | None = None
    width: int | None = None
    initialization: Choice = "he"
    init_gain: float = 1.0
    normalization: Choice = "none"
    loss: Choice = "cross_entropy"
    optimizer: Choice = "sgd"
    momentum: float | None = None
    learning_rate: float = 0.1
    learning_rate_scaling: Choice = "none"
    schedule: Choice = "constant"
    clipping: Choice = "none"
    clipping_threshold: float | None = None
    batch_policy: Choice = "fixed"
    batch_policy_parameter: float | None = None
    batch_size: int = 32
    epochs: float | None = None
    updates: int | None = None
    precision: Choice = "float32"
    disturbance: Choice = "none"
    seed: int = 0
    arm: str = ""

    def __post_init__(self) -> None:
        check_fields(self, TRIAL)

    def row(self) -> dict[str, Any]:
        """The configuration as plain values, one a column."""
        return {name: plain(getattr(self, name)) for name in CONFIGURATION}

    @functools.cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits that identify this trial in every file and on every machine."""
        return _digest(self.row())

    @functools.cached_property
    def cell(self) -> str:
        """Identifies the configuration without its seed."""
        row = self.row()
        del row["seed"]
        return _digest(row)


CONFIGURATION: tuple[str, ...] = tuple(f.name for f in dataclasses.fields(Trial))
"""Names of the columns that say what a trial is, as opposed to what came out."""

OWNERS: dict[str, str] = {
    "depth": "model",
    "width": "model",
    "momentum": "optimizer",
    "clipping_threshold": "clipping",
    "batch_policy_parameter": "batch_policy",
}
"""Number -> field whose level it belongs to: under another level it means something else."""


def numbers_of(field: str) -> tuple[str, ...]:
    """The numbers that belong to the level of ``field``, by `OWNERS`.

    >>> numbers_of("model"), numbers_of("schedule")
    (('depth', 'width'), ())
    """
    return tuple(number for number, owner in OWNERS.items() if owner == field)


NUMERIC_FACTORS = frozenset(
    {"learning_rate", "momentum", "clipping_threshold", "init_gain", "seed"}
)
"""Factors in which the trials of one unit may differ: numbers that change no tensor's shape."""


EARLIER_MOMENTUM = {"momentum": 0.9, "nesterov": 0.9}
"""By optimizer: the momentum of rows that were written before one could be chosen."""


def _digest(row: Mapping[str, Any]) -> str:
    # a trial that could be written before momentum was a field keeps its key
    if row["momentum"] in (None, EARLIER_MOMENTUM.get(row["optimizer"])):
        row = {k: v for k, v in row.items() if k != "momentum"}
    # 1 and 1.0 are the same configuration: every number is written as a float
    numbers = {k: float(v) if isinstance(v, int | float) else v for k, v in row.items()}
    text = json.dumps(numbers, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
