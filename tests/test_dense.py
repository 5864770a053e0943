"""Chains by hand: equal to autograd, fallback where they do not apply, nothing shared or leaked."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark import Trial
from benchmark.data import Dataset
from benchmark.engine.networks import dense, products
from benchmark.engine.networks.dense import DenseChain
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.engine.steps.updates import at_once
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.kernels import VARIABLE
from benchmark.layout import Layout
from benchmark.models import module_model
from benchmark.strategies.batch_policies import BATCH_POLICIES
from benchmark.strategies.clipping import CLIPPINGS
from benchmark.strategies.losses import LOSSES
from benchmark.strategies.normalization import NORMALIZATIONS
from benchmark.strategies.optimizers import OPTIMIZERS
from benchmark.strategies.precision import PRECISIONS

CPU = torch.device("cpu")
STEPS, BATCH = 3, 33


def programs(toy: Dataset, **more: Any) -> tuple[Program, Program, Trial]:
    """By hand and with nothing lifted; and by autograd, with strategies lifted."""
    trial = resolve(Trial(dataset=toy, **{"precision": "float64", **more}))
    by_hand, by_autograd = (Program(parts_of(trial), trial, CPU) for _ in range(2))
    by_autograd.chain = by_autograd.change_at_once = None
    return by_hand, by_autograd, trial


def batches(trials: int, count: int = STEPS, size: int = BATCH) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, trials, size, 1, 4, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (count, trials, size), generator=generator)
    return list(zip(images, labels, strict=True))


def start(program: Program, trial: Trial, trials: int) -> Population:
    rates = [0.3, 0.05, 0.1]
    return program.start(
        [dataclasses.replace(trial, seed=i, learning_rate=rates[i]) for i in range(trials)]
    )


def trained(program: Program, trial: Trial, trials: int) -> list[Tensor]:
    """Everything that a few steps give, and an evaluation after them."""
    population, seen = start(program, trial, trials), []
    for images, labels in batches(trials):
        population, *measured = program.step(population, images, labels, torch.tensor(1.0))
        seen += measured
    images, labels = (t[0] for t in batches(trials, 1)[0])
    found = [*seen, *program.evaluate(population, images, labels, 20)]
    states = (population.buffers, population.optimizer, population.clipping)
    return [*found, population.parameters, *(t for state in states for t in state.values())]


ARMS = [
    *({"clipping": name} for name in CLIPPINGS),
    *({"optimizer": name} for name in OPTIMIZERS),
    *({"normalization": name} for name in NORMALIZATIONS if name != "instance"),
    *({"loss": name} for name in LOSSES),
    *({"batch_policy": name} for name in BATCH_POLICIES),
    *({"clipping": "global_norm", "optimizer": name} for name in OPTIMIZERS),
    {"batch_policy": "accumulate", "normalization": "batch"},
    {"model": "mlp_deep", "depth": 4, "width": 8},
    {"model": "mlp_deep", "depth": 3, "width": 8, "normalization": "batch"},
]


@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: "-".join(map(str, arm.values())))
def test_a_chain_by_hand_equals_autograd(toy: Dataset, arm: dict[str, Any], trials: int) -> None:
    by_hand, by_autograd, trial = programs(toy, **arm)
    assert by_hand.chain is not None
    found, expected = (trained(program, trial, trials) for program in (by_hand, by_autograd))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize(
    "arm", [{}, {"loss": "squared_error"}, {"normalization": "batch"}], ids=str
)
def test_a_chain_by_torchs_products_equals_autograd(
    toy: Dataset, arm: dict[str, Any], trials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "torch")
    by_hand, by_autograd, trial = programs(toy, **arm)
    assert by_hand.chain is not None
    assert by_hand.chain.plain is None
    found, expected = (trained(program, trial, trials) for program in (by_hand, by_autograd))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_gradient_samples_by_hand_equal_autograd(toy: Dataset, normalization: str) -> None:
    by_hand, by_autograd, trial = programs(toy, normalization=normalization)
    population = start(by_hand, trial, 2)
    images, labels = batches(2, 1)[0]
    found, expected = (
        program.sample_gradients(population, images, labels) for program in (by_hand, by_autograd)
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


def frozen() -> nn.Linear:
    return nn.Linear(16, 3).requires_grad_(False)


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def hooked() -> nn.Linear:
    layer = nn.Linear(16, 3)
    layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    return layer


class Leading(nn.Module):
    """No chain, whatever it does."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x.flatten(1))


