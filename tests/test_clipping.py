"""Each clipping rule against torch's own or numbers one can check by hand, and the contract."""

import dataclasses
import functools
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmark import Trial, train
from benchmark.data import Dataset
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.layout import Layout
from benchmark.strategies.clipping import CLIPPINGS, Clipped, Clipping, Context, State
from benchmark.strategies.losses import Loss, cross_entropy
from benchmark.strategies.optimizers import OPTIMIZERS

LAYOUT = Layout(
    names=("hidden.weight", "hidden.bias", "head.weight"),
    shapes=((2, 2), (2,), (1, 2)),
    head=frozenset({"head.weight"}),
)
GRADIENT = torch.tensor([3.0, 4.0, 0.3, 0.4, 6.0, 8.0, 5.0, 12.0], dtype=torch.float64)
PARAMETERS = torch.tensor([0.6, 0.8, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0], dtype=torch.float64)
PAST_EVERY_WARM_UP = 130


def default_threshold(rule: Clipping) -> float:
    return rule.threshold.default if rule.threshold else 0.0


def clip(
    rule: Clipping, gradient: Tensor, threshold: float | None = None, state: State | None = None
) -> tuple[Tensor, State, Tensor]:
    context = Context(
        PARAMETERS.to(gradient.dtype), torch.tensor(1.0), torch.linalg.vector_norm(gradient), LAYOUT
    )
    state = rule.init(LAYOUT, gradient) if state is None else state
    value = default_threshold(rule) if threshold is None else threshold
    return rule.clip(gradient, state, gradient.new_tensor(value), context)


@functools.cache
def state_after(rule: Clipping, steps: int, dtype: torch.dtype, seed: int = 0) -> State:
    """What ``rule`` remembers after gradients of norms about 20."""
    generator = torch.Generator().manual_seed(seed)
    state = rule.init(LAYOUT, GRADIENT.to(dtype))
    for _ in range(steps):
        noise = 0.8 + 0.4 * torch.rand(8, generator=generator, dtype=torch.float64)
        _, state, _ = clip(rule, (GRADIENT * noise).to(dtype), state=state)
    return state


def test_none_keeps_the_gradient() -> None:
    clipped, _, flag = clip(CLIPPINGS["none"], GRADIENT, 0.0)
    assert torch.equal(clipped, GRADIENT)
    assert not flag


def test_value_equals_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(8, dtype=torch.float64))
    parameter.grad = GRADIENT.clone()
    torch.nn.utils.clip_grad_value_([parameter], 3.5)
    clipped, _, flag = clip(CLIPPINGS["value"], GRADIENT, 3.5)
    assert torch.equal(clipped, parameter.grad)
    assert flag


def test_value_keeps_nan_and_tells_of_the_other_elements() -> None:
    for second, expected in ((0.5, False), (-2.0, True), (math.inf, True), (math.nan, False)):
        gradient = torch.tensor([math.nan, second])
        clipped, _, flag = clip(CLIPPINGS["value"], gradient, 1.0)
        torch.testing.assert_close(clipped, gradient.clamp(-1.0, 1.0), equal_nan=True)
        assert bool(flag) is expected


def test_value_makes_an_infinite_element_the_threshold() -> None:
    gradient = torch.tensor([math.inf, -math.inf, 0.5, 0, 0, 0, 0, 0])
    clipped, _, _ = clip(CLIPPINGS["value"], gradient, 1.0)
    assert clipped.tolist() == [1.0, -1.0, 0.5, 0, 0, 0, 0, 0]


def clipped_by_torch(pieces: list[Tensor], limit: float) -> tuple[list[Tensor], float]:
    """What ``clip_grad_norm_`` makes of the gradients of as many tensors, and their norm."""
    parameters = [torch.nn.Parameter(torch.zeros_like(piece)) for piece in pieces]
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    return [p.grad.flatten() for p in parameters], float(norm)  # type: ignore[union-attr]


@pytest.mark.parametrize("limit", [1.0, 10.0, 100.0])
def test_global_norm_equals_torch(limit: float) -> None:
    expected, norm = clipped_by_torch(list(LAYOUT.split(GRADIENT).values()), limit)
    clipped, _, flag = clip(CLIPPINGS["global_norm"], GRADIENT, limit)
    # torch divides by norm + 1e-6, this rule by the norm
    torch.testing.assert_close(clipped, torch.cat(expected), rtol=1e-6, atol=0)
    assert bool(flag) == (norm > limit)


