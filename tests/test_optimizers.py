"""Each optimizer against torch's own on the same gradients, and the momentum of a trial."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark import Trial, train
from benchmark.contracts.optimizers import default
from benchmark.engine import resolve
from benchmark.layout import Layout
from benchmark.strategies.optimizers import OPTIMIZERS, Optimizer, UpdateContext

LAYOUT = Layout(("weight",), ((5,),))


def context(optimizer: Optimizer, parameters: Tensor, momentum: float | None = None) -> Any:
    of_trial = (
        default(optimizer) if momentum is None else torch.tensor(momentum, dtype=torch.float64)
    )
    rate = torch.tensor(0.1, dtype=parameters.dtype)
    return UpdateContext(parameters, rate, of_trial.to(parameters.dtype), LAYOUT)


TORCH: dict[str, Callable[[list[Any]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01),
}


def follow(optimizer: Optimizer, theirs: torch.optim.Optimizer, momentum: float | None) -> None:
    (parameter,) = theirs.param_groups[0]["params"]
    generator = torch.Generator().manual_seed(0)
    ours = parameter.detach().clone()
    state = optimizer.init(LAYOUT, ours)
    for _ in range(10):
        gradient = torch.randn(5, generator=generator, dtype=torch.float64)
        parameter.grad = gradient.clone()
        theirs.step()
        direction, state = optimizer.direction(gradient, state, context(optimizer, ours, momentum))
        ours = ours - 0.1 * direction
    torch.testing.assert_close(ours, parameter.detach(), rtol=1e-12, atol=1e-14)


def parameters() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64))]


@pytest.mark.parametrize("name", TORCH)
def test_it_equals_torchs(name: str) -> None:
    follow(OPTIMIZERS[name], TORCH[name](parameters()), None)


def test_every_optimizer_is_compared_with_another_implementation() -> None:
    # the others in test_shaped_optimizers.py
    assert set(OPTIMIZERS) - set(TORCH) == {"lion", "lamb", "muon", "schedule_free_sgd"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
class TestEveryOptimizer:
    def test_is_described(self, optimizer: Optimizer) -> None:
        assert OPTIMIZERS[optimizer.name] is optimizer
        assert optimizer.reference
        assert optimizer.summary
        assert optimizer.learning_rate.low > 0

    def test_state_in_and_state_out_have_the_same_shape(self, optimizer: Optimizer) -> None:
        parameters = torch.ones(5)
        state = optimizer.init(LAYOUT, parameters)
        kept = {k: v.clone() for k, v in state.items()}
        _, after = optimizer.direction(parameters, state, context(optimizer, parameters))
        assert {k: v.shape for k, v in after.items()} == {k: v.shape for k, v in state.items()}
        assert all(torch.equal(state[k], v) for k, v in kept.items()), "state was changed in place"


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
@pytest.mark.parametrize("momentum", [0.5, 0.99])
def test_any_momentum_equals_torchs(name: str, momentum: float) -> None:
    theirs = torch.optim.SGD(parameters(), lr=0.1, momentum=momentum, nesterov=name == "nesterov")

    follow(OPTIMIZERS[name], theirs, momentum)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_a_momentum_of_zero_is_plain_descent(name: str) -> None:
    parameter = torch.ones(5)
    gradient = torch.linspace(-1, 1, 5)
    optimizer = OPTIMIZERS[name]
    state = optimizer.init(LAYOUT, parameter)
    for _ in range(3):
        direction, state = optimizer.direction(gradient, state, context(optimizer, parameter, 0.0))
    torch.testing.assert_close(direction, gradient, rtol=0, atol=0)


def trial(optimizer: str, momentum: float | None = None, **more: Any) -> Trial:
    budget = {"updates": 8, "learning_rate": 0.02, "width": 16}
    return Trial(optimizer=optimizer, momentum=momentum, **budget | more)


def test_trials_of_different_momentum_train_together_each_with_its_own() -> None:
    trials = [trial("momentum", m, precision="float64") for m in (0.0, 0.9, 0.99)]
    together = train(trials, device="cpu", checkpoints=4, together=3).trials
    alone = train(trials, device="cpu", checkpoints=4, together=1).trials
    losses = together["train_loss"]
    plain = train(trial("sgd", precision="float64"), device="cpu", checkpoints=4).trials

    assert together["trials_together"].eq(3).all()
    assert together["momentum"].tolist() == [0.0, 0.9, 0.99]
    assert losses.tolist() == pytest.approx(alone["train_loss"].tolist(), rel=1e-9)
    assert losses[0] == pytest.approx(plain["train_loss"][0], rel=1e-9)
    assert losses.nunique() == 3


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_the_momentum_is_that_of_the_source_unless_it_is_chosen(name: str) -> None:
    assert resolve(trial(name)).momentum == 0.9
    assert resolve(trial(name, 0.99)).momentum == 0.99
    assert resolve(trial("sgd")).momentum is None


@pytest.mark.parametrize(
    ("optimizer", "momentum", "message"),
    [
        ("sgd", 0.9, "'sgd' takes no momentum, but got 0.9"),
        ("momentum", 0.9999, "momentum of 'momentum' must be in 0..0.999, but got 0.9999"),
    ],
)
def test_a_momentum_that_the_optimizer_does_not_take_is_refused(
    optimizer: str, momentum: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(trial(optimizer, momentum))


def test_a_chosen_momentum_is_another_trial_and_the_one_of_old_rows_is_not() -> None:
    # as they were before a trial had the field
    keys = {"sgd": "b5ab1f7d14ec", "momentum": "363dd2d30936"}

    assert {name: Trial(optimizer=name).key for name in keys} == keys
    assert resolve(Trial(optimizer="momentum", epochs=5, depth=1, width=256)).momentum == 0.9
    assert Trial(optimizer="momentum", momentum=0.9).key == keys["momentum"]
    assert Trial(optimizer="momentum", momentum=0.99).key != keys["momentum"]
    assert Trial(optimizer="momentum", momentum=0.99).cell != Trial(optimizer="momentum").cell
