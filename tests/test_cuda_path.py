"""The CUDA path on a pretended GPU: nothing is left on the CPU, and no step waits."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TOY
from networks import DROPPING
from pretended_gpu import DeviceMix, Watch, pretended_gpu
from torch import Tensor

from benchmark import Trial, train
from benchmark.engine import REGISTRIES
from benchmark.engine.networks import unfolded_convolution
from benchmark.engine.steps import program
from benchmark.engine.steps.program import Program
from benchmark.engine.training import Record
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.kernels import VARIABLE, _kernels
from benchmark.strategies.loss_scaling import LossScaling
from benchmark.strategies.losses import LOSSES, cross_entropy
from benchmark.strategies.optimizers import OPTIMIZERS
from benchmark.strategies.precision import PRECISIONS

CASES = [
    (model, count, field, name)
    for field, registry in REGISTRIES.items()
    for name in registry
    for model, count in (("mlp", 1), ("cnn", 3))
    if field not in ("dataset", "model", "precision")
    # for custom modules, which have a test of their own
    and (field, name) != ("initialization", "own")
    # an MLP has no maps
    and (model, name) != ("mlp", "instance")
]
EVERY_STEP = {"clipping", "normalization", "loss", "optimizer"}
"""Fields whose strategies compute in every step."""


@pytest.fixture(autouse=True)
def _torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # the CPU's compiled convolutions have tests of their own, and take seconds to compile
    monkeypatch.setenv(VARIABLE, "torch")
    _kernels.cache_clear()


def trials(model: Any, count: int, **chosen: Any) -> list[Trial]:
    common: dict[str, Any] = {"dataset": TOY, "model": model, "width": 16, "batch_size": 24}
    common |= {"learning_rate": 0.1, "precision": "float64", "epochs": 3} | chosen
    return [Trial(**common, seed=seed) for seed in range(count)]


def on_the_gpu(some: list[Trial], **options: Any) -> tuple[Record, Watch]:
    with pretended_gpu() as watch:
        return train(some, device="cuda", checkpoints=4, **options), watch


def check_the_numbers(some: list[Trial], rtol: float = 1e-6, **options: Any) -> None:
    """The same rows as on a CPU."""
    found, watch = on_the_gpu(some, **options)
    wanted = train(some, device="cpu", checkpoints=4, **options)
    assert watch.launches > 0
    # lifted, torch itself makes tensors of numbers, which CUDA takes without waiting
    assert len(some) > 1 or not watch.scalars
    assert set(found.trials["device"]) == {"pretended GPU"}
    assert found.trials["status"].tolist() == wanted.trials["status"].tolist()
    assert np.isfinite(wanted.trials["validation_loss"]).all()
    for table in ("trials", "history", "layers"):
        a, b = getattr(found, table), getattr(wanted, table)
        columns = [c for c in a.select_dtypes("number") if c not in ("seconds", "trials_together")]
        numbers = (t[columns].to_numpy(float, na_value=np.nan) for t in (a, b))
        np.testing.assert_allclose(*numbers, rtol=rtol, atol=1e-9, err_msg=table)


def check_the_waits(some: Callable[[int], list[Trial]]) -> None:
    """Four times the steps, and not one wait more."""
    (short, few), (long, many) = (on_the_gpu(some(epochs)) for epochs in (1, 4))
    assert (long.trials["steps"] == 4 * short.trials["steps"]).all()
    assert many.launches > 2 * few.launches
    assert many.waits == few.waits


@pytest.mark.parametrize(("model", "count", "field", "name"), CASES)
def test_every_strategy_gives_the_numbers_of_the_cpu(model, count, field, name):
    check_the_numbers(trials(model, count, **{field: name}), layers=count == 1)


@pytest.fixture
def unfolded(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Inputs of convolutions that are unfolded on the pretended GPU, as on a real one."""
    met: list[Tensor] = []

    def is_meant(x: Tensor) -> bool:
        if x.device.type == "cpu":
            return False
        met.append(x)
        return True

    monkeypatch.setattr(unfolded_convolution, "_is_meant", is_meant)
    return met


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"clipping": "global_norm"},
        {"clipping": "zclip"},
        {"normalization": "batch"},
        {"normalization": "group"},
        {"optimizer": "adam"},
    ],
    ids=str,
)
def test_unfolded_convolutions(unfolded, count, chosen):
    some = trials("cnn", count, **chosen)
    check_the_numbers(some, layers=count == 1)
    assert unfolded
    check_the_waits(lambda epochs: trials("cnn", count, **chosen, epochs=epochs))


@pytest.mark.parametrize("model", sorted(set(REGISTRIES["model"]) - {"mlp", "cnn"}))
def test_every_network(model):
    check_the_numbers(trials(model, 2, width=None, epochs=1))


@pytest.mark.parametrize("normalization", REGISTRIES["normalization"])
def test_layers_of_maps_that_are_normalized(normalization):
    check_the_numbers(trials("cnn", 1, normalization=normalization), layers=True)


@pytest.mark.parametrize(
    ("model", "count", "normalization"),
    [("mlp", 1, "batch"), ("cnn", 3, "none")],
)
def test_sharpness(model, count, normalization, monkeypatch):
    monkeypatch.setattr(program, "POWER_ITERATIONS", 3)
    check_the_numbers(
        trials(model, count, normalization=normalization, epochs=1, width=8), sharpness=True
    )


