"""Rules with a memory, step by step against plain loops over the published formulas."""

import math
import statistics
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmark.layout import Layout
from benchmark.strategies.clipping import CLIPPINGS, Context, State, fixed, skipping
from benchmark.strategies.clipping import history as histories

LAYOUT = Layout(("weight", "bias", "head"), ((2, 2), (1,), (3,)))
DIRECTION = torch.tensor([1.0, -2.0, 2.0, 0.5, -1.0, 3.0, 1.0, 0.25], dtype=torch.float64)
DIRECTION /= DIRECTION.norm()


def step(
    name: str, gradient: Tensor, state: State | None, threshold: float, loss: float = 1.0
) -> tuple[Tensor, State, bool]:
    rule = CLIPPINGS[name]
    state = rule.init(LAYOUT, gradient) if state is None else state
    context = Context(
        torch.zeros_like(gradient), gradient.new_tensor(loss), gradient.norm(), LAYOUT
    )
    clipped, state, flag = rule.clip(gradient, state, gradient.new_tensor(threshold), context)
    return clipped, state, bool(flag)


def norms_after(name: str, norms: Sequence[float], threshold: float) -> list[float]:
    """Norms of gradients in one direction after the rule, one step after the other."""
    state, after = None, []
    for norm in norms:
        clipped, state, flag = step(name, norm * DIRECTION, state, threshold)
        after.append(float(clipped.norm()))
        assert flag == (after[-1] < norm * (1 - 1e-14))
    return after


def noisy_norms(steps: int, seed: int) -> list[float]:
    """Norms that drift, with spikes, repetitions and a zero."""
    generator = np.random.default_rng(seed)
    norms = np.exp(0.2 * generator.standard_normal(steps)) * np.linspace(2, 0.7, steps)
    norms[30::17] *= 20
    norms[5] = norms[4]
    norms[12] = 0
    return [float(n) for n in norms]


def test_autoclip_by_hand() -> None:
    # the medians of [4], [4, 8], [4, 8, 2], [4, 8, 2, 1]
    assert norms_after("autoclip", [4.0, 8.0, 2.0, 1.0], 50) == pytest.approx([4, 6, 2, 1])


@pytest.mark.parametrize("percent", [1, 10, 37.5, 90, 99])
def test_autoclip_is_the_percentile_of_all_norms_so_far(percent: float) -> None:
    norms = noisy_norms(80, seed=0)
    expected = [min(n, np.percentile(norms[: i + 1], percent)) for i, n in enumerate(norms)]
    assert norms_after("autoclip", norms, percent) == pytest.approx(expected, rel=1e-12)


PUBLISHED = {
    (histories, "AUTOCLIP_HISTORY"): 10_000,
    (histories, "ZCLIP_WARMUP"): 25,
    (histories, "ZCLIP_DECAY"): 0.97,
    (histories, "ZCLIP_FLOOR"): 1e-6,
    (histories, "ZCLIP_CAP"): 1.0,
    (histories, "ADAGC_FIRST_STEP"): 100,
    (histories, "ADAGC_DECAY"): 0.98,
    (skipping, "WINDOW"): 128,
    (skipping, "FIRST_STEPS"): 64,
    (fixed, "AGC_PARAMETER_FLOOR"): 1e-3,
}
"""What the sources of these rules say."""


@pytest.mark.parametrize(
    ("where", "value"),
    PUBLISHED.items(),
    ids=lambda case: case[1] if isinstance(case, tuple) else None,
)
def test_constants_are_the_published_ones(where: tuple[ModuleType, str], value: float) -> None:
    assert getattr(*where) == value


def test_autoclip_forgets_what_is_older_than_its_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "AUTOCLIP_HISTORY", 16)
    norms = noisy_norms(80, seed=1)
    expected = [
        min(n, np.percentile(norms[max(0, i - 15) : i + 1], 30)) for i, n in enumerate(norms)
    ]
    assert norms_after("autoclip", norms, 30) == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, math.inf, math.nan]), max_size=30))
def test_the_ranked_history_is_the_recent_one_in_order(norms: list[float]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories, "AUTOCLIP_HISTORY", 6)
        state = histories.empty_history(LAYOUT, DIRECTION)
        for norm in norms:
            state = histories.remember(torch.tensor(norm, dtype=torch.float64), state)
    finite = [n for n in norms if math.isfinite(n)]
    assert int(state["count"]) == len(finite)
    kept = sorted(finite[-6:])
    assert state["ranked"].tolist() == kept + [math.inf] * (6 - len(kept))
    assert sorted(state["recent"].tolist()) == state["ranked"].tolist()


