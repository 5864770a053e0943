"""Lion, LAMB, Muon and schedule-free SGD against small implementations of their own."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TOY
from torch import Tensor, nn

from benchmark import Trial, train
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.layout import Layout
from benchmark.strategies.optimizers import OPTIMIZERS, AdaptiveMoments, Optimizer, UpdateContext

LAYOUT = Layout(
    names=("conv", "bias", "head"),
    shapes=((4, 2, 3, 3), (4,), (3, 5)),
    head=frozenset({"head"}),
)
STEPS = 8
Numbers = dict[str, np.ndarray]


def gradients() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randn(STEPS, LAYOUT.size, generator=generator, dtype=torch.float64))


def start() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(LAYOUT.size, generator=generator, dtype=torch.float64)


def rates() -> list[float]:
    return [0.02 / (1 + step) for step in range(STEPS)]


def walk(optimizer: Optimizer, momentum: float = 0.0) -> tuple[Tensor, Any]:
    parameters = start()
    state = optimizer.init(LAYOUT, parameters)
    for gradient, rate in zip(gradients(), rates(), strict=True):
        numbers = (torch.tensor(value, dtype=torch.float64) for value in (rate, momentum))
        context = UpdateContext(parameters, *numbers, LAYOUT)
        direction, state = optimizer.direction(gradient, state, context)
        parameters = parameters - rate * direction
    return parameters, state


def by_name(vector: Tensor) -> Numbers:
    return {name: tensor.numpy() for name, tensor in LAYOUT.split(vector).items()}


def train_alone(step: Callable[[str, Numbers, np.ndarray, np.ndarray, int], np.ndarray]) -> Numbers:
    """Each tensor by itself: ``step(name, memory, w, g, t)`` gives what the rate multiplies."""
    weights = {name: w.copy() for name, w in by_name(start()).items()}
    memory: dict[str, Numbers] = {name: {} for name in weights}
    for t, (gradient, rate) in enumerate(zip(gradients(), rates(), strict=True), start=1):
        for name, g in by_name(gradient).items():
            weights[name] = weights[name] - rate * step(name, memory[name], weights[name], g, t)
    return weights


def assert_same(found: Tensor, expected: Numbers) -> None:
    for name, tensor in by_name(found).items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


def adam(memory: Numbers, g: np.ndarray, t: int, beta2: float, epsilon: float) -> np.ndarray:
    memory["m"] = 0.9 * memory.get("m", 0 * g) + 0.1 * g
    memory["v"] = beta2 * memory.get("v", 0 * g) + (1 - beta2) * g**2
    return (memory["m"] / (1 - 0.9**t)) / (np.sqrt(memory["v"] / (1 - beta2**t)) + epsilon)


def test_lion_follows_the_sign_of_its_momentum() -> None:
    def step(name: str, memory: Numbers, w: np.ndarray, g: np.ndarray, t: int) -> np.ndarray:
        mean = memory.get("m", 0 * g)
        memory["m"] = 0.99 * mean + 0.01 * g
        return np.sign(0.9 * mean + 0.1 * g)

    assert_same(walk(OPTIMIZERS["lion"])[0], train_alone(step))


def test_lamb_brings_a_matrix_update_to_the_norm_of_the_weights() -> None:
    def step(name: str, memory: Numbers, w: np.ndarray, g: np.ndarray, t: int) -> np.ndarray:
        u = adam(memory, g, t, beta2=0.999, epsilon=1e-6)
        if name == "bias":
            return u
        u = u + 0.01 * w
        return u * np.sqrt((w**2).sum() / (u**2).sum())

    assert_same(walk(OPTIMIZERS["lamb"])[0], train_alone(step))


@pytest.mark.parametrize("momentum", [0.0, 0.95])
def test_muon_brings_every_singular_value_to_about_one(momentum: float) -> None:
    def step(name: str, memory: Numbers, w: np.ndarray, g: np.ndarray, t: int) -> np.ndarray:
        if name != "conv":
            return adam(memory, g, t, beta2=0.95, epsilon=1e-8)
        memory["m"] = momentum * memory.get("m", 0 * g) + (1 - momentum) * g
        ahead = (1 - momentum) * g + momentum * memory["m"]
        u, s, v = np.linalg.svd(ahead.reshape(4, 18), full_matrices=False)
        s = s / (np.sqrt((s**2).sum()) + 1e-7)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        assert (s > 0.6).all()
        assert (s < 1.3).all()
        return 0.2 * np.sqrt(18) * (u * s @ v).reshape(g.shape)

    assert_same(walk(OPTIMIZERS["muon"], momentum)[0], train_alone(step))


def test_muon_is_torchs_but_for_the_precision_of_its_products() -> None:
    weight = nn.Parameter(start()[:72].view(4, 18).float())
    theirs = torch.optim.Muon(
        [weight], lr=0.02, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    optimizer, layout = OPTIMIZERS["muon"], Layout(("w",), ((4, 18),))
    ours, weight.grad = weight.detach().flatten(), gradients()[0][:72].view(4, 18).float()
    context = UpdateContext(ours, torch.tensor(0.02), torch.tensor(0.95), layout)
    direction, _ = optimizer.direction(weight.grad.flatten(), optimizer.init(layout, ours), context)
    before = weight.detach().clone()
    theirs.step()

    torch.testing.assert_close(
        -0.02 * direction.view(4, 18), weight.detach() - before, rtol=0.05, atol=3e-4
    )


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_schedule_free_descent_is_three_sequences(momentum: float) -> None:
    z = x = start()
    total = 0.0
    for gradient, rate in zip(gradients(), rates(), strict=True):
        z = z - rate * gradient
        total += rate**2
        share = rate**2 / total
        x = (1 - share) * x + share * z
    optimizer = OPTIMIZERS["schedule_free_sgd"]
    parameters, state = walk(optimizer, momentum)
    assert optimizer.evaluated is not None

    at = (1 - momentum) * z + momentum * x
    torch.testing.assert_close(parameters, at, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(optimizer.evaluated(parameters, state), x, rtol=1e-11, atol=1e-13)


def test_a_rate_of_zero_leaves_schedule_free_descent_where_it_is() -> None:
    optimizer, parameters = OPTIMIZERS["schedule_free_sgd"], start()
    zero, momentum = (torch.tensor(v, dtype=torch.float64) for v in (0.0, 0.9))
    state = optimizer.init(LAYOUT, parameters)
    direction, state = optimizer.direction(
        gradients()[0], state, UpdateContext(parameters, zero, momentum, LAYOUT)
    )

    assert direction.isfinite().all()
    assert not state["offset"].any()
    assert not state["weight"].any()


def test_what_is_evaluated_is_the_average() -> None:
    trial = resolve(
        Trial(
            dataset=TOY,
            optimizer="schedule_free_sgd",
            learning_rate=0.5,
            width=8,
            batch_size=16,
            updates=8,
            precision="float64",
        )
    )
    program = Program(parts_of(trial), trial, torch.device("cpu"))
    population = program.start([trial, trial])
    images = torch.rand(16, 1, 4, 4, dtype=torch.float64)
    labels = torch.arange(16) % 3
    both = images.expand(2, *images.shape), labels.expand(2, -1)
    for _ in range(3):
        population = program.step(population, *both, torch.tensor(1.0))[0]
    moved = population.parameters + population.optimizer["offset"]
    found = program.evaluate(population, images, labels, 16)
    plain = dataclasses.replace(population, parameters=moved)
    plain = dataclasses.replace(plain, optimizer={k: 0 * v for k, v in plain.optimizer.items()})

    assert not torch.equal(moved, population.parameters)
    torch.testing.assert_close(found, program.evaluate(plain, images, labels, 16))


def test_other_betas_make_another_optimizer() -> None:
    slow = dataclasses.replace(
        OPTIMIZERS["adam"], name="adam_slow", direction=AdaptiveMoments(beta1=0.99, beta2=0.9999)
    )
    trials = [Trial(optimizer=o, learning_rate=0.01, width=8, updates=8) for o in ("adam", slow)]
    losses = [train(trial, device="cpu", checkpoints=4).trials["train_loss"][0] for trial in trials]

    theirs = torch.optim.Adam([nn.Parameter(start())], lr=0.02, betas=(0.99, 0.9999))
    (parameter,) = theirs.param_groups[0]["params"]
    for gradient, rate in zip(gradients(), rates(), strict=True):
        theirs.param_groups[0]["lr"], parameter.grad = rate, gradient
        theirs.step()
    torch.testing.assert_close(walk(slow)[0], parameter.detach(), rtol=1e-10, atol=1e-12)
    assert losses[0] != losses[1]
