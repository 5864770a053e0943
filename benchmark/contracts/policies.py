"""The contracts of what decides between updates: batch policies, schedules, scaling rules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from benchmark.contracts.subject import Subject, values_of
from benchmark.contracts.training import check_training
from benchmark.strategies.batch_policies import (
    BatchPolicy,
    Decision,
    GradientSample,
    Observation,
)
from benchmark.strategies.scaling import Scaling
from benchmark.strategies.schedules import Schedule

SAMPLES = (
    GradientSample(small=1, big=32, small_norm_squared=4.0, big_norm_squared=0.5, loss=2.0),
    # an estimate of the mean's square that is negative, as single ones may be
    GradientSample(small=1, big=32, small_norm_squared=4.0, big_norm_squared=0.01, loss=2.0),
    GradientSample(small=1, big=32, small_norm_squared=0.0, big_norm_squared=0.0, loss=0.0),
)
SIZES, EXAMPLES = (1, 32, 1000), 1000
POINTS = [(i + 0.5) / 200 for i in range(200)]


def observations() -> Iterator[Observation]:
    """What a policy may come to see, a training that has exploded included."""
    losses = ((1.0, 1.0), (math.nan, math.inf), (math.inf, math.nan))
    checkpoints = ((0.05, 0.0), (0.25, 0.2), (0.5, 0.25), (0.95, 0.9))
    for size, (loss, norm), (now, before), sample in itertools.product(
        SIZES, losses, checkpoints, SAMPLES
    ):
        yield Observation(
            batch_size=size,
            first_batch_size=32,
            examples=EXAMPLES,
            progress=now,
            previous_progress=before,
            train_loss=loss,
            gradient_norm=norm,
            learning_rate=0.1,
            samples=(sample,),
        )


def check_batch_policy(subject: Subject, policy: BatchPolicy) -> None:
    """Sizes that an update can have, from anything that a policy may see."""
    subject.demand(
        policy.acts_from < 1,
        f"must act from a share of the budget below 1, but has {policy.acts_from!r}",
    )
    for parameter in values_of(policy.parameter):
        with subject.attempt("must say into how many micro-batches it cuts"):
            pieces = policy.micro_batches(parameter)
        subject.demand(
            isinstance(pieces, int) and pieces >= 1,
            f"must cut a batch into a whole number of at least 1, but gave {pieces!r}",
        )
        for seen in observations():
            _check_decision(subject, policy, seen, parameter)
    for size in SIZES:
        with subject.attempt("must say the size of its first batch"):
            first = policy.first(size, EXAMPLES)
        subject.demand(
            isinstance(first, int) and 1 <= first <= EXAMPLES,
            f"must begin with a batch of 1 to {EXAMPLES} examples, but gave {first!r}",
        )
    check_training(subject, batch_policy=policy)


def _check_decision(
    subject: Subject, policy: BatchPolicy, seen: Observation, parameter: float
) -> None:
    with subject.attempt(f"must decide, parameter {parameter:g}, on {seen}"):
        decision = policy.decide(seen, parameter)
        again = policy.decide(seen, parameter)
    subject.demand(
        isinstance(decision, Decision), f"must return a `Decision`, but gave {decision!r}"
    )
    subject.demand(
        isinstance(decision.batch_size, int) and decision.batch_size >= 1,
        f"must choose a whole number of at least 1 examples, but chose {decision.batch_size!r} "
        f"on {seen}",
    )
    factor = decision.learning_rate_factor
    subject.demand(
        math.isfinite(factor) and factor > 0,
        f"must multiply the learning rate by a positive number, but gave {factor!r} on {seen}",
    )
    subject.demand(again == decision, "must decide the same on the same")
    subject.demand(
        seen.progress >= policy.acts_from or decision == Decision(seen.batch_size),
        f"must change nothing before {policy.acts_from:g} of the budget, its `acts_from`, but does "
        f"on {seen}",
    )


def check_schedule(subject: Subject, schedule: Schedule) -> None:
    """Factors that are finite, not negative, and somewhere above zero."""
    with subject.attempt("must give a factor for a progress in (0, 1)"):
        factors = [float(schedule.factor(progress)) for progress in POINTS]
        again = [float(schedule.factor(progress)) for progress in POINTS]
    wrong = [f for f in factors if not (math.isfinite(f) and f >= 0)]
    subject.demand(not wrong, f"must give finite factors >= 0, but gave {wrong[:3]}")
    subject.demand(any(factors), "must give a factor above 0 somewhere, but gives 0 throughout")
    subject.demand(factors == again, "must give the same factor for the same progress")
    for losses in ([], [2.3], [2.3, math.nan, math.inf], [1.0] * 30):
        with subject.attempt(f"must give a feedback for the validation losses {losses}"):
            feedback = float(schedule.feedback(losses))
        subject.demand(
            math.isfinite(feedback) and feedback >= 0,
            f"must give a finite feedback >= 0, but gave {feedback} for {losses}",
        )
    check_training(subject, schedule=schedule)


def check_scaling(subject: Subject, scaling: Scaling) -> None:
    """1 where the batch has not changed, and positive elsewhere."""
    with subject.attempt("must give a factor for a ratio of batch sizes"):
        factors = {ratio: float(scaling.factor(ratio)) for ratio in (0.25, 1.0, 4.0, 64.0)}
    subject.demand(factors[1.0] == 1, f"must be 1 for the first batch size, but is {factors[1.0]}")
    subject.demand(
        all(math.isfinite(f) and f > 0 for f in factors.values()),
        f"must give positive factors, but gave {factors}",
    )
    check_training(subject, learning_rate_scaling=scaling, batch_policy="doubling")
