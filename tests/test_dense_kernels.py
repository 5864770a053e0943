"""Kernels of plain chains: autograd's numbers, NaN where torch has it, no bit from neighbours."""

import dataclasses
import importlib.util
import itertools
import math
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import Trial
from benchmark.data import Dataset
from benchmark.engine import train
from benchmark.engine.networks.plain_chain import PlainChain
from benchmark.engine.networks.products import multiply
from benchmark.engine.steps.batches import Batches
from benchmark.engine.steps.dense_steps import DenseSteps
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.engine.steps.stepping import Stepping
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.kernels import VARIABLE
from benchmark.layout import Layout
from benchmark.strategies.losses import LOSSES

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="numba is not installed"
)
CPU = torch.device("cpu")
SIZES = {
    # features of the inputs and of each layer's outputs, and examples
    "awkward": ((3, 17, 5), 19),
    "one of each": ((1, 1, 1), 1),
    "one map": ((17, 3), 33),
    "whole vectors": ((32, 16, 16), 32),
    "deep": ((7, 9, 31, 10, 4), 3),
    "wide": ((65, 33, 2), 130),
}
NAN, INF = math.nan, math.inf


def in_a_thread(compiling: Callable[..., None]) -> Callable[..., None]:
    # imports numba, without which this module is skipped
    from benchmark.engine.kernels import compiling as module

    return module.in_a_thread(compiling)


class Interrupted(Exception):
    """Out of a signal's handler, as a KeyboardInterrupt is."""


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    def interrupt(*_: Any) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interruption_does_not_reach_what_compiles() -> None:
    calls: list[tuple[str, bool]] = []
    may_end = threading.Event()

    def compiling(kind: str) -> None:
        calls.append((kind, threading.current_thread() is threading.main_thread()))
        may_end.wait(60)

    ready = in_a_thread(compiling)
    with pytest.raises(Interrupted), interrupted_after(0.05):
        ready("steps")
    may_end.set()
    ready("steps")
    ready("steps")
    ready("others")
    assert calls == [("steps", False), ("others", False)]


def test_a_kernel_whose_compiling_was_interrupted_is_there_afterwards() -> None:
    from numba import njit

    found: list[float] = []
    kernel = njit(lambda x: x * x + 1.0)
    may_go_on = threading.Event()

    def compiling() -> None:
        may_go_on.wait(60)
        found.append(kernel(3.0))

    ready = in_a_thread(compiling)
    with pytest.raises(Interrupted), interrupted_after(0.03):
        ready()
    may_go_on.set()
    ready()
    assert (found[-1], kernel(3.0), len(kernel.signatures)) == (10.0, 10.0, 1)


def test_what_failed_to_compile_is_told_and_tried_again() -> None:
    calls: list[str] = []

    def compiling() -> None:
        calls.append("once")
        if len(calls) == 1:
            raise RuntimeError("no space left")

    ready = in_a_thread(compiling)
    with pytest.raises(RuntimeError, match="no space left"):
        ready()
    ready()
    ready()
    assert len(calls) == 2


