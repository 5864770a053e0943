"""From what the user wrote to a trial that is explicit, valid and possible."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.data import DATASETS, Dataset
from benchmark.engine.trials.budget import Budget
from benchmark.models import INITIALIZATIONS, MODELS, Initialization, Model
from benchmark.names import find, quoted
from benchmark.records import NUMERIC_FACTORS, Range, Trial
from benchmark.records.fields import refused
from benchmark.strategies.batch_policies import BATCH_POLICIES, BatchPolicy
from benchmark.strategies.clipping import CLIPPINGS, Clipping
from benchmark.strategies.disturbances import DISTURBANCES, Disturbance
from benchmark.strategies.losses import LOSSES, Loss
from benchmark.strategies.normalization import NORMALIZATIONS, ImpossiblePair, Normalization
from benchmark.strategies.normalizing_modules import GhostBatchNorm
from benchmark.strategies.optimizers import OPTIMIZERS, Optimizer
from benchmark.strategies.precision import PRECISIONS, Precision
from benchmark.strategies.scaling import SCALINGS, Scaling
from benchmark.strategies.schedules import SCHEDULES, Schedule

REGISTRIES: dict[str, dict[str, Any]] = {
    "dataset": DATASETS,
    "model": MODELS,
    "initialization": INITIALIZATIONS,
    "normalization": NORMALIZATIONS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "learning_rate_scaling": SCALINGS,
    "schedule": SCHEDULES,
    "clipping": CLIPPINGS,
    "batch_policy": BATCH_POLICIES,
    "precision": PRECISIONS,
    "disturbance": DISTURBANCES,
}
"""What the names in a `Trial` stand for, one registry a field."""


DEFAULT_EPOCHS = 5.0
"""Budget of a trial that states none."""


@dataclass(frozen=True)
class Parts:
    """The objects that a trial's names stand for."""

    dataset: Dataset
    model: Model
    initialization: Initialization
    normalization: Normalization
    loss: Loss
    optimizer: Optimizer
    learning_rate_scaling: Scaling
    schedule: Schedule
    clipping: Clipping
    batch_policy: BatchPolicy
    precision: Precision
    disturbance: Disturbance


KINDS: dict[str, type] = get_type_hints(Parts)
"""What an object in each of these fields has to be."""


def parts_of(trial: Trial) -> Parts:
    """Look up every name of ``trial``.

    Raises
    ------
    UnknownName
        For the first name that is not registered, with the nearest one that is.
    ValueError
        For the first object that is not what its field wants.
    """
    parts = {
        field: find(getattr(trial, field), registry, field)
        for field, registry in REGISTRIES.items()
    }
    for field, kind in KINDS.items():
        if not isinstance(parts[field], kind):
            raise refused(field, parts[field], f"a name or a {kind.__name__}")
    return Parts(**parts)