def shared() -> list[nn.Module]:
    layer = nn.Linear(16, 16)
    return [layer, nn.ReLU(), layer, nn.Linear(16, 3)]


CHAINS = {
    "activations": lambda: [
        *(nn.Linear(16, 8, bias=False), nn.Tanh(), nn.Linear(8, 8), nn.Sigmoid(), nn.ReLU()),
        *(nn.Linear(8, 8), nn.GELU(), nn.Sequential(nn.ReLU(), nn.Linear(8, 3))),
    ],
    "activation first": lambda: [nn.ReLU(), nn.Linear(16, 3)],
    "normalized first": lambda: [nn.BatchNorm1d(16), nn.Linear(16, 3)],
    "normalized last": lambda: [nn.Linear(16, 3), nn.LayerNorm(3)],
    "without scales": lambda: [nn.Linear(16, 8), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 3)],
    "an identity": lambda: [nn.Identity(), nn.Linear(16, 3)],
}


@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
def test_a_custom_chain_by_hand_equals_autograd(toy: Dataset, layers: Any, trials: int) -> None:
    def build(image_shape: Any, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), *layers())

    model = module_model("chain", build)
    by_hand, by_autograd, trial = programs(toy, model=model)
    assert by_hand.chain is not None
    found, expected = (trained(program, trial, trials) for program in (by_hand, by_autograd))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


OTHERS = {
    "frozen": lambda: nn.Sequential(nn.Flatten(), frozen(), nn.Linear(3, 3)),
    "frozen bias": lambda: nn.Sequential(nn.Flatten(), half_frozen()),
    "shared": lambda: nn.Sequential(nn.Flatten(), *shared()),
    "hooked": lambda: nn.Sequential(nn.Flatten(), hooked()),
    "a subclass": lambda: nn.Sequential(nn.Flatten(), Doubled(16, 3)),
    "a custom module": Leading,
    "a custom layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Softplus()),
    "a convolution": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)),
    "not flattened": lambda: nn.Sequential(nn.Linear(4, 3)),
    "flattened otherwise": lambda: nn.Sequential(nn.Flatten(2), nn.Linear(16, 3)),
    "nothing to train": lambda: nn.Sequential(nn.Flatten()),
    "empty": nn.Sequential,
}


def half_frozen() -> nn.Linear:
    layer = nn.Linear(16, 3)
    layer.bias.requires_grad_(False)
    return layer


def chain_of(model: nn.Module, **more: Any) -> DenseChain | None:
    arguments = {"precision": PRECISIONS["float32"], "device": CPU, **more}
    return DenseChain.of(model, Layout.of(model), LOSSES["cross_entropy"], **arguments)


@pytest.mark.parametrize("build", OTHERS.values(), ids=OTHERS)
def test_other_networks_are_left_to_autograd(build: Any) -> None:
    assert chain_of(build()) is None