@pytest.mark.parametrize("limit", [1.0, 20.0, 100.0])
def test_per_layer_norm_equals_torch_on_each_tensor(limit: float) -> None:
    pieces = LAYOUT.split(GRADIENT).values()
    limits = [limit * math.sqrt(piece.numel() / 8) for piece in pieces]
    alone = [clipped_by_torch([p], c) for p, c in zip(pieces, limits, strict=True)]
    clipped, _, flag = clip(CLIPPINGS["per_layer_norm"], GRADIENT, limit)
    expected = torch.cat([gradients[0] for gradients, _ in alone])
    torch.testing.assert_close(clipped, expected, rtol=1e-6, atol=0)
    assert bool(flag) == any(norm > c for (_, norm), c in zip(alone, limits, strict=True))


def test_per_layer_norm_by_hand() -> None:
    # norms: sqrt(25.25), 10 and 13; limits 4 sqrt(D_l / 8): 2.828, 2 and 2
    clipped, _, flag = clip(CLIPPINGS["per_layer_norm"], GRADIENT, 4.0)
    norms = [float(piece.norm()) for piece in LAYOUT.split(clipped).values()]
    assert norms == pytest.approx([4 * math.sqrt(4 / 8), 2.0, 2.0])
    assert float(clipped.norm()) == pytest.approx(4.0)
    assert flag


def test_adaptive_by_hand() -> None:
    # row 1: norm 5, weights 1, limit 0.1; row 2: norm 0.5, weights 0, limit 0.1 * 1e-3;
    # the bias and the head are exempt
    clipped, _, flag = clip(CLIPPINGS["adaptive"], GRADIENT, 0.1)
    expected = [0.06, 0.08, 6e-5, 8e-5, 6.0, 8.0, 5.0, 12.0]
    torch.testing.assert_close(clipped, torch.tensor(expected, dtype=torch.float64))
    assert flag


def test_adaptive_takes_a_filter_of_a_convolution_for_a_unit() -> None:
    layout = Layout(("conv.weight",), ((2, 1, 2, 2),))
    weights = torch.tensor([1.0, 1, 1, 1, 2, 2, 2, 2])
    gradient = torch.tensor([2.0, 2, 2, 2, 0.1, 0.1, 0.1, 0.1])
    context = Context(weights, torch.tensor(1.0), gradient.norm(), layout)
    # filter 1: norm 4, limit 0.5 * 2; filter 2: norm 0.2, limit 0.5 * 4
    clipped, _, _ = CLIPPINGS["adaptive"].clip(gradient, {}, torch.tensor(0.5), context)
    torch.testing.assert_close(clipped, torch.tensor([0.5] * 4 + [0.1] * 4))


def test_adaptive_leaves_a_network_without_hidden_matrices() -> None:
    layout = Layout(("head.weight",), ((1, 8),), head=frozenset({"head.weight"}))
    context = Context(PARAMETERS, torch.tensor(1.0), GRADIENT.norm(), layout)
    clipped, _, flag = CLIPPINGS["adaptive"].clip(GRADIENT, {}, torch.tensor(1e-3), context)
    assert torch.equal(clipped, GRADIENT)
    assert not flag


def test_update_rms_by_hand() -> None:
    # root mean squares: sqrt(25.25 / 4) = 2.51, sqrt(100 / 2) = 7.07, sqrt(169 / 2) = 9.19
    clipped, _, flag = clip(CLIPPINGS["update_rms"], GRADIENT, 5.0)
    assert torch.equal(clipped[:4], GRADIENT[:4])
    expected = [6 * 5 / math.sqrt(50), 8 * 5 / math.sqrt(50)]
    expected += [5 * 5 / math.sqrt(84.5), 12 * 5 / math.sqrt(84.5)]
    assert clipped[4:].tolist() == pytest.approx(expected, rel=1e-12)
    assert flag


def test_normalized_by_hand() -> None:
    gradient = torch.tensor([3.0, 4.0, 0, 0, 0, 0, 0, 0], dtype=torch.float64)
    clipped, _, flag = clip(CLIPPINGS["normalized"], gradient, 2.0)
    factor = 2 / (5 + 1e-8)
    assert clipped.tolist() == pytest.approx([3 * factor, 4 * factor, *[0] * 6], rel=1e-15)
    assert flag


def test_normalized_enlarges_a_small_gradient_and_does_not_call_it_clipped() -> None:
    clipped, _, flag = clip(CLIPPINGS["normalized"], 1e-3 * GRADIENT, 2.0)
    assert float(clipped.norm()) == pytest.approx(2.0, rel=1e-5)
    assert not flag


NEVER_LARGER = [rule for name, rule in CLIPPINGS.items() if name != "normalized"]


