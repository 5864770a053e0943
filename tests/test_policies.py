"""Batch-size policies and schedules, on numbers one can check by hand."""

import pytest

from benchmark.strategies.batch_policies import (
    BATCH_POLICIES,
    BatchPolicy,
    Decision,
    GradientSample,
    Observation,
)
from benchmark.strategies.schedules import SCHEDULES, Schedule

SAMPLE = GradientSample(small=1, big=32, small_norm_squared=4.0, big_norm_squared=0.5, loss=2.0)


def at(progress: float, before: float, batch_size: int = 32, examples: int = 1000) -> Observation:
    return Observation(
        *(batch_size, 32, examples, progress, before, 1.0, 1.0), learning_rate=0.1, samples=[SAMPLE]
    )


@pytest.mark.parametrize(
    ("progress", "before", "expected"),
    [
        (0.20, 0.15, Decision(32)),
        (0.25, 0.20, Decision(64, 0.75)),
        (0.30, 0.25, Decision(32)),
        (0.50, 0.45, Decision(64, 0.75)),
        (0.75, 0.25, Decision(128, 0.75**2)),
    ],
)
def test_doubling_at_quarters(progress: float, before: float, expected: Decision) -> None:
    assert BATCH_POLICIES["doubling"].decide(at(progress, before), 2.0) == expected


def test_doubling_stops_at_the_training_set() -> None:
    seen = at(0.25, 0.2, batch_size=800)
    assert BATCH_POLICIES["doubling"].decide(seen, 2.0) == Decision(1000, 0.75)
    seen = at(0.5, 0.45, batch_size=1000)
    assert BATCH_POLICIES["doubling"].decide(seen, 2.0) == Decision(1000, 1.0)


def test_accumulate_cuts_into_so_many() -> None:
    assert BATCH_POLICIES["accumulate"].micro_batches(4.0) == 4


@pytest.mark.parametrize("policy", BATCH_POLICIES.values(), ids=BATCH_POLICIES)
def test_every_policy_keeps_the_contract(policy: BatchPolicy) -> None:
    parameter = policy.parameter.default if policy.parameter else 0.0
    decision = policy.decide(at(0.3, 0.2), parameter)
    assert BATCH_POLICIES[policy.name] is policy
    assert 1 <= decision.batch_size <= 2048
    assert decision.learning_rate_factor > 0
    assert policy.micro_batches(parameter) >= 1
    assert policy.reference
    assert policy.summary


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_every_schedule_stays_between_zero_and_one(schedule: Schedule) -> None:
    factors = [schedule.factor((i + 0.5) / 100) for i in range(100)]
    assert SCHEDULES[schedule.name] is schedule
    assert all(0 < f <= 1 for f in factors)
    assert schedule.reference


@pytest.mark.parametrize(
    ("name", "progress", "factor"),
    [
        ("constant", 0.9, 1.0),
        ("step", 0.49, 1.0),
        ("step", 0.5, 0.1),
        ("step", 0.75, 0.01),
        ("cosine", 0.25, 0.8535533905932737),
        ("cosine", 0.5, 0.5),
        ("warmup_cosine", 0.05, 0.5),
        ("warmup_cosine", 0.1, 1.0),
        ("warmup_cosine", 0.55, 0.5),
    ],
)
def test_schedules_by_hand(name: str, progress: float, factor: float) -> None:
    assert SCHEDULES[name].factor(progress) == pytest.approx(factor)
