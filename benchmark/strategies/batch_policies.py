"""Batch-size policies: how many examples go into the next updates.

A policy decides on the host, at checkpoints, from an `Observation`. The budget is counted in
examples, so that all policies see the same data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.records import Range


@dataclass(frozen=True)
class Observation:
    """What a policy knows at a checkpoint.

    Parameters
    ----------
    batch_size, first_batch_size
        Of the updates just made, and of the first update.
    examples
        Size of the training set.
    progress, previous_progress
        Share of the budget used, now and at the checkpoint before.
    train_loss, gradient_norm
        Mean and median over the steps since the checkpoint before.
    """

    batch_size: int
    first_batch_size: int
    examples: int
    progress: float
    previous_progress: float
    train_loss: float
    gradient_norm: float


@dataclass(frozen=True)
class Decision:
    """Size of the next batches, and what the learning rate is multiplied by from here on."""

    batch_size: int
    learning_rate_factor: float = 1.0


def stay(observation: Observation, parameter: float) -> Decision:
    """Keep the size."""
    return Decision(observation.batch_size)


def one(parameter: float) -> int:
    """One micro-batch: the whole batch at once."""
    return 1


@dataclass(frozen=True)
class BatchPolicy:
    """One batch-size policy.

    Parameters
    ----------
    decide
        ``(observation, parameter) -> decision``, called at every checkpoint but the last.
    micro_batches
        ``parameter -> k``: an update's gradient is the average, weighted by size, over k forward
        and backward passes on a k-th of the batch each.
    """

    name: str
    parameter: Range | None
    reference: str
    summary: str
    decide: Callable[[Observation, float], Decision] = stay
    micro_batches: Callable[[float], int] = one


ADABATCH_RATE_FACTOR = 0.75


def double_at_quarters(observation: Observation, parameter: float) -> Decision:
    """At 1/4, 1/2 and 3/4 of the budget: B <- 2 B (or another factor), eta <- 0.75 eta.

    The size never exceeds the training set.

    >>> seen = Observation(32, 32, 1000, 0.25, 0.2, 1.0, 1.0)
    >>> double_at_quarters(seen, 2.0)
    Decision(batch_size=64, learning_rate_factor=0.75)
    """
    passed = math.floor(4 * observation.progress) - math.floor(4 * observation.previous_progress)
    size, factor = observation.batch_size, 1.0
    for _ in range(passed):
        grown = min(round(size * parameter), observation.examples)
        if grown > size:
            size, factor = grown, factor * ADABATCH_RATE_FACTOR
    return Decision(size, factor)


BATCH_POLICIES: dict[str, BatchPolicy] = {
    "fixed": BatchPolicy("fixed", None, "-", "B throughout"),
    "accumulate": BatchPolicy(
        "accumulate",
        Range(2, 16, default=4, integer=True),
        "Goyal et al. 2017, arXiv:1706.02677",
        "k micro-batches of B / k, averaged into one update",
        micro_batches=int,
    ),
    "doubling": BatchPolicy(
        "doubling",
        Range(1.5, 8, default=2),
        "Devarakonda et al. 2017, arXiv:1712.02029",
        "B x 2 and rate x 0.75 at each quarter of the budget",
        decide=double_at_quarters,
    ),
}