@pytest.mark.parametrize("name", REGISTRIES["precision"])
@pytest.mark.parametrize("count", [1, 3])
def test_every_precision_stays_on_the_device(name, count):
    record, watch = on_the_gpu(trials("cnn", count, precision=name))
    assert record.trials["train_loss"].notna().all()
    assert not watch.scalars


SCALED = dataclasses.replace(
    PRECISIONS["float32"],
    name="scaled",
    loss_scaling=LossScaling(2.0**127, backoff=0.5, growth=2.0, growth_interval=3),
)
STRONG = dataclasses.replace(
    LOSSES["cross_entropy"],
    name="strong",
    value=lambda logits, labels: 64 * cross_entropy(logits, labels),
)
"""A loss whose scaled gradient overflows now and then, in single precision, too."""


@pytest.mark.parametrize("count", [1, 3])
def test_steps_that_overflow_are_skipped_on_the_device(count):
    chosen = {"precision": SCALED, "loss": STRONG, "clipping": "zclip", "optimizer": "adam"}
    some = trials("mlp", count, **chosen, learning_rate=0.001)
    check_the_numbers(some, rtol=1e-3)
    assert train(some, device="cpu").trials["skipped_fraction"].between(0.1, 0.9).all()
    check_the_waits(lambda epochs: trials("mlp", count, **chosen, epochs=epochs))


@pytest.mark.parametrize(
    ("model", "count", "field", "name"), [case for case in CASES if case[2] in EVERY_STEP]
)
def test_steps_do_not_wait(model, count, field, name):
    check_the_waits(lambda epochs: trials(model, count, **{field: name}, epochs=epochs))


def test_what_is_by_hand_on_a_cpu_is_by_autograd_on_a_gpu():
    trial = resolve(trials("mlp", 1)[0])
    with pretended_gpu():
        there = Program(parts_of(trial), trial, torch.device("cuda", 0))
    here = Program(parts_of(trial), trial, torch.device("cpu"))
    assert there.chain is None
    assert here.chain is not None
    assert there.change_at_once is not None


@pytest.mark.parametrize("count", [1, 2])
def test_a_network_that_cannot_be_lifted(count):
    some = trials(count=count, **DROPPING)
    record, watch = on_the_gpu(some)
    assert record.trials["train_loss"].notna().all()
    assert not watch.scalars


@pytest.mark.parametrize("network", [{"model": "mlp"}, DROPPING], ids=["mlp", "custom"])
def test_the_generators_of_the_user_stay_as_they_are(network):
    some = trials(count=2, **network)
    with pretended_gpu() as watch:
        generators = watch.generator, watch.other
        before = [generator.get_state() for generator in generators], torch.get_rng_state()
        train(some, device="cuda", checkpoints=4)
        assert all(map(torch.equal, (g.get_state() for g in generators), before[0]))
    assert torch.equal(torch.get_rng_state(), before[1])


# What the checks above have to catch, planted on purpose.


def reads_a_number(direction: Tensor, memory: Any, context: Any) -> Any:
    return direction * min(1.0, 1.0 / direction.norm().item()), memory


def asks_the_host_for_a_mean(direction: Tensor, memory: Any, context: Any) -> Any:
    return direction - direction.cpu().mean().to(direction.device), memory


def waits_for_all(direction: Tensor, memory: Any, context: Any) -> Any:
    torch.cuda.synchronize()
    return direction, memory


def masks_by_a_condition(direction: Tensor, memory: Any, context: Any) -> Any:
    return torch.zeros_like(direction).masked_scatter_(
        direction != 0, direction[direction != 0]
    ), memory


def leaves_a_tensor_behind(direction: Tensor, memory: Any, context: Any) -> Any:
    return direction + torch.zeros(len(direction), dtype=direction.dtype), memory


def planted(direction: Callable[..., Any]) -> dict[str, Any]:
    optimizer = dataclasses.replace(OPTIMIZERS["sgd"], name="planted", direction=direction)
    # lifted, so that the optimizer meets one trial
    return {"optimizer": dataclasses.replace(optimizer, elementwise=False)}


@pytest.mark.parametrize(
    "bug", [reads_a_number, asks_the_host_for_a_mean, waits_for_all, masks_by_a_condition]
)
def test_a_planted_wait_is_caught(bug):
    # what a strategy does is done where its first result is checked
    with pytest.raises(AssertionError, match=r"returned\.py:\d+  "):
        check_the_waits(lambda epochs: trials("mlp", 1, epochs=epochs, **planted(bug)))


@pytest.mark.parametrize("count", [1, 3])
def test_a_planted_tensor_on_the_cpu_is_caught(count):
    with pytest.raises(DeviceMix, match=r"on the device and \[\(\d+,\)\] on the CPU"):
        check_the_numbers(trials("mlp", count, **planted(leaves_a_tensor_behind)))


def test_a_planted_number_of_the_host_is_caught():
    def scaled(direction: Tensor, memory: Any, context: Any) -> Any:
        return direction * torch.tensor(1.0, dtype=direction.dtype), memory

    with pytest.raises(AssertionError, match="scalars"):
        check_the_numbers(trials("mlp", 1, **planted(scaled)))
