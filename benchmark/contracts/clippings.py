"""The contract of a clipping."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmark.contracts.subject import (
    Subject,
    check_state,
    copied,
    values_of,
)
from benchmark.contracts.training import check_training
from benchmark.layout import Layout
from benchmark.strategies.clipping import Clipped, Clipping, Context, State
from benchmark.strategies.clipping.rule import REWIND

LAYOUT = Layout(
    names=("hidden.weight", "hidden.bias", "head.weight"),
    shapes=((2, 2), (2,), (1, 2)),
    head=frozenset({"head.weight"}),
)
GRADIENT = torch.tensor([3.0, -4.0, 0.3, 0.4, 6.0, -8.0, 5.0, 12.0], dtype=torch.float64)
PARAMETERS = torch.tensor([0.6, 0.8, 0.0, 0.0, 1.0, -1.0, 2.0, 2.0], dtype=torch.float64)
SOME_STEPS = 130
"""Past the warm-up of every published rule."""
SCALES = (1e-6, 1.0, 1e3)
USUAL, OUTLIER = 0.01, 10.0
"""What scales the gradient to norms of about 0.2, and to one that every rule should act on."""


def check_clipping(subject: Subject, clipping: Clipping) -> None:
    """What `benchmark.strategies.clipping.rule` promises, at the first step and later."""
    _check_lifting(subject, clipping)
    for dtype in (torch.float32, torch.float64):
        for steps in (0, SOME_STEPS):
            _check_step(subject, clipping, dtype, steps)
    _check_warm_up(subject, clipping)
    if clipping.scales:
        _check_scaling(subject, clipping)
    check_training(subject, clipping=clipping)


def _clip(
    subject: Subject, clipping: Clipping, gradient: Tensor, threshold: float, state: State
) -> Clipped:
    context = Context(
        PARAMETERS.to(gradient.dtype),
        gradient.new_tensor(1.0),
        torch.linalg.vector_norm(gradient),
        LAYOUT,
    )
    with subject.attempt("must take a gradient (D,), its state, a threshold () and a context"):
        clipped, after, flag = clipping.clip(
            gradient, state, gradient.new_tensor(threshold), context
        )
    return clipped, after, flag


def _state(
    subject: Subject, clipping: Clipping, dtype: torch.dtype, steps: int, seed: int = 0
) -> State:
    """What is remembered after gradients of norms about 17."""
    generator = torch.Generator().manual_seed(seed)
    threshold = float(clipping.threshold.default) if clipping.threshold else 0.0
    with subject.attempt("must make a state from a layout and a tensor"):
        state = clipping.init(LAYOUT, GRADIENT.to(dtype))
    for _ in range(steps):
        noise = 0.8 + 0.4 * torch.rand(8, generator=generator, dtype=torch.float64)
        _, state, _ = _clip(subject, clipping, (GRADIENT * noise).to(dtype), threshold, state)
    return state


def _check_scaling(subject: Subject, clipping: Clipping) -> None:
    """A rule that is declared to scale does to a norm what it does to a gradient of that norm."""
    rule = "must only scale by what follows from the norm where it is declared `scales`"
    norm = torch.linalg.vector_norm(OUTLIER * GRADIENT)
    for steps in (0, SOME_STEPS):
        state = _state(subject, clipping, torch.float64, steps)
        for threshold in values_of(clipping.threshold):
            whole = _clip(subject, clipping, OUTLIER * GRADIENT, threshold, state)
            with subject.attempt(rule):
                number = _clip(subject, clipping, norm.view(1), threshold, state)
            factor = number[0] / norm
            subject.same((OUTLIER * GRADIENT * factor, *number[1:]), whole, rule)


def _check_step(subject: Subject, clipping: Clipping, dtype: torch.dtype, steps: int) -> None:
    state = _state(subject, clipping, dtype, steps)
    for threshold in values_of(clipping.threshold):

        def clip(gradient: Tensor, threshold: float = threshold) -> Clipped:
            return _clip(subject, clipping, gradient.to(dtype, copy=True), threshold, state)

        _check_form(subject, clipping, dtype, threshold, state)
        _check_zero(subject, clip)
        _check_flag(subject, clipping, clip)
        _check_not_finite(subject, clip, state)


def _check_form(
    subject: Subject, clipping: Clipping, dtype: torch.dtype, threshold: float, state: State
) -> None:
    gradient, kept = GRADIENT.to(dtype, copy=True), copied(state)
    clipped, after, flag = _clip(subject, clipping, gradient, threshold, state)
    subject.demand(
        (clipped.dtype, clipped.shape) == (dtype, GRADIENT.shape),
        f"must return a gradient of the type and shape that it was given, {dtype} (8,), but gave "
        f"{clipped.dtype} {tuple(clipped.shape)}",
    )
    subject.demand(
        isinstance(flag, Tensor) and (flag.dtype, flag.shape) == (torch.bool, ()),
        f"must say whether it clipped with a tensor () of booleans, but gave {flag!r}",
    )
    subject.demand(
        bool(clipped.isfinite().all()), f"must give finite numbers at the threshold {threshold:g}"
    )
    check_state(subject, state, after)
    subject.demand(
        torch.equal(gradient, GRADIENT.to(dtype))
        and all(torch.equal(kept[k], v) for k, v in state.items()),
        "must leave the gradient and the state that it was given as they were",
    )
    again = _clip(subject, clipping, gradient, threshold, state)
    subject.same(again[0], clipped, "must give the same for the same", rtol=0)


def _check_zero(subject: Subject, clip: Callable[[Tensor], Clipped]) -> None:
    clipped, after, flag = clip(torch.zeros_like(GRADIENT))
    subject.demand(
        torch.equal(clipped, torch.zeros_like(clipped)) and not flag,
        f"must keep a gradient of zero and not call it clipped, but gave {clipped.tolist()}, "
        f"{bool(flag)}",
    )
    subject.demand(
        not any(v.isnan().any() for v in after.values()),
        "must not have NaN in its state after a gradient of zero",
    )


def _check_flag(subject: Subject, clipping: Clipping, clip: Callable[[Tensor], Clipped]) -> None:
    for scale in SCALES:
        gradient = scale * GRADIENT
        clipped, _, flag = clip(gradient)
        smaller = bool((clipped.abs() < gradient.to(clipped.dtype).abs()).any())
        less = bool(clipped.norm() < gradient.to(clipped.dtype).norm())
        if clipping.stage in ("step", REWIND):
            subject.demand(
                not smaller,
                f"must pass the gradient on as it is, since its stage is {clipping.stage!r}",
            )
            continue
        subject.demand(
            flag or not less, "must flag as clipped a gradient whose norm it made smaller"
        )
        subject.demand(
            smaller or not flag, "must not flag as clipped a gradient that it made nowhere smaller"
        )


def _check_not_finite(subject: Subject, clip: Callable[[Tensor], Clipped], state: State) -> None:
    for value in (math.nan, math.inf, -math.inf):
        gradient = GRADIENT.clone()
        gradient[0] = value
        clipped, after, _ = clip(gradient)
        subject.demand(
            torch.equal(clipped.isnan(), gradient.isnan()),
            f"must keep a NaN visible and make no new one, but made {clipped.tolist()} of "
            f"{gradient.tolist()}",
        )
        subject.demand(
            clipped[0] != 0, f"must not turn {value} into zero, which would hide an explosion"
        )
        subject.demand(
            all(torch.equal(state[k], v) for k, v in after.items()),
            f"must remember what it did before a gradient with {value}, and nothing of it",
        )


def _check_warm_up(subject: Subject, clipping: Clipping) -> None:
    """The rule acts after its declared warm-up, and not before.

    What rewinds may flag a step before there is anything to go back to.
    """
    warm_up = clipping.warm_up
    values = values_of(clipping.threshold)
    acts = [_acts_after_warm_up(subject, clipping, value) for value in values]
    # what has no threshold and no warm-up may be a rule that never acts
    subject.demand(
        any(acts) or (clipping.threshold is None and not warm_up),
        f"must act on some gradient after its warm-up of {warm_up} steps, or declare a longer one",
    )


def _acts_after_warm_up(subject: Subject, clipping: Clipping, threshold: float) -> bool:
    generator = torch.Generator().manual_seed(0)
    state = clipping.init(LAYOUT, GRADIENT)

    def differs(scale: float) -> bool:
        """Whether the rule does to a gradient what its warm-up does not."""
        gradient = scale * GRADIENT
        instead = dataclasses.replace(clipping, clip=clipping.warm_up_rule)
        expected, _, expected_flag = _clip(subject, instead, gradient, threshold, state)
        found, _, flag = _clip(subject, clipping, gradient, threshold, state)
        close = torch.allclose(found, expected, rtol=1e-12, atol=0.0)
        return not close or bool(flag) != bool(expected_flag)

    for step in range(clipping.warm_up):
        subject.demand(
            clipping.stage == REWIND or not differs(OUTLIER),
            f"must do as its warm-up rule in all {clipping.warm_up} steps of its warm-up, but acts "
            f"at step {step + 1} (threshold {threshold:g})",
        )
        noise = 0.8 + 0.4 * torch.rand(8, generator=generator, dtype=torch.float64)
        _, state, _ = _clip(subject, clipping, USUAL * GRADIENT * noise, threshold, state)
    return any(differs(scale) for scale in (USUAL, OUTLIER, *SCALES))


def _check_lifting(subject: Subject, clipping: Clipping) -> None:
    gradients = torch.stack([GRADIENT, 100 * GRADIENT, 0 * GRADIENT])
    values = values_of(clipping.threshold)
    thresholds = torch.tensor((values * 3)[:3], dtype=torch.float64)
    states = [_state(subject, clipping, torch.float64, SOME_STEPS, seed) for seed in range(3)]
    stacked = {k: torch.stack([s[k] for s in states]) for k in states[0]}

    def one(gradient: Tensor, state: State, threshold: Tensor) -> Any:
        context = Context(PARAMETERS, threshold + 1.0, gradient.norm(), LAYOUT)
        return clipping.clip(gradient, state, threshold, context)

    with subject.attempt(
        "must be liftable over trials by torch.func.vmap (torch.where instead of if)"
    ):
        lifted = torch.func.vmap(one)(gradients.clone(), stacked, thresholds)
    alone = [
        one(gradient.clone(), copied(state), threshold)
        for gradient, state, threshold in zip(gradients, states, thresholds, strict=True)
    ]
    rule = "must give the same lifted over trials as for each alone"
    subject.same(lifted[0], torch.stack([a[0] for a in alone]), rule)
    subject.same(lifted[2], torch.stack([a[2] for a in alone]), rule)
    subject.same(lifted[1], {k: torch.stack([a[1][k] for a in alone]) for k in states[0]}, rule)
