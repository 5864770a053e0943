"""Each clipping rule against torch's own or numbers one can check by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmark.layout import Layout
from benchmark.strategies.clipping import CLIPPINGS, Clipping, Context, State

LAYOUT = Layout(
    names=("hidden.weight", "hidden.bias", "head.weight"),
    shapes=((2, 2), (2,), (1, 2)),
    head=frozenset({"head.weight"}),
)
GRADIENT = torch.tensor([3.0, 4.0, 0.3, 0.4, 6.0, 8.0, 5.0, 12.0], dtype=torch.float64)
PARAMETERS = torch.tensor([0.6, 0.8, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0], dtype=torch.float64)


def clip(rule: Clipping, gradient: Tensor, threshold: float) -> tuple[Tensor, State, Tensor]:
    context = Context(
        PARAMETERS.to(gradient.dtype), torch.tensor(1.0), torch.linalg.vector_norm(gradient), LAYOUT
    )
    state = rule.init(LAYOUT, gradient)
    return rule.clip(gradient, state, gradient.new_tensor(threshold), context)


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


@pytest.mark.parametrize("limit", [1.0, 10.0, 100.0])
def test_global_norm_equals_torch(limit: float) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(s, dtype=torch.float64)) for s in LAYOUT.shapes]
    for parameter, piece in zip(parameters, LAYOUT.split(GRADIENT).values(), strict=True):
        parameter.grad = piece.clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    clipped, _, flag = clip(CLIPPINGS["global_norm"], GRADIENT, limit)
    expected = torch.cat([p.grad.flatten() for p in parameters])  # type: ignore[union-attr]
    # torch divides by norm + 1e-6, this rule by the norm
    torch.testing.assert_close(clipped, expected, rtol=1e-6, atol=0)
    assert bool(flag) == (float(norm) > limit)


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


def test_adaptive_leaves_a_network_without_hidden_matrices() -> None:
    layout = Layout(("head.weight",), ((1, 8),), head=frozenset({"head.weight"}))
    context = Context(PARAMETERS, torch.tensor(1.0), GRADIENT.norm(), layout)
    clipped, _, flag = CLIPPINGS["adaptive"].clip(GRADIENT, {}, torch.tensor(1e-3), context)
    assert torch.equal(clipped, GRADIENT)
    assert not flag


@pytest.mark.parametrize("rule", CLIPPINGS.values(), ids=CLIPPINGS)
class TestEveryRule:
    """The contract that every registered rule keeps."""

    def test_is_described(self, rule: Clipping) -> None:
        assert CLIPPINGS[rule.name] is rule
        assert rule.reference
        assert rule.summary

    def test_zero_stays_zero(self, rule: Clipping) -> None:
        clipped, _, flag = clip(rule, torch.zeros(8), default_threshold(rule))
        assert torch.equal(clipped, torch.zeros(8))
        assert not flag

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
    def test_never_grows_or_turns_the_gradient_round(self, rule: Clipping, scale: float) -> None:
        clipped, _, _ = clip(rule, scale * GRADIENT, default_threshold(rule))
        assert (clipped.abs() <= scale * GRADIENT.abs() * (1 + 1e-12)).all()
        assert (clipped * GRADIENT >= 0).all()

    def test_flag_says_whether_anything_changed(self, rule: Clipping) -> None:
        for gradient in (1e-9 * GRADIENT, 1e3 * GRADIENT):
            clipped, _, flag = clip(rule, gradient, default_threshold(rule))
            assert bool(flag) == (not torch.equal(clipped, gradient))

    def test_nan_stays_visible(self, rule: Clipping) -> None:
        gradient = GRADIENT.clone()
        gradient[0] = math.nan
        clipped, _, _ = clip(rule, gradient, default_threshold(rule))
        assert clipped[0].isnan()

    def test_infinity_never_becomes_nan_quietly(self, rule: Clipping) -> None:
        gradient = GRADIENT.clone()
        gradient[0] = math.inf
        clipped, _, _ = clip(rule, gradient, default_threshold(rule))
        assert not clipped.isnan().any()

    def test_lifts_over_trials(self, rule: Clipping) -> None:
        gradients = torch.stack([GRADIENT, 100 * GRADIENT, 0 * GRADIENT])
        thresholds = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
        states = [rule.init(LAYOUT, GRADIENT) for _ in range(3)]
        stacked = {k: torch.stack([s[k] for s in states]) for k in states[0]}

        def one(gradient: Tensor, state: State, threshold: Tensor) -> Tensor:
            context = Context(PARAMETERS, torch.tensor(1.0), gradient.norm(), LAYOUT)
            return rule.clip(gradient, state, threshold, context)[0]

        lifted = torch.func.vmap(one)(gradients, stacked, thresholds)
        alone = [one(g, s, t) for g, s, t in zip(gradients, states, thresholds, strict=True)]
        torch.testing.assert_close(lifted, torch.stack(alone), rtol=1e-12, atol=0)


def default_threshold(rule: Clipping) -> float:
    return rule.threshold.default if rule.threshold else 0.0


@given(
    st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=8, max_size=8),
    st.floats(1e-2, 1e2),
)
def test_global_norm_never_exceeds_its_threshold(values: list[float], limit: float) -> None:
    gradient = torch.tensor(values, dtype=torch.float64)
    clipped, _, _ = clip(CLIPPINGS["global_norm"], gradient, limit)
    assert float(clipped.norm()) <= max(limit, 0) * (1 + 1e-9)