def broken(value: float, dtype: torch.dtype) -> Tensor:
    """A gradient of which one element is ``value``, or whose norm overflows in float32."""
    gradient = GRADIENT.to(dtype, copy=True)
    if math.isfinite(value):
        return gradient * value
    gradient[0] = value
    return gradient


BROKEN = [
    (math.nan, torch.float64),
    (math.inf, torch.float64),
    (-math.inf, torch.float64),
    (1e30, torch.float32),
]


@pytest.mark.parametrize("rule", CLIPPINGS.values(), ids=CLIPPINGS)
def test_is_described_and_can_be_sent_to_another_process(rule: Clipping) -> None:
    assert CLIPPINGS[rule.name] is rule
    assert rule.reference
    assert rule.summary
    assert pickle.loads(pickle.dumps(rule)) == rule


@pytest.mark.parametrize("rule", NEVER_LARGER, ids=lambda rule: rule.name)
@pytest.mark.parametrize("steps", [0, PAST_EVERY_WARM_UP])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_rule_that_limits_makes_nothing_larger(rule: Clipping, steps: int, scale: float) -> None:
    state = state_after(rule, steps, torch.float64)
    clipped, _, _ = clip(rule, scale * GRADIENT, state=state)
    assert (clipped.abs() <= scale * GRADIENT.abs() * (1 + 1e-12)).all()


@pytest.mark.parametrize("steps", [0, PAST_EVERY_WARM_UP], ids=["first", "later"])
@pytest.mark.parametrize("rule", CLIPPINGS.values(), ids=CLIPPINGS)
class TestEveryRule:
    """The contract that every registered rule keeps, at its first step and past its warm-up."""

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_keeps_type_and_shape(self, rule: Clipping, steps: int, dtype: torch.dtype) -> None:
        before = state_after(rule, steps, dtype)
        clipped, after, flag = clip(rule, GRADIENT.to(dtype), state=before)
        assert (clipped.dtype, clipped.shape) == (dtype, (8,))
        assert (flag.dtype, flag.shape) == (torch.bool, ())
        assert {k: (v.dtype, v.shape) for k, v in after.items()} == {
            k: (v.dtype, v.shape) for k, v in before.items()
        }

    def test_changes_nothing_that_it_was_given(self, rule: Clipping, steps: int) -> None:
        gradient, given_state = GRADIENT.clone(), state_after(rule, steps, torch.float64)
        before = {k: v.clone() for k, v in given_state.items()}
        clip(rule, gradient, state=given_state)
        assert torch.equal(gradient, GRADIENT)
        assert all(torch.equal(before[k], v) for k, v in given_state.items())

    def test_zero_stays_zero(self, rule: Clipping, steps: int) -> None:
        state = state_after(rule, steps, torch.float64)
        clipped, after, flag = clip(rule, torch.zeros_like(GRADIENT), state=state)
        assert torch.equal(clipped, torch.zeros_like(GRADIENT))
        assert not flag
        assert not any(v.isnan().any() for v in after.values())

    def test_a_zero_gradient_does_not_freeze_the_next(self, rule: Clipping, steps: int) -> None:
        state = state_after(rule, steps, torch.float64)
        _, state, _ = clip(rule, torch.zeros_like(GRADIENT), state=state)
        clipped, _, _ = clip(rule, GRADIENT, state=state)
        assert (clipped > 0).all()

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
    def test_never_turns_the_gradient_round(self, rule: Clipping, steps: int, scale: float) -> None:
        state = state_after(rule, steps, torch.float64)
        clipped, _, _ = clip(rule, -scale * GRADIENT, state=state)
        assert (clipped < 0).all()

    @pytest.mark.parametrize("scale", [1e-9, 1.0, 1e3])
    def test_flag_says_whether_the_gradient_was_made_smaller(
        self, rule: Clipping, steps: int, scale: float
    ) -> None:
        gradient = scale * GRADIENT
        clipped, _, flag = clip(rule, gradient, state=state_after(rule, steps, torch.float64))
        if rule.stage in ("step", "rewind"):
            assert torch.equal(clipped, gradient)
            assert bool(flag) == (steps > 0 and scale > 1)
        else:
            assert bool(flag) == bool(clipped.norm() < gradient.norm())

    @pytest.mark.parametrize(("value", "dtype"), BROKEN)
    def test_what_is_not_finite_stays_visible_and_is_not_remembered(
        self, rule: Clipping, steps: int, value: float, dtype: torch.dtype
    ) -> None:
        gradient = broken(value, dtype)
        before = state_after(rule, steps, dtype)
        clipped, after, flag = clip(rule, gradient, state=before)
        assert torch.equal(clipped.isnan(), gradient.isnan())
        assert (clipped != 0).all()
        assert all(torch.equal(before[k], v) for k, v in after.items())
        if rule.stage in ("step", "rewind"):
            assert flag

    def test_lifts_over_trials(self, rule: Clipping, steps: int) -> None:
        gradients = torch.stack([GRADIENT, 100 * GRADIENT, 0 * GRADIENT])
        share = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
        low, high = (rule.threshold.low, rule.threshold.high) if rule.threshold else (0.0, 0.0)
        thresholds = low + (high - low) * share
        states = [state_after(rule, steps, torch.float64, seed) for seed in range(3)]
        stacked = {k: torch.stack([s[k] for s in states]) for k in states[0]}

        def one(gradient: Tensor, state: State, threshold: Tensor) -> tuple[Tensor, State, Tensor]:
            context = Context(PARAMETERS, threshold + 1.0, gradient.norm(), LAYOUT)
            return rule.clip(gradient, state, threshold, context)

        lifted = torch.func.vmap(one)(gradients, stacked, thresholds)
        alone = [one(g, s, t) for g, s, t in zip(gradients, states, thresholds, strict=True)]
        torch.testing.assert_close(
            lifted[0], torch.stack([gradient for gradient, _, _ in alone]), rtol=1e-12, atol=0
        )
        assert lifted[2].tolist() == [bool(flag) for _, _, flag in alone]
        together = {k: torch.stack([s[k] for _, s, _ in alone]) for k in states[0]}
        torch.testing.assert_close(lifted[1], together, rtol=1e-12, atol=0)


