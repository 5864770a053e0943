"""Batch-size policies and schedules, on numbers one can check by hand."""

import dataclasses
import math
from typing import Any

import pandas as pd
import pytest
import torch

from benchmark import Trial, train
from benchmark.data import Dataset
from benchmark.strategies.batch_policies import (
    BATCH_POLICIES,
    BatchPolicy,
    Decision,
    GradientSample,
    Observation,
    simple_noise_scale,
)
from benchmark.strategies.losses import Loss
from benchmark.strategies.scaling import SCALINGS
from benchmark.strategies.schedules import SCHEDULES, Schedule

SAMPLE = GradientSample(small=1, big=32, small_norm_squared=4.0, big_norm_squared=0.5, loss=2.0)


def at(progress: float, before: float, batch_size: int = 32, examples: int = 1000) -> Observation:
    return Observation(
        *(batch_size, 32, examples, progress, before, 1.0, 1.0), learning_rate=0.1, samples=[SAMPLE]
    )


CHANGING = [name for name, policy in BATCH_POLICIES.items() if policy.first_decision(20)]


@pytest.mark.parametrize("name", CHANGING)
def test_a_policy_first_changes_something_at_the_end_of_its_warm_up(name: str) -> None:
    policy = BATCH_POLICIES[name]
    assert policy.parameter is not None
    # noisy enough for every policy to want larger batches than 32, or smaller ones
    noisy = dataclasses.replace(SAMPLE, small_norm_squared=40.0, big_norm_squared=1.35)
    decisions = [
        policy.decide(
            dataclasses.replace(at(k / 20, (k - 1) / 20), samples=[noisy]),
            policy.parameter.default,
        )
        for k in range(1, 21)
    ]
    changed = [k for k, decision in enumerate(decisions, 1) if decision != Decision(32)]
    assert changed[0] == policy.first_decision(20)


def test_policies_that_never_change_the_size_have_no_warm_up() -> None:
    assert set(BATCH_POLICIES) - set(CHANGING) == {"fixed", "full", "accumulate"}


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
        ("warmup", 0.05, 0.5),
        ("warmup", 0.1, 1.0),
        ("warmup", 0.95, 1.0),
        ("warmup_cosine", 0.05, 0.5),
        ("warmup_cosine", 0.1, 1.0),
        ("warmup_cosine", 0.55, 0.5),
    ],
)
def test_schedules_by_hand(name: str, progress: float, factor: float) -> None:
    assert SCHEDULES[name].factor(progress) == pytest.approx(factor)


def sampled(*samples: GradientSample, **changes: float) -> Observation:
    values = {"batch_size": 32, "examples": 1000, "learning_rate": 0.1} | changes
    return Observation(
        batch_size=int(values["batch_size"]),
        first_batch_size=32,
        examples=int(values["examples"]),
        progress=0.3,
        previous_progress=0.25,
        train_loss=1.0,
        gradient_norm=1.0,
        learning_rate=values["learning_rate"],
        samples=samples,
    )


def test_a_gradient_sample_by_hand() -> None:
    # small 4, big 0.5 at b = 1, B = 32: S = 3.5 / (31 / 32), G2 = (32 * 0.5 - 4) / 31
    assert SAMPLE.variance == pytest.approx(3.5 * 32 / 31)
    assert SAMPLE.mean_squared == pytest.approx(12 / 31)
    assert SAMPLE.norm_squared_at(32) == pytest.approx(0.5)
    assert SAMPLE.norm_squared_at(1) == pytest.approx(4.0)


