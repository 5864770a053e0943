"""The CUDA path on a pretended GPU: nothing is left on the CPU, and no step waits."""

import __future__

import dataclasses
import functools
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TOY
from networks import DROPPING
from pretended_gpu import DeviceMix, Watch, pretended_gpu
from torch import Tensor

from benchmark import Trial, schema, train
from benchmark.engine import REGISTRIES
from benchmark.engine.networks import unfolded_convolution
from benchmark.engine.runs.segment import Segment
from benchmark.engine.steps import program
from benchmark.engine.steps.batches import Batches
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.engine.steps.stepping import Stepping
from benchmark.engine.training import Record
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.kernels import VARIABLE, _kernels
from benchmark.strategies.batch_policies import BatchPolicy, Decision, Observation
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


def check_the_waits(some: Callable[[int], list[Trial]], **options: Any) -> int:
    """Four times the steps, and not one wait more than for them, as many as are returned."""
    (short, few), (long, many) = (on_the_gpu(some(times), **options) for times in (1, 4))
    assert (long.trials["steps"] == 4 * short.trials["steps"]).all()
    assert many.launches > 2 * few.launches
    assert many.waits == few.waits
    return few.waits.total()


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


# Between steps the host waits: at a checkpoint, for a disturbed batch or a sample of gradients.

CHECKPOINTS = 4
A_SEGMENT, A_SAMPLE, A_COPY = 5, 1, 1
"""Waits for the steps between two checkpoints that trials of one batch size take (their examples
and rates go to the device, and three series come back), for the gradients that a policy decides on,
and for the numbers of trials that are copied where sizes differ."""


def by_updates(count: int, **chosen: Any) -> Callable[[int], list[Trial]]:
    """Trials of so many times twelve updates, however large their batches become."""
    return lambda times: trials("mlp", count, **chosen, epochs=None, updates=12 * times)


@functools.cache
def plain(count: int) -> int:
    """Waits for trials in which nothing happens between steps."""
    return on_the_gpu(by_updates(count)(1))[1].waits.total()


@pytest.mark.parametrize("name", REGISTRIES["schedule"])
def test_a_schedule_waits_no_more_than_a_constant_rate(name):
    assert check_the_waits(by_updates(3, schedule=name)) == plain(3)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", REGISTRIES["disturbance"])
def test_a_disturbed_batch_waits_once_a_trial(name, count):
    """For its random numbers, each trial's own, which come from the host."""
    disturbance = REGISTRIES["disturbance"][name]
    batches = count * disturbance.updates * disturbance.changes_batch
    assert check_the_waits(by_updates(count, disturbance=name)) == plain(count) + batches


@pytest.mark.parametrize("count", [1, 3])
def test_layers_wait_once_a_measure_and_checkpoint(count):
    found = check_the_waits(by_updates(count), layers=True)
    measures = {*schema.TABLES["layers"]} - {"study", *schema.KEYS["layers"]}
    # the start has no update
    expected = len(measures - {"layer_index", "layer_kind"}) * (CHECKPOINTS + 1) - 1
    assert found == plain(count) + expected


@pytest.mark.parametrize("name", REGISTRIES["batch_policy"])
def test_a_policy_waits_once_a_decision(name):
    decisions = (CHECKPOINTS - 1) * REGISTRIES["batch_policy"][name].samples
    assert check_the_waits(by_updates(1, batch_policy=name)) == plain(1) + A_SAMPLE * decisions


def by_rate(seen: Observation, parameter: float) -> Decision:
    return Decision(8 if seen.learning_rate < 0.15 else 24)


APART = BatchPolicy("apart", None, "-", "a size for each rate", decide=by_rate, samples=True)


@pytest.mark.parametrize(
    ("policy", "times"),
    [("norm_test", 4), (APART, 1), (APART, 4)],
    ids=["norm_test", "few", "many"],
)
def test_trials_of_other_sizes_wait_apart(policy, times, monkeypatch):
    """As often for many steps as for few."""
    called: Counter[str] = Counter()

    def count(owner: type, method: str) -> None:
        real = getattr(owner, method)

        def counted(*arguments: Any) -> Any:
            called[method] += 1
            return real(*arguments)

        monkeypatch.setattr(owner, method, counted)

    count(Segment, "run")
    count(Program, "sample_gradients")
    count(Population, "take")
    expected = plain(1)
    called.clear()
    some = by_updates(3, batch_policy=policy)(times)
    some[0] = dataclasses.replace(some[0], learning_rate=0.2)
    _, watch = on_the_gpu(some)
    assert CHECKPOINTS < called["run"] <= 3 * CHECKPOINTS
    expected += A_SEGMENT * (called["run"] - CHECKPOINTS)
    expected += A_SAMPLE * called["sample_gradients"] + A_COPY * called["take"]
    assert watch.waits.total() == expected


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


# The same in the engine's own lines.


def plant(patch: pytest.MonkeyPatch, owner: type, name: str, old: str, new: str) -> str:
    """Put ``new`` in the place of ``old`` in a method of the engine; gives the file and line."""
    method = getattr(owner, name)
    lines, first = inspect.getsourcelines(method)
    before, found, after = "".join(lines).partition(old)
    assert found, f"{name} has no {old!r}"
    path = Path(inspect.getfile(method))
    # on the lines of its file, by which it is named
    text = "\n" * (first - 1) + textwrap.dedent(before + new + after)
    made: dict[str, Any] = {}
    code = compile(text, str(path), "exec", __future__.annotations.compiler_flag)
    exec(code, method.__globals__, made)
    patch.setattr(owner, name, made[name])
    return f"{path.name}:{first + before.count(chr(10))}"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("owner", "name", "old", "new", "met"),
    [
        (Segment, "_order", "order.to(self.program.device)", "order", "batches"),
        (Segment, "run", "dtype=program.dtype, device=device", "dtype=program.dtype", "program"),
        (
            Program,
            "_evaluate",
            "dtype=self.dtype, device=self.device",
            "dtype=self.dtype",
            "program",
        ),
    ],
)
def test_a_tensor_that_the_engine_leaves_on_the_cpu_is_caught(
    owner, name, old, new, met, count, monkeypatch
):
    """Where it meets one of the device."""
    plant(monkeypatch, owner, name, old, new)
    with pytest.raises(DeviceMix, match=rf"on the device and .* on the CPU, {met}\.py:\d+"):
        check_the_numbers(trials("mlp", count))


def test_a_number_that_the_engine_leaves_on_the_cpu_is_caught(monkeypatch):
    old = "torch.zeros((), dtype=self.dtype, device=self.device)"
    plant(monkeypatch, Program, "_gradient_in_passes", old, "torch.zeros((), dtype=self.dtype)")
    with pytest.raises(AssertionError, match=r"program\.py:\d+  aten\.add"):
        check_the_numbers(trials("mlp", 1, batch_policy="accumulate"))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("owner", "name", "old", "new"),
    [
        (Program, "step", "row_norms(gradient)", "row_norms(gradient if any(loss > 0) else loss)"),
        (Batches, "__call__", "train_labels[index]", "train_labels[index.cpu()]"),
        (Stepping, "step_on", "tuple(measured)", "tuple(each.cpu() for each in measured)"),
    ],
)
def test_a_wait_in_a_step_of_the_engine_is_caught(owner, name, old, new, count, monkeypatch):
    """At its line."""
    line = plant(monkeypatch, owner, name, old, new)
    with pytest.raises(AssertionError, match=re.escape(f"{line}  ")):
        check_the_waits(lambda epochs: trials("mlp", count, epochs=epochs))