# or zero, because the square of anything very small is
ELEMENTS = st.floats(-1e6, 1e6).map(lambda x: x if abs(x) > 1e-9 else 0.0)
GRADIENTS = st.lists(ELEMENTS, min_size=8, max_size=8)


@given(GRADIENTS, st.floats(1e-2, 1e2))
@pytest.mark.parametrize("name", ["global_norm", "per_layer_norm", "normalized"])
def test_the_norm_never_exceeds_the_threshold(name: str, values: list[float], limit: float) -> None:
    gradient = torch.tensor(values, dtype=torch.float64)
    clipped, _, _ = clip(CLIPPINGS[name], gradient, limit)
    assert float(clipped.norm()) <= limit * (1 + 1e-9)


@given(GRADIENTS, st.floats(1e-3, 1.0))
def test_the_root_mean_square_never_exceeds_the_threshold(
    values: list[float], limit: float
) -> None:
    clipped, _, _ = clip(CLIPPINGS["update_rms"], torch.tensor(values, dtype=torch.float64), limit)
    rms = [piece.square().mean().sqrt() for piece in LAYOUT.split(clipped).values()]
    assert max(rms) <= limit * (1 + 1e-9)


@given(GRADIENTS, st.floats(1e-4, 1.0))
def test_no_element_exceeds_the_threshold(values: list[float], limit: float) -> None:
    clipped, _, _ = clip(CLIPPINGS["value"], torch.tensor(values, dtype=torch.float64), limit)
    assert float(clipped.abs().max()) <= limit


@settings(max_examples=30)
@given(st.lists(GRADIENTS, min_size=1, max_size=30))
@pytest.mark.parametrize(
    "name", ["global_norm", "autoclip", "zclip", "zclip_capped", "normalized", "skip_step"]
)
def test_the_whole_gradient_keeps_its_direction(name: str, history: list[list[float]]) -> None:
    rule = CLIPPINGS[name]
    state = rule.init(LAYOUT, GRADIENT)
    for values in history:
        gradient = torch.tensor(values, dtype=torch.float64)
        clipped, state, _ = clip(rule, gradient, state=state)
    ratio = clipped.norm() / gradient.norm() if gradient.any() else gradient.new_zeros(())
    torch.testing.assert_close(clipped, ratio * gradient, rtol=1e-9, atol=1e-300)


