"""The contract of an optimizer."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.contracts.subject import Subject, check_state, copied, values_of
from benchmark.contracts.training import check_training
from benchmark.layout import Layout
from benchmark.strategies.clipping import State
from benchmark.strategies.optimizers import Optimizer, UpdateContext

LAYOUT = Layout(
    names=("0.weight", "0.bias", "1.weight"),
    shapes=((3, 4), (3,), (2, 1, 3, 3)),
    head=frozenset({"1.weight"}),
    layers={"0": ("0.weight", "0.bias"), "1": ("1.weight",)},
)
SIZE, STEPS = LAYOUT.size, 5


def check_optimizer(subject: Subject, optimizer: Optimizer) -> None:
    """A pure function of the gradient, its state and what the context says."""
    for dtype in (torch.float32, torch.float64):
        _check_steps(subject, optimizer, dtype)
    _check_lifting(subject, optimizer)
    if optimizer.elementwise:
        _check_elements(subject, optimizer)
    check_training(subject, optimizer=optimizer)


def _gradients(dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(STEPS, SIZE, generator=generator, dtype=torch.float64)
    drawn[STEPS // 2] = 0.0
    return list(drawn.to(dtype).unbind())


def default(optimizer: Optimizer) -> Tensor:
    """The momentum () of trials that choose none."""
    number = optimizer.momentum.default if optimizer.momentum else 0.0
    return torch.tensor(number, dtype=torch.float64)


def _context(parameters: Tensor, momentum: Tensor, layout: Layout = LAYOUT) -> UpdateContext:
    rate = torch.tensor(0.1, dtype=parameters.dtype)
    return UpdateContext(parameters, rate, momentum.to(parameters.dtype), layout)


def _check_steps(subject: Subject, optimizer: Optimizer, dtype: torch.dtype) -> None:
    parameters = torch.linspace(-1, 1, SIZE, dtype=dtype)
    with subject.attempt("must make a state from the layout and a tensor like the parameters (D,)"):
        state = optimizer.init(LAYOUT, parameters)
    if optimizer.evaluated is not None:
        with subject.attempt("must take the parameters (D,) and its state to what is evaluated"):
            start = optimizer.evaluated(parameters.clone(), copied(state))
        subject.same(start, parameters, "must evaluate the parameters themselves at the start", 0)
    for given in _gradients(dtype):
        gradient, kept, weights = given.clone(), copied(state), parameters.clone()
        context = _context(weights, default(optimizer))
        with subject.attempt("must take a gradient (D,), its state and an `UpdateContext`"):
            direction, after = optimizer.direction(gradient, state, context)
            again, _ = optimizer.direction(gradient, copied(kept), context)
        subject.demand(
            (direction.dtype, direction.shape) == (dtype, (SIZE,)),
            f"must return a direction of the type and shape of the gradient, {dtype} ({SIZE},), "
            f"but gave {direction.dtype} {tuple(direction.shape)}",
        )
        subject.demand(
            bool(direction.isfinite().all()),
            f"must give finite numbers, but made {direction.tolist()} of {given.tolist()}",
        )
        check_state(subject, kept, after)
        subject.demand(
            torch.equal(gradient, given)
            and torch.equal(weights, parameters)
            and all(torch.equal(kept[k], v) for k, v in state.items()),
            "must leave the gradient, the state and the parameters as they were",
        )
        subject.same(again, direction, "must give the same for the same", rtol=0)
        state = after


def _check_lifting(subject: Subject, optimizer: Optimizer) -> None:
    parameters = torch.linspace(-1, 1, SIZE, dtype=torch.float64)

    def walk(gradients: Tensor, state: State, momentum: Tensor) -> tuple[Tensor, State]:
        total = torch.zeros_like(parameters)
        for gradient in gradients.unbind():
            context = _context(parameters, momentum)
            direction, state = optimizer.direction(gradient, state, context)
            total = total + direction
        return total, state

    momenta = torch.tensor(values_of(optimizer.momentum)[:3], dtype=torch.float64).expand(3)
    trials = [torch.stack(_gradients(torch.float64, seed)) for seed in range(3)]
    start = optimizer.init(LAYOUT, parameters)
    with subject.attempt(
        "must be liftable over trials by torch.func.vmap (torch.where instead of if)"
    ):
        lifted = torch.func.vmap(walk)(
            torch.stack(trials), {k: torch.stack([v] * 3) for k, v in start.items()}, momenta
        )
    alone = [
        walk(gradients, copied(start), momentum)
        for gradients, momentum in zip(trials, momenta, strict=True)
    ]
    rule = "must give the same lifted over trials as for each alone"
    subject.same(lifted[0], torch.stack([total for total, _ in alone]), rule)
    subject.same(lifted[1], {k: torch.stack([s[k] for _, s in alone]) for k in start}, rule)


def _check_elements(subject: Subject, optimizer: Optimizer) -> None:
    """Each number by itself: the first few are the same without the others."""
    few = 5
    alone = Layout(("weight",), ((few,),))
    momentum = default(optimizer)
    parameters = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    whole, part = optimizer.init(LAYOUT, parameters), optimizer.init(alone, parameters[:few])
    rule = "must treat each number by itself where it is declared `elementwise`"
    with subject.attempt(rule):
        for gradient in _gradients(torch.float64):
            together, whole = optimizer.direction(gradient, whole, _context(parameters, momentum))
            apart, part = optimizer.direction(
                gradient[:few], part, _context(parameters[:few], momentum, alone)
            )
            subject.same(apart, together[:few], rule)