def resolve(trial: Trial) -> Trial:
    """``trial`` with every default filled in, and all that its strategies and model bound checked.

    Raises
    ------
    UnknownName
        If a name is not registered.
    ValueError
        If a number is outside what its strategy or model allows.
    """
    parts = parts_of(trial)
    model = parts.model
    if parts.initialization.draw is None and trial.init_gain != 1:
        raise ValueError(
            f"`init_gain` must be 1 with initialization {parts.initialization.name!r}, which keeps "
            f"the weights that the module draws, but got {trial.init_gain}"
        )
    epochs, updates = _budget(trial)
    return dataclasses.replace(
        trial,
        epochs=epochs,
        updates=updates,
        depth=_size("depth", trial.depth, model.depth, model.depths, model),
        width=_size("width", trial.width, model.width, model.widths, model),
        momentum=_tunable("momentum", trial.momentum, parts.optimizer.momentum, parts.optimizer),
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


def _budget(trial: Trial) -> tuple[float | None, int | None]:
    """Epochs and updates, of which one is a number."""
    epochs, updates = trial.epochs, trial.updates
    if epochs is not None and updates is not None:
        raise ValueError(
            f"only one of `epochs` and `updates` may be given, but got epochs={epochs:g} and "
            f"updates={updates}"
        )
    if updates is None and epochs is None:
        epochs = DEFAULT_EPOCHS
    return epochs, updates


def _size(
    field: str, value: int | None, default: int, allowed: tuple[int, int] | None, model: Model
) -> int:
    value = default if value is None else value
    low, high = allowed or (default, default)
    if not low <= value <= high:
        bounds = f"in {low}..{high}" if low < high else f"{low}"
        raise ValueError(f"{field} of model {model.name!r} must be {bounds}, but got {value}")
    return value


def _tunable(
    field: str,
    value: float | None,
    allowed: Range | None,
    owner: Clipping | BatchPolicy | Optimizer,
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
    return value


def build_model(parts: Parts, trial: Trial) -> nn.Module:
    """The network of a resolved ``trial``, with torch's own initial weights still in it.

    Raises
    ------
    ImpossiblePair
        If the model, the normalization and the images do not go together.
    """
    return _build(parts.dataset, parts.model, parts.normalization, trial.depth, trial.width)


def _build(
    data: Dataset,
    model: Model,
    normalization: Normalization,
    depth: int | None,
    width: int | None,
) -> nn.Module:
    assert depth is not None
    assert width is not None
    try:
        network = model.build(data.image_shape, data.classes, depth, width, normalization)
    except ImpossiblePair as error:
        shape = "x".join(map(str, data.image_shape))
        raise ImpossiblePair(f"{error} ({model.name} on {shape} images)") from None
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"model {model.name!r}: build must return a torch module, but gave {quoted(network)}"
        )
    return network


@functools.lru_cache(maxsize=1024)
def _network(
    data: Dataset,
    model: Model,
    normalization: Normalization,
    depth: int | None,
    width: int | None,
) -> tuple[str | None, int]:
    """Why there is no such network, and the fewest examples that its layers train on at once.

    Cached, because a grid asks it for each of its shapes.
    """
    try:
        # a custom module draws numbers while it is built, from torch's global generator
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            network = _build(data, model, normalization, depth, width)
    except ImpossiblePair as error:
        return str(error), 1
    over_the_batch = any(isinstance(m, _BatchNorm | GhostBatchNorm) for m in network.modules())
    return None, 2 if over_the_batch else 1


def smallest_batch(parts: Parts, trial: Trial) -> int:
    """Fewest examples in one pass of a resolved trial's training: those of its normalization, or of
    the layers that a custom network has."""
    _, smallest = _network(
        parts.dataset, parts.model, parts.normalization, trial.depth, trial.width
    )
    return max(parts.normalization.smallest_batch, smallest)


def examples_used(trial: Trial, available: int) -> int:
    """Training examples of which a trial uses its fraction, at least one."""
    return max(1, round(trial.train_fraction * available))


def impossible(trial: Trial, available: int) -> str | None:
    """Why a resolved ``trial`` cannot be run on ``available`` training examples, or None.

    The reason is recorded in a row with the status ``skipped``.
    """
    parts = parts_of(trial)
    policy, normalization = parts.batch_policy, parts.normalization
    examples = examples_used(trial, available)
    budget = Budget.of(trial, examples)
    # without a budget no batch is drawn, and the network is measured as it was initialized
    batch_size = policy.first_size(trial.batch_size, examples) if budget.amount else examples
    micro = policy.pieces(trial.batch_policy_parameter or 0)
    smallest = batch_size // micro
    if batch_size > examples:
        return f"batch size {batch_size} exceeds the {examples} training examples"
    updates = budget.updates_until(budget.amount, used=0, batch_size=batch_size)
    if budget.amount and not updates:
        return f"{trial.epochs:g} epochs hold no full batch of {batch_size}"
    if smallest < 1:
        return f"batch size {batch_size} cannot be cut into {micro} micro-batches"
    misfit, _ = _network(parts.dataset, parts.model, normalization, trial.depth, trial.width)
    least = smallest_batch(parts, trial)
    what = f"{normalization.name} normalization"
    if least > normalization.smallest_batch:
        what = f"the batch normalization of model {parts.model.name!r}"
    if smallest < least:
        return f"{what} needs at least {least} examples at once, but there is {smallest}"
    if policy.per_example and least > 1:
        return f"{policy.name} needs the gradient of each example, which {what} does not define"
    disturbance = parts.disturbance
    before = budget.updates_before(disturbance.at, used=0, batch_size=batch_size)
    if disturbance.updates and updates < before + disturbance.updates:
        return (
            f"{disturbance.name} takes {disturbance.updates} updates after "
            f"{disturbance.at:.0%} of the budget, which holds {updates} in all"
        )
    return misfit


def shape_of(trial: Trial) -> tuple[object, ...]:
    """All of a resolved trial's factors but the numbers that change no tensor's shape.

    Of a policy's parameter only into how many pieces it cuts a batch.
    """
    pieces = parts_of(trial).batch_policy.pieces(trial.batch_policy_parameter or 0)
    row = trial.row() | {"batch_policy_parameter": pieces}
    return tuple(v for k, v in row.items() if k not in NUMERIC_FACTORS and k != "arm")


def group_by_shape(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Trials that can train together, in order of first appearance.

    They share everything but the numbers that change no tensor's shape.

    Raises
    ------
    ValueError
        If two different custom objects have one name: rows are told apart by name.
    """
    groups: dict[tuple[object, ...], list[Trial]] = {}
    own: dict[tuple[str, str], object] = {}
    for trial in trials:
        for field in REGISTRIES:
            choice = getattr(trial, field)
            if isinstance(choice, str):
                continue
            if own.setdefault((field, choice.name), choice) != choice:
                raise ValueError(
                    f"two different {field} objects are named {choice.name!r}; "
                    "give each a name of its own, or use one throughout"
                )
        groups.setdefault(shape_of(trial), []).append(trial)
    return list(groups.values())