def batches(width: int, steps: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images (steps, K, 8, 1, 4, 4) and labels (steps, K, 8), random."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(steps, width, 8, 1, 4, 4, generator=generator, dtype=torch.float64)
    return images, torch.randint(0, 3, (steps, width, 8), generator=generator)


def program_of(trial: Trial) -> tuple[Program, Trial]:
    resolved = resolve(dataclasses.replace(trial, precision="float64"))
    return Program(parts_of(resolved), resolved, torch.device("cpu")), resolved


def every_second(g: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    return g, {"steps": state["steps"] + 1}, state["steps"] % 2 == 1


def no_steps(layout: Layout, like: Tensor) -> State:
    return {"steps": torch.zeros((), dtype=torch.long)}


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_skipped_step_leaves_parameters_and_optimizer_as_they_were(
    toy: Dataset, optimizer: str, width: int
) -> None:
    rule = Clipping("second", every_second, None, "-", "-", init=no_steps, stage="step")
    program, trial = program_of(Trial(dataset=toy, clipping=rule, optimizer=optimizer))
    start = program.start([dataclasses.replace(trial, seed=i) for i in range(width)])
    images, labels = batches(width, 2)
    taken, _, _, first = program.step(start, images[0], labels[0], torch.tensor(1.0))
    skipped, _, norm, second = program.step(taken, images[1], labels[1], torch.tensor(1.0))
    assert (first.tolist(), second.tolist()) == ([False] * width, [True] * width)
    assert not torch.equal(taken.parameters, start.parameters)
    assert (norm > 0).all()
    assert torch.equal(skipped.parameters, taken.parameters)
    assert all(torch.equal(skipped.optimizer[k], v) for k, v in taken.optimizer.items())
    assert skipped.clipping["steps"].tolist() == [2] * width


@pytest.mark.parametrize("factor", [100.0, math.inf], ids=["spike", "infinite"])
def test_skip_step_leaves_out_the_spike_of_one_trial_only(toy: Dataset, factor: float) -> None:
    program, trial = program_of(Trial(dataset=toy, clipping="skip_step", optimizer="momentum"))
    population = program.start([dataclasses.replace(trial, seed=i) for i in range(2)])
    images, labels = batches(2, 65)
    for x, y in zip(images, labels, strict=True):
        population, *_, flags = program.step(population, x, y, torch.tensor(1.0))
        assert not flags.any()
    wild = images[0].clone()
    wild[1] *= factor
    after, *_, flags = program.step(population, wild, labels[0], torch.tensor(1.0))
    assert flags.tolist() == [False, True]
    velocity, velocity_after = population.optimizer["velocity"], after.optimizer["velocity"]
    assert not torch.equal(after.parameters[0], population.parameters[0])
    assert not torch.equal(velocity_after[0], velocity[0])
    assert torch.equal(after.parameters[1], population.parameters[1])
    assert torch.equal(velocity_after[1], velocity[1])
    _, *_, flags = program.step(after, images[1], labels[1], torch.tensor(1.0))
    assert not flags.any()


def test_update_rms_limits_what_adam_made_of_the_gradient(toy: Dataset) -> None:
    # Adam's first update has elements of size 1, or 0 where the gradient is 0
    program, trial = program_of(
        Trial(
            dataset=toy,
            clipping="update_rms",
            clipping_threshold=0.02,
            optimizer="adam",
            learning_rate=0.5,
        )
    )
    start = program.start([trial])
    images, labels = batches(1, 1)
    after, *_, flags = program.step(start, images[0], labels[0], torch.tensor(1.0))
    moved = program.layout.split((after.parameters - start.parameters)[0])
    assert flags.all()
    rms = [float(piece.square().mean().sqrt()) for piece in moved.values()]
    assert rms == pytest.approx([0.5 * 0.02] * 4, rel=1e-9)


HUGE = 1e23
LIMITED_AT_ONCE = {
    *("value", "global_norm", "per_layer_norm", "zclip_capped", "adagc", "update_rms"),
    "normalized",
}


def huge_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return HUGE * cross_entropy(logits, labels)


@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("name", CLIPPINGS)
def test_norms_whose_squares_overflow_clip_as_in_double_precision(
    toy: Dataset, name: str, together: int
) -> None:
    loss = Loss("huge", huge_cross_entropy, "-", "-")
    # what is not limited moves by the rate times 1e23
    rate = 0.1 if name in LIMITED_AT_ONCE else 0.1 / HUGE
    # three steps, before double precision sees gradients that vanish for single
    base = Trial(
        dataset=toy, loss=loss, clipping=name, learning_rate=rate, batch_size=8, epochs=0.25
    )
    figures = ["test_loss", "gradient_norm_median", "gradient_norm_max", "clipped_fraction"]
    rows = {}
    for precision in ("float32", "float64"):
        trials = [dataclasses.replace(base, precision=precision, seed=s) for s in range(together)]
        record = train(trials, device="cpu", checkpoints=4, together=together)
        rows[precision] = record.trials
    assert (rows["float32"]["status"] != "nonfinite").all()
    assert rows["float32"]["gradient_norm_max"].gt(1e20).all()
    np.testing.assert_allclose(
        rows["float32"][figures].astype(float), rows["float64"][figures].astype(float), rtol=1e-3
    )