def network(sizes: tuple[int, ...], bias: bool = True) -> nn.Sequential:
    pairs = itertools.pairwise(sizes)
    layers = [layer for i, o in pairs for layer in (nn.Linear(i, o, bias=bias), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def chain_of(model: nn.Sequential, dtype: torch.dtype) -> PlainChain:
    layers = [(f"{name}.", module) for name, module in model.named_children()][1:]
    found = PlainChain.of(layers, Layout.of(model), LOSSES["cross_entropy"], dtype)
    assert found is not None
    return found


def drawn(
    sizes: tuple[int, ...], examples: int, trials: int, dtype: torch.dtype, bias: bool = True
) -> tuple[nn.Sequential, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    model = network(sizes, bias)
    count = sum(p.numel() for p in model.parameters())
    parameters = torch.randn(trials, count, generator=generator, dtype=torch.float64)
    images = torch.randn(trials, examples, 1, 1, sizes[0], generator=generator, dtype=torch.float64)
    labels = torch.randint(sizes[-1], (trials, examples), generator=generator)
    return model, parameters.to(dtype), images.to(dtype), labels


def by_autograd(
    model: nn.Sequential, parameters: Tensor, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, mean losses and gradients, one network after another."""
    layout, found = Layout.of(model), []
    for own, x, y in zip(parameters, images, labels, strict=True):
        leaf = own.detach().requires_grad_()
        logits = torch.func.functional_call(model, layout.split(leaf), (x,))
        loss = F.cross_entropy(logits, y)
        found.append((logits.detach(), loss.detach(), torch.autograd.grad(loss, leaf)[0]))
    logits, losses, gradients = (torch.stack(each) for each in zip(*found, strict=True))
    return logits, losses, gradients


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize("case", SIZES)
def test_passes_are_those_of_autograd(case: str, trials: int, bias: bool) -> None:
    given = drawn(*SIZES[case], trials, torch.float64, bias)
    model, parameters, images, labels = given
    chain = chain_of(model, torch.float64)
    logits, losses, gradients = by_autograd(*given)

    found = [chain.logits(parameters, images), *chain.gradient(parameters, images, labels)]

    torch.testing.assert_close(found, [logits, losses, gradients], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("case", SIZES)
def test_single_precision_is_as_near_as_torchs(case: str) -> None:
    model, parameters, images, labels = drawn(*SIZES[case], 2, torch.float32)
    wanted = by_autograd(model.double(), *(t.double() for t in (parameters, images)), labels)
    chain = chain_of(model, torch.float32)

    found = [chain.logits(parameters, images), *chain.gradient(parameters, images, labels)]

    torch.testing.assert_close([t.double() for t in found], list(wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", SIZES)
def test_an_evaluation_sums_over_all_examples(case: str) -> None:
    (sizes, examples), trials = SIZES[case], 3
    model, parameters, _, _ = drawn(sizes, examples, trials, torch.float64)
    # more than are turned at once
    _, _, images, labels = drawn(sizes, 1000 + 3 * examples, 1, torch.float64)
    every = images.expand(trials, *images.shape[1:]), labels.expand(trials, -1)
    logits, losses, _ = by_autograd(model, parameters, *every)

    found = chain_of(model, torch.float64).evaluate(parameters, images[0], labels[0])

    accuracy = (logits.argmax(dim=2) == labels).double().mean(dim=1)
    torch.testing.assert_close(found, (losses, accuracy), rtol=1e-10, atol=0)


def test_arguments_may_lie_anywhere_in_memory() -> None:
    given = drawn(*SIZES["awkward"], 3, torch.float64)
    model, parameters, images, labels = given
    chain = chain_of(model, torch.float64)
    spread = [torch.stack([t, t], dim=-1)[..., 0] for t in (parameters, images, labels)]
    assert not any(t.is_contiguous() for t in spread)

    found = chain.gradient(*spread)

    torch.testing.assert_close(found, chain.gradient(*given[1:]), rtol=0, atol=0)


def laid_out(shape: tuple[int, ...], order: tuple[int, ...], margin: int) -> Tensor:
    """Numbers (K, rows, columns) whose axes lie in this order, ``margin`` more after each row."""
    generator = torch.Generator().manual_seed(sum(shape))
    whole = [shape[axis] for axis in order]
    whole[2] += margin
    found = torch.randn(whole, generator=generator, dtype=torch.float64)[..., : shape[order[2]]]
    return found.permute(*(order.index(axis) for axis in range(3)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("margin", [0, 3])
@pytest.mark.parametrize("b", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
@pytest.mark.parametrize("a", [(0, 1, 2), (0, 2, 1)])
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (3, 17, 3, 33), (2, 8, 16, 5)])
def test_a_product_is_the_product_wherever_it_lies(
    size: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...], margin: int, bias: bool
) -> None:
    trials, rows, inner, columns = size
    left = laid_out((trials, rows, inner), a, margin)
    right = laid_out((trials, inner, columns), b, margin)
    more = laid_out((trials, rows, 1), (0, 1, 2), margin)[:, :, 0] if bias else None
    out = torch.full((trials, rows, columns + margin), 7.0, dtype=torch.float64)

    found = multiply(left, right, out[..., :columns], more)

    wanted = torch.einsum("kmn,knp->kmp", left, right)
    wanted = wanted if more is None else wanted + more.unsqueeze(2)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    assert found.data_ptr() == out.data_ptr()
    assert torch.all(out[..., columns:] == 7)


BROKEN = {
    "a weight": (0, 4, None),
    "an infinite weight beside a zero": (0, 4, 0.0),
    "a bias": (0, 51, None),
    "a weight of the last layer": (0, 70, None),
}


@pytest.mark.parametrize("value", [NAN, INF, -INF, 3e38])
@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_finite_spreads_as_in_torch(case: str, value: float) -> None:
    given = drawn(*SIZES["awkward"], 2, torch.float32)
    model, parameters, images, labels = given
    trial, place, pixel = BROKEN[case]
    parameters[trial, place] = value
    if pixel is not None:
        images[trial, ::2] = pixel
    chain = chain_of(model, torch.float32)
    logits, losses, gradients = by_autograd(*given)

    found = [chain.logits(parameters, images), *chain.gradient(parameters, images, labels)]

    for ours, torchs in zip(found, (logits, losses, gradients), strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-3, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0, -0.0])
def test_the_gradient_of_relu_is_torchs(value: float) -> None:
    model = network((1, 1, 2))
    parameters = torch.tensor([[1.0, 0.0, 0.5, -0.5, 0.0, 0.0]])
    images, labels = torch.full((1, 1, 1, 1, 1), value), torch.zeros(1, 1, dtype=torch.long)

    found = chain_of(model, torch.float32).gradient(parameters, images, labels)

    wanted = by_autograd(model, parameters, images, labels)[1:]
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0, equal_nan=True)


TIES = (NAN, 1.0, NAN), (1.0, NAN, 2.0), (INF, 1.0, INF), (2.0, 2.0, 1.0)


@pytest.mark.parametrize("logits", TIES)
def test_the_class_that_is_predicted_is_torchs(logits: tuple[float, ...]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 3))
    parameters = torch.tensor([[0.0, 0.0, 0.0, *logits]])
    images, predicted = torch.zeros(3, 1, 1, 1), int(torch.tensor(logits).max(dim=0).indices)

    found = chain_of(model, torch.float32).evaluate(parameters, images, torch.arange(3))

    assert found is not None
    assert found[1].item() == pytest.approx(1 / 3)
    alone = chain_of(model, torch.float32).evaluate(
        parameters, images[:1], torch.tensor([predicted])
    )
    assert alone is not None
    assert alone[1].item() == 1


def test_a_label_that_is_no_class_is_refused() -> None:
    model, parameters, images, labels = drawn(*SIZES["awkward"], 1, torch.float64)

    with pytest.raises(IndexError, match="no class"):
        chain_of(model, torch.float64).gradient(parameters, images, labels + 5)


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_squares_that_do_not_fit_are_added_in_double_precision(toy: Dataset, scale: float) -> None:
    program, trial = program_of(toy, precision="float32", model=custom(toy))
    population = started(program, trial, 1)
    # a gradient of this size, from a linear map of inputs of this size
    batches = Batches(scaled(toy, scale), torch.float32)
    index = torch.arange(33).view(1, 1, 33)

    taken = taken_by(DenseSteps.of(program, batches, population), index, 0.0)
    wanted = taken_by(Stepping(program, batches, population), index, 0.0)

    torch.testing.assert_close(taken[1][1], wanted[1][1], rtol=1e-5, atol=0)


def custom(toy: Dataset) -> Any:
    from benchmark.models import module_model

    def build(image_shape: Any, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(16, classes))

    return module_model("a_map", build)


def scaled(toy: Dataset, scale: float) -> Any:
    splits = toy.load()
    return dataclasses.replace(splits, train_images=splits.train_images * scale, mean=0.0, std=1.0)


def program_of(toy: Dataset, **more: Any) -> tuple[Program, Trial]:
    trial = resolve(Trial(dataset=toy, **{"precision": "float64", **more}))
    return Program(parts_of(trial), trial, CPU), trial


def started(program: Program, trial: Trial, trials: int) -> Population:
    rates = [0.3, 0.05, 0.1]
    return program.start(
        [dataclasses.replace(trial, seed=i, learning_rate=rates[i]) for i in range(trials)]
    )


def taken_by(
    stepping: Stepping | None, order: Tensor, rate: float = 1.0
) -> tuple[Population, tuple[Tensor, ...]]:
    """After steps on examples (steps, K, B)."""
    assert stepping is not None
    dtype = stepping.population.parameters.dtype
    for i, index in enumerate(order):
        factor = torch.full((order.shape[1],), rate / (1 + i), dtype=dtype)
        stepping.step(index, factor)
    return stepping.end()


def order_of(trials: int, steps: int = 4, size: int = 33) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(96, (steps, trials, size), generator=generator)


MOVES = [
    *({"optimizer": name} for name in ("sgd", "momentum", "nesterov")),
    *({"optimizer": n, "clipping": "global_norm"} for n in ("sgd", "momentum", "nesterov")),
    {"clipping": "global_norm", "clipping_threshold": 0.01},
    {"model": "mlp_deep", "depth": 4, "width": 8},
]


@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize("arm", MOVES, ids=lambda arm: "-".join(map(str, arm.values())))
def test_steps_by_one_kernel_are_those_one_by_one(
    toy: Dataset, arm: dict[str, Any], trials: int
) -> None:
    program, trial = program_of(toy, **arm)
    population, order = started(program, trial, trials), order_of(trials)
    before = population.parameters.clone()
    batches = Batches(toy.load(), torch.float64)

    found = taken_by(DenseSteps.of(program, batches, population), order)
    program.change_at_once = None
    wanted = taken_by(Stepping(program, batches, population), order)

    assert torch.equal(population.parameters, before)
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-10, atol=0)
    for name in ("parameters", "optimizer"):
        ours, theirs = (getattr(p, name) for p in (found[0], wanted[0]))
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def watched(
    stepping: Stepping | None, order: Tensor, apart: int | None = None
) -> tuple[Population, list[Tensor]]:
    """After steps on examples (steps, K, B): losses, norms, a sample before the third, the last.

    ``apart`` is taken by itself.
    """
    assert stepping is not None
    for i, index in enumerate(order):
        factor = torch.ones(order.shape[1], dtype=stepping.program.dtype)
        if i == 2:
            sample = stepping.sample(index[:, :22])
        if i == len(order) - 1:
            stepping.last(keep=False)
        if i == apart:
            stepping.step_on(*stepping.get_batch(index), factor)
        else:
            stepping.step(index, factor)
    population, series = stepping.end()
    moved = stepping.moved()
    assert sample[:2] == (5, 20)
    return population, [*(t.T for t in series), sample[2].T, moved.norm, moved.ratio]


@pytest.mark.parametrize("apart", [None, 1, 2, 3])
def test_what_is_measured_on_the_way_is_what_is_measured_by_itself(
    toy: Dataset, apart: int | None
) -> None:
    program, trial = program_of(toy, optimizer="momentum")
    population, order = started(program, trial, 3), order_of(3)
    batches = Batches(toy.load(), torch.float64)

    found, measured = watched(DenseSteps.of(program, batches, population), order, apart)
    wanted, by_itself = watched(Stepping(program, batches, population), order)

    torch.testing.assert_close(measured, by_itself, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.parameters, wanted.parameters, rtol=1e-10, atol=1e-13)


def test_trials_do_not_see_how_many_take_their_steps_beside_them(toy: Dataset) -> None:
    program, trial = program_of(toy, precision="float32")
    population, order = started(program, trial, 3), order_of(3)
    batches = Batches(toy.load(), torch.float32)

    together = watched(DenseSteps.of(program, batches, population), order)
    alone = watched(DenseSteps.of(program, batches, population.take([1])), order[:, 1:2])

    assert torch.equal(together[0].parameters[1:2], alone[0].parameters)
    assert all(torch.equal(a[1:2], b) for a, b in zip(together[1], alone[1], strict=True))


SCATTERS = {"by pairs of examples": (40, 90, 5), "by weights": (3, 17, 5)}


@pytest.mark.parametrize("scale", [1.0, 1e25, 1e-25, NAN])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", SCATTERS)
def test_gradients_scatter_as_those_of_autograd(case: str, bias: bool, scale: float) -> None:
    model, parameters, images, labels = drawn(SCATTERS[case], 22, 2, torch.float32, bias)
    images, size = scale * images, 5
    pieces = [
        by_autograd(model.double(), parameters.double(), images[:, p].double(), labels[:, p])
        for p in (slice(first, first + size) for first in range(0, 20, size))
    ]
    gradients = torch.stack([gradient for *_, gradient in pieces])
    losses = torch.stack([loss for _, loss, _ in pieces])

    found = chain_of(model.float(), torch.float32).scatter(parameters, images, labels, 4)

    small, big = gradients.square().sum(2).mean(0), gradients.mean(0).square().sum(1)
    wanted = torch.stack([small, big, losses.mean(0)])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=0, equal_nan=True)


def test_what_is_asked_between_steps_changes_none(toy: Dataset) -> None:
    program, trial = program_of(toy, precision="float32")
    population, order = started(program, trial, 2), order_of(2)
    batches = Batches(toy.load(), torch.float32)
    wanted = taken_by(DenseSteps.of(program, batches, population), order)

    stepping = DenseSteps.of(program, batches, population)
    assert stepping is not None
    for i, index in enumerate(order):
        before = stepping.parameters()
        kept = before.clone()
        stepping.step(index, torch.full((2,), 1 / (1 + i)))
        assert not torch.equal(stepping.population.parameters, before)
        assert torch.equal(before, kept)
    found = stepping.end()

    assert torch.equal(found[0].parameters, wanted[0].parameters)
    assert all(torch.equal(a, b) for a, b in zip(found[1], wanted[1], strict=True))


OTHERS = [
    *({"clipping": "value"}, {"optimizer": "adam"}, {"loss": "squared_error"}),
    *({"normalization": "batch"}, {"model": "mlp_tanh"}, {"precision": "bfloat16"}),
    {"batch_policy": "accumulate"},
]


@pytest.mark.parametrize("arm", OTHERS, ids=lambda arm: "-".join(map(str, arm.values())))
def test_other_strategies_take_their_steps_one_by_one(toy: Dataset, arm: dict[str, Any]) -> None:
    program, trial = program_of(toy, **arm)
    batches = Batches(toy.load(), program.dtype)

    assert DenseSteps.of(program, batches, started(program, trial, 1)) is None


ALIKE = [
    {},
    {"clipping": "global_norm", "optimizer": "momentum"},
    {"optimizer": "adam"},
    {"disturbance": "bad_batch"},
    {"disturbance": "rate_bump"},
    {"batch_policy": "noise_scale"},
    {"model": "mlp_deep", "depth": 4, "width": 8},
    {"loss": "squared_error"},
]


@pytest.mark.parametrize("arm", ALIKE, ids=lambda arm: "-".join(map(str, arm.values())))
def test_trials_are_those_without_kernels(
    toy: Dataset, arm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [
        Trial(dataset=toy, precision="float64", epochs=4, batch_size=8, seed=i, **arm)
        for i in range(2)
    ]
    found = train(trials, device="cpu", checkpoints=4, layers=True, steps=True)
    monkeypatch.setenv(VARIABLE, "torch")
    wanted = train(trials, device="cpu", checkpoints=4, layers=True, steps=True)

    for table in ("trials", "history", "layers", "steps"):
        ours, theirs = (
            getattr(record, table).drop(columns="seconds", errors="ignore")
            for record in (found, wanted)
        )
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6, atol=1e-9)


def test_torchs_kernels_are_left_alone_where_asked_for(
    toy: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program_of(toy)[0].chain.plain is not None  # type: ignore[union-attr]
    monkeypatch.setenv(VARIABLE, "torch")
    assert program_of(toy)[0].chain.plain is None  # type: ignore[union-attr]


SCRIPT = """
import torch
from benchmark import Trial
from benchmark.engine import train
torch.set_num_threads(1)
record = train(Trial(dataset="digits", epochs=0.5, seed=3), device="cpu", checkpoints=4)
print(record.history[["train_loss", "gradient_norm_max"]].to_json(double_precision=15))
"""


def test_another_process_finds_the_same_bits() -> None:
    ran = [
        subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]

    assert ran[0].stdout == ran[1].stdout
    assert "train_loss" in ran[0].stdout