def zclip_trace(norms: Sequence[float], z0: float, cap: float) -> list[float]:
    after = []
    mean = variance = 0.0
    for i, norm in enumerate(norms):
        if i < 25:
            after.append(min(norm, cap))
            mean = statistics.fmean(norms[: i + 1])
            variance = statistics.pvariance(norms[: i + 1])
            continue
        z = (norm - mean) / (math.sqrt(variance) + 1e-6)
        x = mean + z0**2 * math.sqrt(variance) / z if z > z0 else norm
        after.append(min(x, cap))
        mean = 0.97 * mean + 0.03 * x
        variance = 0.97 * variance + 0.03 * (x - mean) ** 2
    return after


@pytest.mark.parametrize(("name", "cap"), [("zclip", math.inf), ("zclip_capped", 1.0)])
@pytest.mark.parametrize("z0", [1.0, 2.5, 5.0])
def test_zclip_follows_its_formulas(name: str, cap: float, z0: float) -> None:
    norms = noisy_norms(90, seed=2)
    expected = zclip_trace(norms, z0, cap)
    assert norms_after(name, norms, z0) == pytest.approx(expected, rel=1e-9)
    # the spike at step 48 is cut: the trace would not see a rule that does nothing
    assert expected[47] < norms[47] / 3


def test_zclip_by_hand() -> None:
    # 25 norms of 3 and 5, one 3 more: m = 3.96, v = 4 * 13 * 12 / 625, so that z = 6.04 / 0.99920
    norms = [3.0, 5.0] * 12 + [3.0, 10.0]
    deviation = math.sqrt(4 * 13 * 12 / 625)
    z = (10 - 3.96) / (deviation + 1e-6)
    after = norms_after("zclip", norms, 2.5)
    assert after[:25] == pytest.approx(norms[:25], rel=1e-14)
    assert after[25] == pytest.approx(3.96 + 6.25 * deviation / z, rel=1e-12)


def test_zclip_after_a_warm_up_without_spread() -> None:
    # v = 0: whatever is 2.5e-6 above the mean becomes the mean
    after = norms_after("zclip", [2.0] * 25 + [2.0, 7.0, 1.0], 2.5)
    assert after[25:] == pytest.approx([2.0, 2.0, 1.0], abs=1e-12)


def adagc_trace(gradients: list[list[np.ndarray]], c: float) -> list[list[np.ndarray]]:
    after = []
    gamma = [math.inf] * len(gradients[0])
    for t, pieces in enumerate(gradients, start=1):
        clipped = []
        total = math.sqrt(sum(float((p**2).sum()) for p in pieces))
        for i, piece in enumerate(pieces):
            norm = math.sqrt(float((piece**2).sum()))
            if t < 100:
                clipped.append(piece * min(1.0, 1.0 / total))
                gamma[i] = min(gamma[i], norm * min(1.0, 1.0 / total))
            else:
                h = min(1.0, c * gamma[i] / norm)
                clipped.append(piece * h)
                gamma[i] = 0.98 * gamma[i] + 0.02 * norm * h
        after.append(clipped)
    return after


@pytest.mark.parametrize("c", [1.0, 1.05, 2.0])
def test_adagc_follows_its_formulas(c: float) -> None:
    generator = np.random.default_rng(3)
    scales = np.array([0.5, 0.05, 0.3])
    gradients = [
        [
            scale * generator.standard_normal(size) * (5 if t % 40 == 39 else 1)
            for scale, size in zip(scales, LAYOUT.sizes, strict=True)
        ]
        for t in range(160)
    ]
    state = None
    for pieces, expected in zip(gradients, adagc_trace(gradients, c), strict=True):
        gradient = torch.from_numpy(np.concatenate(pieces))
        clipped, state, flag = step("adagc", gradient, state, c)
        np.testing.assert_allclose(clipped.numpy(), np.concatenate(expected), rtol=1e-12)
        assert flag == (float(clipped.norm()) < float(gradient.norm()) * (1 - 1e-14))


def test_adagc_by_hand() -> None:
    # 99 steps of tensors with norms 0.6, 0 and 0.8, then one ten times as large
    gradient = torch.tensor([0.6, 0, 0, 0, 0, 0.8, 0, 0], dtype=torch.float64)
    state = None
    for _ in range(99):
        clipped, state, flag = step("adagc", gradient, state, 1.5)
        assert torch.equal(clipped, gradient)
        assert not flag
    clipped, state, flag = step("adagc", 10 * gradient, state, 1.5)
    assert clipped.norm() == pytest.approx(1.5)
    assert flag
    # gamma of the first: 0.98 * 0.6 + 0.02 * 0.9
    clipped, state, _ = step("adagc", 10 * gradient, state, 1.5)
    assert float(clipped[0]) == pytest.approx(1.5 * (0.98 * 0.6 + 0.02 * 0.9))


def test_adagc_does_not_freeze_a_tensor_whose_gradient_was_zero() -> None:
    quiet = torch.tensor([0.3, 0, 0, 0, 0, 0.4, 0, 0], dtype=torch.float64)
    loud = quiet.clone()
    loud[4] = 0.2
    state = None
    for _ in range(120):
        _, state, _ = step("adagc", quiet, state, 1.05)
    clipped, state, _ = step("adagc", loud, state, 1.05)
    # its first norm is its gamma: nothing to clip by yet
    assert float(clipped[4]) == 0.2
    clipped, _, _ = step("adagc", 2 * loud, state, 1.05)
    assert float(clipped[4]) == pytest.approx(1.05 * 0.2)


