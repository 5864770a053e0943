"""The contract of an optimizer."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.contracts.subject import Subject, check_state, copied
from benchmark.contracts.training import check_training
from benchmark.records import Range
from benchmark.strategies.clipping import State
from benchmark.strategies.optimizers import Optimizer

SIZE, STEPS = 6, 5


def check_optimizer(subject: Subject, optimizer: Optimizer) -> None:
    """A pure function of the gradient, its state and the parameters, element by element."""
    subject.demand(
        isinstance(optimizer.learning_rate, Range),
        f"must have a `Range` of learning rates, but has {optimizer.learning_rate!r}",
    )
    for dtype in (torch.float32, torch.float64):
        _check_steps(subject, optimizer, dtype)
    _check_lifting(subject, optimizer)
    check_training(subject, optimizer=optimizer)


def _gradients(dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(STEPS, SIZE, generator=generator, dtype=torch.float64)
    drawn[STEPS // 2] = 0.0
    return list(drawn.to(dtype).unbind())


def _check_steps(subject: Subject, optimizer: Optimizer, dtype: torch.dtype) -> None:
    parameters = torch.linspace(-1, 1, SIZE, dtype=dtype)
    with subject.attempt("must make a state from the parameters (D,)"):
        state = optimizer.init(parameters)
    for given in _gradients(dtype):
        gradient, kept, weights = given.clone(), copied(state), parameters.clone()
        with subject.attempt("must take a gradient (D,), its state and the parameters (D,)"):
            direction, after = optimizer.direction(gradient, state, weights)
            again, _ = optimizer.direction(gradient, copied(kept), weights)
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

    def walk(gradients: Tensor, state: State) -> tuple[Tensor, State]:
        total = torch.zeros_like(parameters)
        for gradient in gradients.unbind():
            direction, state = optimizer.direction(gradient, state, parameters)
            total = total + direction
        return total, state

    trials = [torch.stack(_gradients(torch.float64, seed)) for seed in range(3)]
    start = optimizer.init(parameters)
    with subject.attempt(
        "must be liftable over trials by torch.func.vmap (torch.where instead of if)"
    ):
        lifted = torch.func.vmap(walk)(
            torch.stack(trials), {k: torch.stack([v] * 3) for k, v in start.items()}
        )
    alone = [walk(gradients, copied(start)) for gradients in trials]
    rule = "must give the same lifted over trials as for each alone"
    subject.same(lifted[0], torch.stack([total for total, _ in alone]), rule)
    subject.same(lifted[1], {k: torch.stack([s[k] for _, s in alone]) for k in start}, rule)
