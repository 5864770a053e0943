"""Which contract is whose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmark.contracts.clippings import check_clipping
from benchmark.contracts.datasets import check_dataset
from benchmark.contracts.disturbances import check_disturbance
from benchmark.contracts.initializations import check_initialization
from benchmark.contracts.losses import check_loss
from benchmark.contracts.models import check_model
from benchmark.contracts.normalizations import check_normalization
from benchmark.contracts.optimizers import check_optimizer
from benchmark.contracts.policies import check_batch_policy, check_scaling, check_schedule
from benchmark.contracts.subject import Subject, check_description
from benchmark.contracts.training import check_training
from benchmark.data import Dataset
from benchmark.engine import REGISTRIES
from benchmark.models import Initialization, Model
from benchmark.records import Named
from benchmark.records.fields import refused
from benchmark.strategies.batch_policies import BatchPolicy
from benchmark.strategies.clipping import Clipping
from benchmark.strategies.disturbances import Disturbance
from benchmark.strategies.losses import Loss
from benchmark.strategies.normalization import Normalization
from benchmark.strategies.optimizers import Optimizer
from benchmark.strategies.precision import Precision
from benchmark.strategies.scaling import Scaling
from benchmark.strategies.schedules import Schedule


def check_precision(subject: Subject, precision: Precision) -> None:
    """A type of real numbers in which training runs."""
    subject.demand(
        precision.dtype.is_floating_point,
        f"must have a type of real numbers, but has {precision.dtype}",
    )
    check_training(subject, precision=precision)


CONTRACTS: dict[type, tuple[str, Callable[[Subject, Any], None]]] = {
    BatchPolicy: ("batch_policy", check_batch_policy),
    Clipping: ("clipping", check_clipping),
    Dataset: ("dataset", check_dataset),
    Disturbance: ("disturbance", check_disturbance),
    Initialization: ("initialization", check_initialization),
    Loss: ("loss", check_loss),
    Model: ("model", check_model),
    Normalization: ("normalization", check_normalization),
    Optimizer: ("optimizer", check_optimizer),
    Precision: ("precision", check_precision),
    Scaling: ("learning_rate_scaling", check_scaling),
    Schedule: ("schedule", check_schedule),
}
"""The field of `Trial` that a strategy is a value of, and its contract."""


def check(strategy: Named) -> None:
    """Check that a custom strategy keeps the contract of its kind.

    What every kind has in common: a name, a reference and a summary; equal to its copy in another
    process; no change of what it is given; the same for the same; finite results; and, in a few
    updates on random images, the same results whether trials train together or alone. It takes
    a few seconds and writes nothing.

    Parameters
    ----------
    strategy
        A `Clipping`, `Normalization`, `BatchPolicy`, `Schedule`, `Scaling`, `Optimizer`, `Loss`,
        `Initialization`, `Disturbance`, `Precision`, `Dataset` or `Model`.

    Raises
    ------
    BrokenContract
        For the first rule that is broken: an `AssertionError` that names the strategy, the rule
        and what was found instead.
    DataError
        If a file of a data set is missing or damaged.
    ValueError
        If it is none of these.

    Examples
    --------
    >>> from benchmark.strategies.scaling import SCALINGS
    >>> check(SCALINGS["linear"])
    """
    for kind, (field, contract) in CONTRACTS.items():
        if isinstance(strategy, kind):
            subject = Subject(field, str(strategy.name))
            check_description(subject, strategy, REGISTRIES[field])
            contract(subject, strategy)
            return
    allowed = ", ".join(kind.__name__ for kind in CONTRACTS)
    raise refused("strategy", strategy, f"one of {allowed}")