@pytest.mark.parametrize("pieces", [1, 4, 16])
def test_gradient_samples_are_unbiased(pieces: int) -> None:
    # gradients of examples ~ N(mu, sigma^2) in 3 dimensions: G2 = norm(mu)^2, S = 3 sigma^2
    generator = torch.Generator().manual_seed(0)
    mean, spread, batches = torch.tensor([0.3, 0.0, -0.2]), 1.5, 20_000
    gradients = mean + spread * torch.randn(batches, 64 // pieces, pieces, 3, generator=generator)
    small = gradients.mean(dim=2).square().sum(dim=2).mean(dim=1)
    big = gradients.mean(dim=(1, 2)).square().sum(dim=1)
    pairs = zip(small.tolist(), big.tolist(), strict=True)
    samples = [GradientSample(pieces, 64, s, b, 1.0) for s, b in pairs]
    assert sum(s.variance for s in samples) / batches == pytest.approx(6.75, rel=0.02)
    assert sum(s.mean_squared for s in samples) / batches == pytest.approx(0.13, rel=0.06)


def test_noise_scale_averages_before_it_divides() -> None:
    negative = GradientSample(1, 2, small_norm_squared=3.0, big_norm_squared=1.0, loss=1.0)
    positive = GradientSample(1, 2, small_norm_squared=1.0, big_norm_squared=2.0, loss=1.0)
    assert (negative.mean_squared, positive.mean_squared) == (-1.0, 3.0)
    # decay 0.99: weights 0.99 and 1 over 1.99, of S = 4, -2 and G2 = -1, 3
    expected = (0.99 * 4 - 2) / (-0.99 + 3)
    assert simple_noise_scale([negative, positive]) == pytest.approx(expected)
    assert math.isnan(simple_noise_scale([]))


@pytest.mark.parametrize(
    ("sample", "size"),
    [
        (GradientSample(1, 32, 10.0, 1.0, 1.0), 16),  # S / G2 = 9.29 * 31 / 22 = 13.1
        (GradientSample(1, 32, 33.0, 1.0, 1.0), 32),  # G2 < 0: nothing to go by, so it stays
        (GradientSample(1, 32, 31.9, 1.0, 1.0), 1000),  # S / G2 = 31.9 * 31 / 0.1, of a thousand
    ],
)
def test_noise_scale_policy_takes_the_nearest_power_of_two(
    sample: GradientSample, size: int
) -> None:
    assert BATCH_POLICIES["noise_scale"].decide(sampled(sample), 1.0) == Decision(size)


@pytest.mark.parametrize(("theta", "size"), [(2.0, 32), (0.5, 32), (0.1, 723), (0.01, 1000)])
def test_norm_test_grows_to_what_it_needs_and_never_shrinks(theta: float, size: int) -> None:
    # V = 3.613, norm(g_B)^2 = 0.5: B needed is V / (theta^2 0.5) = 28.9 at 0.5, 722.6 at 0.1
    decision = BATCH_POLICIES["norm_test"].decide(sampled(SAMPLE), theta)
    assert min(decision.batch_size, 1000) == size


def test_norm_test_without_a_gradient_takes_the_whole_set() -> None:
    flat = GradientSample(1, 32, small_norm_squared=1.0, big_norm_squared=0.0, loss=1.0)
    assert BATCH_POLICIES["norm_test"].decide(sampled(flat), 0.5) == Decision(1000)


def test_norm_test_expects_a_smaller_norm_of_a_batch_larger_than_its_sample() -> None:
    # V = 3.613, and norm(g_B)^2 of a batch of 128 is 12 / 31 + V / 128 = 0.4153: V / 0.004153
    decision = BATCH_POLICIES["norm_test"].decide(sampled(SAMPLE, batch_size=128), 0.1)
    assert decision == Decision(870)


BROKEN = [(math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0), (math.inf, math.inf)]


@pytest.mark.parametrize(("small", "big"), BROKEN)
@pytest.mark.parametrize("name", ["norm_test", "noise_scale", "dive"])
def test_of_norms_that_are_not_finite_a_policy_concludes_nothing(
    name: str, small: float, big: float
) -> None:
    sample = GradientSample(1, 32, small, big, loss=1.0)
    assert BATCH_POLICIES[name].decide(sampled(sample), 0.5) == Decision(32)


def seen_by_a_policy(toy: Dataset, **changes: Any) -> tuple[list[Observation], pd.DataFrame]:
    """What a policy is shown in a trial of two passes, and the trial's history."""
    seen: list[Observation] = []

    def look(observation: Observation, parameter: float) -> Decision:
        seen.append(observation)
        return Decision(observation.batch_size)

    policy = BatchPolicy("look", None, "-", "looks", decide=look)
    trial = Trial(dataset=toy, batch_policy=policy, batch_size=16, epochs=2, **changes)
    return seen, train([trial], device="cpu", checkpoints=4).history


def test_a_policy_is_told_the_rate_of_the_last_update(toy: Dataset) -> None:
    seen, history = seen_by_a_policy(toy, schedule="cosine", learning_rate=0.1)
    rates = [observation.learning_rate for observation in seen]
    assert rates == history["learning_rate"].iloc[1:4].tolist()
    # half a cosine, at the middles of the last of each three of twelve updates
    expected = [0.05 * (1 + math.cos(math.pi * (k - 0.5) / 12)) for k in (3, 6, 9)]
    assert rates == pytest.approx(expected, rel=1e-3)


def too_large(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return 1e6 * torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def test_after_steps_that_were_all_skipped_a_policy_is_asked_nothing(toy: Dataset) -> None:
    loss = Loss("too_large", too_large, "-", "-")
    seen, history = seen_by_a_policy(toy, precision="float16_dynamic", loss=loss)
    assert history["gradient_norm_median"].iloc[1:].isna().all()
    assert not seen


@pytest.mark.parametrize(
    ("rate", "variance_of_one", "loss", "size"),
    [(0.1, 3200.0, 2.0, 160), (0.1, 1.0, 2.0, 16), (10.0, 3200.0, 0.1, 2048)],
)
def test_cabs_by_hand(rate: float, variance_of_one: float, loss: float, size: int) -> None:
    # b = 1, B = 2: S = 2 (small - big), so that eta S / F is 0.1 * 3200 / 2 in the first
    sample = GradientSample(1, 2, variance_of_one / 2 + 1, 1.0, loss)
    decision = BATCH_POLICIES["cabs"].decide(sampled(sample, learning_rate=rate), 1.0)
    assert decision == Decision(size)


def test_cabs_averages_variance_and_loss_apart() -> None:
    first = GradientSample(1, 2, 1600.0, 0.0, 4.0)  # S = 3200
    second = GradientSample(1, 2, 800.0, 0.0, 1.0)  # S = 1600
    xi = (0.95 * 3200 + 1600) / 1.95
    loss = (0.95 * 4 + 1) / 1.95
    decision = BATCH_POLICIES["cabs"].decide(sampled(first, second), 1.0)
    assert decision == Decision(round(0.1 * xi / loss))


@pytest.mark.parametrize(("share", "size"), [(0.1, 32), (10.0, 103), (100.0, 1000)])
def test_dive_by_hand(share: float, size: int) -> None:
    # mean of norm(g_i)^2 over the unbiased squared norm: 4 / (12 / 31) = 10.33
    assert BATCH_POLICIES["dive"].decide(sampled(SAMPLE), share) == Decision(size)


def test_dive_goes_no_further_than_2048() -> None:
    # it would take 1,000 x 10.33
    seen = sampled(SAMPLE, examples=50_000)
    assert BATCH_POLICIES["dive"].decide(seen, 1000.0) == Decision(2048)


@pytest.mark.parametrize(
    ("progress", "before", "size", "expected"),
    [
        (0.45, 0.40, 8, Decision(8)),
        (0.50, 0.45, 8, Decision(40)),
        (0.75, 0.70, 40, Decision(100, 0.5)),
        (0.75, 0.70, 100, Decision(100, 0.2)),
    ],
)
def test_growing_instead_of_decaying(
    progress: float, before: float, size: int, expected: Decision
) -> None:
    decision = BATCH_POLICIES["grow_instead_of_decay"].decide(at(progress, before, size), 5.0)
    assert decision.batch_size == expected.batch_size
    assert decision.learning_rate_factor == pytest.approx(expected.learning_rate_factor)


def test_the_full_batch_is_the_training_set() -> None:
    assert BATCH_POLICIES["full"].first(32, 1000) == 1000


@pytest.mark.parametrize(("name", "factor"), [("none", 1.0), ("linear", 4.0), ("square_root", 2.0)])
def test_scaling_rules(name: str, factor: float) -> None:
    assert SCALINGS[name].factor(4.0) == factor
    assert SCALINGS[name].factor(1.0) == 1.0


def test_one_cycle_equals_torch() -> None:
    steps, parameter = 40, torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=steps, pct_start=0.3, cycle_momentum=False
    )
    rates = []
    for _ in range(steps):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        if len(rates) < steps:
            theirs.step()
    # torch's peak is at step 0.3 steps - 1 of steps - 1: compare at the same share of each arm
    peak = 0.3 * steps - 1
    shares = [
        0.3 * i / peak if i <= peak else 0.3 + 0.7 * (i - peak) / (steps - 1 - peak)
        for i in range(steps)
    ]
    ours = [SCHEDULES["one_cycle"].factor(share) for share in shares]
    assert ours == pytest.approx(rates, abs=1e-9)


def test_plateau_equals_torch() -> None:
    generator = torch.Generator().manual_seed(3)
    losses = (1 / torch.arange(1, 60).sqrt() + 0.3 * torch.rand(59, generator=generator)).tolist()
    losses[7] = math.nan
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1, patience=4, threshold=1e-4, eps=0.0
    )
    rates = []
    for loss in losses:
        theirs.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    ours = [SCHEDULES["plateau"].feedback(losses[: i + 1]) for i in range(len(losses))]
    assert ours == pytest.approx(rates)
    assert rates[-1] < 1.0