@pytest.mark.parametrize(
    "more", [{"precision": PRECISIONS["bfloat16"]}, {"device": torch.device("cuda")}]
)
def test_half_precision_and_other_devices_are_left_to_autograd(more: dict[str, Any]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    assert chain_of(model) is not None
    assert chain_of(model, **more) is None


@pytest.mark.parametrize("value", [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 2.0])
def test_the_gradient_of_relu_is_torchs(value: float) -> None:
    x = torch.full((1, 1, 1), value, requires_grad=True)
    (expected,) = torch.autograd.grad(torch.relu(x), x, torch.full_like(x, 3.0))
    layer = dense.ReLU(in_place=False)
    layer.forward({}, x.detach(), training=True)
    found = layer.backward({}, torch.full((1, 1, 1), 3.0), {}, further=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_trial_changes_no_bit_of_its_neighbours(
    toy: Dataset, value: float, normalization: str
) -> None:
    program, _, trial = programs(toy, normalization=normalization, precision="float32")
    images, labels = batches(3, 1)[0]
    images = images.float()
    whole = start(program, trial, 3)
    _, expected = program._gradient(whole, images, labels)
    broken = start(program, trial, 3)
    broken.parameters[1] = value
    _, found = program._gradient(broken, images, labels)
    assert not found[1].isfinite().all()
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=0, atol=0)


def test_the_same_pass_again_gives_the_same_bits_and_leaves_results_alone(toy: Dataset) -> None:
    program, _, trial = programs(toy, precision="float32")
    (images, labels), (others, _) = batches(3, 2)
    population = start(program, trial, 3)
    loss, gradient = program._gradient(population, images.float(), labels)
    kept = loss.clone(), gradient.clone()
    program._gradient(population, others.float(), labels)
    torch.testing.assert_close((loss, gradient), kept, rtol=0, atol=0)
    again = program._gradient(population, images.float(), labels)
    torch.testing.assert_close(again, kept, rtol=0, atol=0)


def test_memory_is_kept_for_few_shapes() -> None:
    kept, like = dense.Kept(), torch.zeros(())
    first = kept.of((1,), like)
    assert kept.of((1,), like) is first
    others = [kept.of((size,), like) for size in range(2, 2 + dense.KEPT_SHAPES)]
    assert kept.of((1,), like) is not first
    assert kept.of((3,), like) is others[1]


@pytest.mark.parametrize("bias", [None, "bias"])
@pytest.mark.parametrize("onednn", [False, True])
def test_products_of_either_library_are_the_product(
    monkeypatch: pytest.MonkeyPatch, onednn: bool, bias: str | None
) -> None:
    if onednn and not products.onednn_is_there():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setenv(VARIABLE, "torch")
    monkeypatch.setattr(products, "onednn_is_faster", lambda: onednn)
    monkeypatch.setattr(products, "LEAST_OPERATIONS", 1)
    generator = torch.Generator().manual_seed(0)
    a, b, c = (torch.randn(s, generator=generator) for s in ((2, 5, 7), (2, 6, 7), (2, 5)))
    # a piece of a larger vector, as a layer's gradient is
    out = torch.zeros(2, 40)[:, 3:33].view(2, 5, 6)
    found = products.multiply(a, b.mT, out, c if bias else None)
    expected = a.double() @ b.double().mT + (c.unsqueeze(2) if bias else 0.0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert found.data_ptr() == out.data_ptr()


def test_the_library_follows_the_shape_of_a_product_not_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not products.onednn_is_there():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setenv(VARIABLE, "torch")
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "LEAST_OPERATIONS", 32**3)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, 32, 32, generator=generator) for _ in range(2))
    together = products.multiply(a, b, torch.empty(5, 32, 32))
    alone = products.multiply(a[3:4], b[3:4], torch.empty(1, 32, 32))
    torch.testing.assert_close(together[3:4], alone, rtol=0, atol=0)


def test_strategies_that_have_no_form_for_all_trials_are_lifted() -> None:
    sgd, none = OPTIMIZERS["sgd"], CLIPPINGS["none"]

    layout = Layout(("weight",), ((2, 1),))

    assert at_once(none, sgd, layout) is not None
    assert at_once(CLIPPINGS["value"], sgd, layout) is None
    assert at_once(dataclasses.replace(none, stage="update"), sgd, layout) is None
    # whose numbers of all trials would be added
    assert at_once(none, dataclasses.replace(sgd, elementwise=False), layout) is None


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_strategy_for_all_trials_keeps_the_shapes_of_its_state(
    toy: Dataset, optimizer: str
) -> None:
    program, _, trial = programs(toy, optimizer=optimizer)
    before = start(program, trial, 3)
    images, labels = batches(3, 1)[0]
    after = program.step(before, images, labels, torch.tensor(1.0))[0]
    shapes = [{k: v.shape for k, v in p.optimizer.items()} for p in (before, after)]
    assert shapes[0] == shapes[1]