def skip_trace(
    losses: Sequence[float], norms: Sequence[float], k: float, keeps_all: bool
) -> list[bool]:
    window: list[tuple[float, float]] = []
    skipped = []
    for pair in zip(losses, norms, strict=True):
        skip = False
        if len(window) >= 64:
            for value, past in zip(pair, zip(*window[-128:], strict=True), strict=True):
                skip |= value > statistics.fmean(past) + k * statistics.stdev(past)
        skipped.append(skip)
        if keeps_all or not skip:
            window.append(pair)
    return skipped


SKIPPING = pytest.mark.parametrize("name", ["skip_step", "skip_step_all"])


@SKIPPING
@pytest.mark.parametrize("k", [2.0, 6.0, 10.0])
def test_skip_step_follows_its_formulas(k: float, name: str) -> None:
    generator = np.random.default_rng(4)
    losses = 2.3 * np.exp(-np.arange(400) / 150) + 0.1 * generator.random(400)
    norms = 1 + 0.3 * generator.random(400)
    losses[80::50] += 3
    norms[105::60] *= 6
    expected = skip_trace(losses.tolist(), norms.tolist(), k, name == "skip_step_all")
    state, skipped = None, []
    for loss, norm in zip(losses, norms, strict=True):
        gradient = float(norm) * DIRECTION
        clipped, state, flag = step(name, gradient, state, k, float(loss))
        assert torch.equal(clipped, gradient)
        skipped.append(flag)
    assert skipped == expected
    assert not any(skipped[:64])
    assert any(skipped)


@pytest.mark.parametrize(
    ("loss", "norm"), [(1.202, 1.0), (1.0, 1.202), (1.201, 1.201), (0.7, 1.0), (1.0, 0.7)]
)
def test_skip_step_by_hand(loss: float, norm: float) -> None:
    # 64 steps of 0.9 and 1.1: mean 1, standard deviation 0.1 sqrt(64 / 63), twice that 0.2016
    state = None
    for i in range(64):
        value = 0.9 + 0.2 * (i % 2)
        _, state, flag = step("skip_step", value * DIRECTION, state, 2.0, value)
        assert not flag
    *_, flag = step("skip_step", norm * DIRECTION, state, 2.0, loss)
    assert flag == (max(loss, norm) > 1.2016)
    *_, flag = step("skip_step", norm * DIRECTION, state, 4.0, loss)
    assert not flag


def test_skip_step_starts_after_64_accepted_steps() -> None:
    state, flags = None, []
    for value in [1.0, 1.1] * 31 + [1.0, 9.0, 90.0]:
        _, state, flag = step("skip_step", DIRECTION, state, 6.0, value)
        flags.append(flag)
    assert flags == [False] * 64 + [True]


@pytest.mark.parametrize(("more", "skipped"), [(127, False), (128, True)])
def test_skip_step_looks_back_128_accepted_steps(more: int, skipped: bool) -> None:
    # values of 0.9 and 1.1 put the limit at 1.2; one 2 among 128 puts it at 1.27
    _, state, _ = step("skip_step", DIRECTION, None, 2.0, 2.0)
    for i in range(more):
        _, state, flag = step("skip_step", DIRECTION, state, 2.0, 0.9 + 0.2 * (i % 2))
        assert not flag
    *_, flag = step("skip_step", DIRECTION, state, 2.0, 1.25)
    assert flag == skipped


def test_skip_step_does_not_take_rounding_for_a_spike() -> None:
    # a loss and a norm that never change: the mean of many 0.1 may be a little less than 0.1
    state = None
    for _ in range(140):
        _, state, flag = step("skip_step", 0.1 * DIRECTION, state, 2.0, 0.1)
        assert not flag


@pytest.mark.parametrize(("name", "resumes"), [("skip_step", False), ("skip_step_all", True)])
def test_a_loss_that_moves_up_for_good_is_accepted_where_the_window_holds_all(
    name: str, resumes: bool
) -> None:
    state, flags = None, []
    for i in range(264):
        loss = (1.0 if i < 64 else 3.0) + 0.1 * (i % 2)
        _, state, flag = step(name, DIRECTION, state, 6.0, loss)
        flags.append(flag)
    assert flags[64]
    assert any(flags[100:]) != resumes


@SKIPPING
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_skip_step_never_takes_a_step_on_a_loss_that_is_not_finite(loss: float, name: str) -> None:
    _, before, _ = step(name, DIRECTION, None, 6.0, 1.0)
    clipped, after, flag = step(name, DIRECTION, before, 6.0, loss)
    assert flag
    assert torch.equal(clipped, DIRECTION)
    assert all(torch.equal(before[k], v) for k, v in after.items())
