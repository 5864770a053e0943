"""From what the user wrote to a trial that is explicit, valid and possible."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmark.data import DATASETS, Dataset
from benchmark.models import MODELS, Model
from benchmark.names import find
from benchmark.records import NUMERIC_FACTORS, Range, Trial
from benchmark.strategies.batch_policies import BATCH_POLICIES, BatchPolicy
from benchmark.strategies.clipping import CLIPPINGS, Clipping
from benchmark.strategies.normalization import NORMALIZATIONS, ImpossiblePair, Normalization
from benchmark.strategies.optimizers import OPTIMIZERS, Optimizer
from benchmark.strategies.schedules import SCHEDULES, Schedule

REGISTRIES: dict[str, dict[str, Any]] = {
    "dataset": DATASETS,
    "model": MODELS,
    "normalization": NORMALIZATIONS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "clipping": CLIPPINGS,
    "batch_policy": BATCH_POLICIES,
}
"""What the names in a `Trial` stand for, one registry a field."""


@dataclass(frozen=True)
class Parts:
    """The objects that a trial's names stand for."""

    dataset: Dataset
    model: Model
    normalization: Normalization
    optimizer: Optimizer
    schedule: Schedule
    clipping: Clipping
    batch_policy: BatchPolicy


def parts_of(trial: Trial) -> Parts:
    """Look up every name of ``trial``.

    Raises
    ------
    UnknownName
        For the first name that is not registered, with the nearest one that is.
    """
    return Parts(
        **{
            field: find(getattr(trial, field), registry, field)
            for field, registry in REGISTRIES.items()
        }
    )


def resolve(trial: Trial) -> Trial:
    """``trial`` with every default filled in and every value checked.

    Raises
    ------
    UnknownName
        If a name is not registered.
    ValueError
        If a number is outside what its strategy or model allows.
    """
    parts = parts_of(trial)
    depth = parts.model.depth if trial.depth is None else trial.depth
    if not parts.model.allows(depth):
        low, high = parts.model.depths or (parts.model.depth, parts.model.depth)
        raise ValueError(
            f"depth of model {parts.model.name!r} must be in {low}..{high}, but got {depth}"
        )
    for name in ("learning_rate", "init_gain", "epochs"):
        value = getattr(trial, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"`{name}` must be a positive number, but got {value}")
    for name, least in (("batch_size", 1), ("seed", 0)):
        value = getattr(trial, name)
        if value < least or value != int(value):
            raise ValueError(f"`{name}` must be a whole number >= {least}, but got {value}")
    return dataclasses.replace(
        trial,
        depth=depth,
        clipping_threshold=_tunable(
            "clipping_threshold", trial.clipping_threshold, parts.clipping.threshold, parts.clipping
        ),
        batch_policy_parameter=_tunable(
            "batch_policy_parameter",
            trial.batch_policy_parameter,
            parts.batch_policy.parameter,
            parts.batch_policy,
        ),
    )


def _tunable(
    field: str, value: float | None, allowed: Range | None, owner: Clipping | BatchPolicy
) -> float | None:
    if allowed is None:
        if value is not None:
            raise ValueError(f"{owner.name!r} takes no {field}, but got {value}")
        return None
    if value is None:
        return float(allowed.default)
    if not allowed.contains(value):
        kind = "a whole number in " if allowed.integer else "in "
        raise ValueError(f"{field} of {owner.name!r} must be {kind}{allowed}, but got {value}")
    return float(value)


def build_model(parts: Parts, depth: int) -> nn.Module:
    """The trial's network, with torch's own initial weights still in it.

    Raises
    ------
    ImpossiblePair
        If the model, the normalization and the images do not go together.
    """
    data = parts.dataset
    try:
        return parts.model.build(data.image_shape, data.classes, depth, parts.normalization)
    except ImpossiblePair as error:
        shape = "x".join(map(str, data.image_shape))
        raise ImpossiblePair(f"{error} ({parts.model.name} on {shape} images)") from None


def impossible(trial: Trial, training_examples: int) -> str | None:
    """Why a resolved ``trial`` cannot be run, or None where it can.

    The reason is recorded in a row with the status ``skipped``.
    """
    parts = parts_of(trial)
    assert trial.depth is not None
    micro = parts.batch_policy.micro_batches(trial.batch_policy_parameter or 0)
    smallest = trial.batch_size // micro
    if trial.batch_size > training_examples:
        return f"batch size {trial.batch_size} exceeds the {training_examples} training examples"
    if trial.epochs * training_examples < trial.batch_size:
        return f"{trial.epochs:g} epochs hold no full batch of {trial.batch_size}"
    if smallest < 1:
        return f"batch size {trial.batch_size} cannot be cut into {micro} micro-batches"
    if smallest < parts.normalization.smallest_batch:
        return (
            f"{parts.normalization.name} normalization needs at least "
            f"{parts.normalization.smallest_batch} examples at once, but there is {smallest}"
        )
    try:
        with torch.device("meta"):
            build_model(parts, trial.depth)
    except ImpossiblePair as error:
        return str(error)
    return None


def group_by_shape(trials: Iterable[Trial], most: int | None = None) -> list[list[Trial]]:
    """Trials that can train together, in order of first appearance.

    They share everything but the numbers that change no tensor's shape; at most ``most`` a group.
    """
    groups: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        row = trial.row()
        shape = tuple(v for k, v in row.items() if k not in NUMERIC_FACTORS and k != "arm")
        groups.setdefault(shape, []).append(trial)
    out = []
    for group in groups.values():
        size = most or len(group)
        out += [group[i : i + size] for i in range(0, len(group), size)]
    return out
