"""Each optimizer against torch's own on the same gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmark.strategies.optimizers import OPTIMIZERS, Optimizer

TORCH: dict[str, Callable[[list[Any]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
class TestEveryOptimizer:
    def test_equals_torch(self, optimizer: Optimizer) -> None:
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(5, generator=generator, dtype=torch.float64)
        theirs = torch.nn.Parameter(start.clone())
        reference = TORCH[optimizer.name]([theirs])
        ours, state = start.clone(), optimizer.init(start)
        for _ in range(10):
            gradient = torch.randn(5, generator=generator, dtype=torch.float64)
            theirs.grad = gradient.clone()
            reference.step()
            direction, state = optimizer.direction(gradient, state, ours)
            ours = ours - 0.1 * direction
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-14)

    def test_is_described(self, optimizer: Optimizer) -> None:
        assert OPTIMIZERS[optimizer.name] is optimizer
        assert optimizer.reference
        assert optimizer.summary
        assert optimizer.learning_rate.low > 0

    def test_state_in_and_state_out_have_the_same_shape(self, optimizer: Optimizer) -> None:
        parameters = torch.ones(5)
        state = optimizer.init(parameters)
        kept = {k: v.clone() for k, v in state.items()}
        _, after = optimizer.direction(parameters, state, parameters)
        assert {k: v.shape for k, v in after.items()} == {k: v.shape for k, v in state.items()}
        assert all(torch.equal(state[k], v) for k, v in kept.items()), "state was changed in place"
