"""Convolution, 2 x 2 maximum and ReLU by compiled kernels: the same as torch's, within rounding."""

import importlib.util
import math

import pytest
import torch
from torch import nn

from benchmark import Trial
from benchmark.data import load
from benchmark.engine import resolve
from benchmark.engine.networks.batched import forward
from benchmark.engine.networks.pooled_convolution import is_by_twos, pooled_convolution
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.resolve import parts_of
from benchmark.kernels import VARIABLE, kernels
from benchmark.provenance import made_with
from benchmark.strategies.clipping import CLIPPINGS
from benchmark.strategies.normalization import NORMALIZATIONS
from benchmark.strategies.optimizers import OPTIMIZERS

compiled = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="numba is not installed"
)
SHAPES = {
    # trials, examples, channels, pixels, features, side of the convolution
    "first of the small CNN": (1, 3, 1, (28, 28), 16, 3),
    "second of the small CNN": (2, 3, 16, (14, 14), 32, 3),
    "digits": (3, 2, 1, (8, 8), 16, 3),
    "odd": (2, 2, 16, (7, 5), 16, 3),
    "one pooled pixel": (1, 2, 16, (3, 2), 48, 3),
    "colours": (2, 2, 3, (9, 6), 32, 3),
    "first of 5 x 5": (2, 2, 1, (8, 8), 32, 5),
    "second of 5 x 5": (1, 2, 32, (8, 8), 64, 5),
    "more than 64 features": (2, 2, 48, (4, 4), 80, 3),
}


def layers(channels, features, side, *, bias=True, relu_first=False):
    convolution = nn.Conv2d(channels, features, side, padding=side // 2, bias=bias)
    others = [nn.MaxPool2d(2), nn.Identity(), nn.ReLU()]
    return nn.Sequential(convolution, *(reversed(others) if relu_first else others))


def drawn(shape, dtype=torch.float64, bias=True):
    """Inputs and parameters of K networks, of which the first layer's inputs need no gradient."""
    trials, examples, channels, pixels, features, side = shape
    generator = torch.Generator().manual_seed(0)

    def normal(*size):
        return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)

    x = normal(trials, examples, channels, *pixels).requires_grad_(channels >= 16)
    weight = normal(trials, features, channels, side, side) / math.sqrt(channels * side**2)
    tensors = {"0.weight": weight.requires_grad_()}
    if bias:
        tensors["0.bias"] = normal(trials, features).requires_grad_()
    return x, tensors


def results(net, tensors, x, kernel, monkeypatch, gradient=None):
    """Outputs and all gradients by one kind of kernels."""
    monkeypatch.setenv(VARIABLE, kernel)
    outputs = forward(net, tensors, x)
    if kernel == "numba":
        assert "PooledConvolution" in str(outputs.grad_fn)
    if gradient is None:
        generator = torch.Generator().manual_seed(1)
        gradient = torch.randn(outputs.shape, generator=generator).to(x.dtype)
    asked = [t for t in (x, *tensors.values()) if t.requires_grad]
    return [outputs, *torch.autograd.grad(outputs, asked, gradient)]


def assert_same(got, wanted, tolerance=1e-10):
    torch.testing.assert_close(
        [(g / w.detach().abs().max()).detach() for g, w in zip(got, wanted, strict=True)],
        [(w / w.detach().abs().max()).detach() for w in wanted],
        rtol=0.0,
        atol=tolerance,
        equal_nan=True,
    )


@compiled
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str
)
def test_outputs_and_gradients_are_those_of_torch(shape, dtype, tolerance, monkeypatch):
    net = layers(shape[2], shape[4], shape[5])
    x, tensors = drawn(shape, dtype)
    found = [results(net, tensors, x, kernel, monkeypatch) for kernel in ("numba", "torch")]
    assert_same(*found, tolerance)


@compiled
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("relu_first", [True, False], ids=["relu first", "maximum first"])
def test_a_bias_may_be_missing_and_the_relu_may_come_first(bias, relu_first, monkeypatch):
    net = layers(16, 16, 3, bias=bias, relu_first=relu_first)
    x, tensors = drawn(SHAPES["odd"], bias=bias)
    found = [results(net, tensors, x, kernel, monkeypatch) for kernel in ("numba", "torch")]
    assert_same(*found)


@compiled
def test_networks_may_share_their_inputs(monkeypatch):
    x, tensors = drawn(SHAPES["digits"])
    net, shared = layers(1, 16, 3), x[:1].expand(x.shape)
    found = [results(net, tensors, shared, kernel, monkeypatch) for kernel in ("numba", "torch")]
    assert_same(*found)


@compiled
@pytest.mark.parametrize("level", [-1.0, 0.0, 2.0])
def test_ties_are_broken_as_torch_does(level, monkeypatch):
    """Of equal pixels the first has the gradient; at 0 ReLU has none."""
    x, tensors = drawn(SHAPES["odd"])
    tensors["0.weight"] = torch.zeros_like(tensors["0.weight"]).requires_grad_()
    tensors["0.bias"] = torch.full_like(tensors["0.bias"], level).requires_grad_()
    net = layers(16, 16, 3)
    got, wanted = (results(net, tensors, x, kernel, monkeypatch) for kernel in ("numba", "torch"))
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    assert bool(got[2].count_nonzero()) == (level > 0)


@compiled
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["inputs", "weights", "bias", "gradient"])
@pytest.mark.parametrize("shape", ["digits", "odd"])
def test_what_is_not_finite_goes_as_far_as_in_torch(value, where, shape, monkeypatch):
    sizes = SHAPES[shape]
    net = layers(sizes[2], sizes[4], sizes[5])
    x, tensors = drawn(sizes)
    gradient = torch.ones(*x.shape[:2], sizes[4], *(p // 2 for p in sizes[3]), dtype=x.dtype)
    places = {"inputs": x, "weights": tensors["0.weight"], "bias": tensors["0.bias"]}
    with torch.no_grad():
        places.get(where, gradient).view(-1)[-1] = value
    asked = [t for t in (x, *tensors.values()) if t.requires_grad]
    found = []
    for kernel in ("numba", "torch"):
        monkeypatch.setenv(VARIABLE, kernel)
        outputs = forward(net, tensors, x)
        found.append([outputs, *torch.autograd.grad(outputs, asked, gradient)])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10, equal_nan=True)


@compiled
def test_second_derivatives_are_those_of_torch(monkeypatch):
    net = layers(16, 16, 3)
    x, tensors = drawn(SHAPES["odd"])
    asked = [x, *tensors.values()]
    found = []
    for kernel in ("numba", "torch"):
        monkeypatch.setenv(VARIABLE, kernel)
        loss = forward(net, tensors, x).square().mean()
        first = torch.autograd.grad(loss, asked, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), asked))
    assert_same(*found)


def in_half_precision(net, x):
    return net, x.half()


def with_hook(net, x):
    net[3].register_forward_hook(lambda *_: None)
    return net, x


def with_backward_hook(net, x):
    net[1].register_full_backward_hook(lambda *_: None)
    return net, x


def replaced(place, module):
    def change(net, x):
        net[place] = module
        return net, x

    return change


OTHERS = {
    "half precision": in_half_precision,
    "a hook": with_hook,
    "a backward hook": with_backward_hook,
    "a stride": replaced(0, nn.Conv2d(16, 16, 3, padding=1, stride=2)),
    "no padding": replaced(0, nn.Conv2d(16, 16, 3)),
    "circular padding": replaced(0, nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular")),
    "groups": replaced(0, nn.Conv2d(16, 16, 3, padding=1, groups=2)),
    "7 x 7": replaced(0, nn.Conv2d(16, 16, 7, padding=3)),
    "8 features": replaced(0, nn.Conv2d(16, 8, 3, padding=1)),
    "a maximum of 3 x 3": replaced(1, nn.MaxPool2d(3)),
    "rounding up": replaced(1, nn.MaxPool2d(2, ceil_mode=True)),
    "a normalization": replaced(2, nn.BatchNorm2d(16)),
    "another activation": replaced(3, nn.Tanh()),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=list(OTHERS))
def test_other_layers_are_left_to_torch(change, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    net, x = change(layers(16, 16, 3), drawn(SHAPES["odd"])[0])
    tensors = {name: p.unsqueeze(0) for name, p in net.named_parameters()}
    assert pooled_convolution(list(net._modules.items()), tensors, x[:1]) is None


def test_autocast_is_left_to_torch(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    x, tensors = drawn(SHAPES["odd"], torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        children = list(layers(16, 16, 3)._modules.items())
        assert pooled_convolution(children, tensors, x) is None


def test_a_maximum_of_twos_is_one():
    assert is_by_twos(nn.MaxPool2d((2, 2), stride=2))
    assert not is_by_twos(nn.MaxPool2d(2, stride=1))


# every strategy: three steps of two small CNNs together, in float64

STRATEGIES = [
    *[pytest.param({"normalization": name}, id=name) for name in NORMALIZATIONS],
    *[pytest.param({"clipping": name}, id=f"clipping {name}") for name in CLIPPINGS],
    *[pytest.param({"optimizer": name}, id=f"optimizer {name}") for name in OPTIMIZERS],
]


def after_three_steps(fields, kernel, monkeypatch):
    monkeypatch.setenv(VARIABLE, kernel)
    common = {"dataset": "digits", "model": "cnn", "precision": "float64", "batch_size": 16}
    trials = [resolve(Trial(**common, **fields, seed=seed)) for seed in range(2)]
    program = Program(parts_of(trials[0]), trials[0], torch.device("cpu"))
    population = program.start(trials)
    splits = load("digits")
    images = (splits.train_images[:32].double() - splits.mean) / splits.std
    images, labels = images.view(2, 16, *images.shape[1:]), splits.train_labels[:32].view(2, 16)
    norms = []
    for _ in range(3):
        population, _, norm, _ = program.step(population, images, labels, torch.tensor(1.0))
        norms.append(norm)
    loss, _ = program.evaluate(population, images[0], labels[0], 16)
    return [population.parameters, torch.stack(norms), loss]


@compiled
@pytest.mark.parametrize("fields", STRATEGIES)
def test_training_by_either_kernels_is_the_same(fields, monkeypatch):
    found = [after_three_steps(fields, k, monkeypatch) for k in ("numba", "torch")]
    assert_same(*found, 1e-9)


# which kernels


@compiled
def test_the_version_of_numba_is_recorded(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert kernels().startswith("numba 0.")


def test_torch_can_be_asked_for(monkeypatch):
    monkeypatch.setenv(VARIABLE, "torch")
    assert kernels() == "torch"


def test_other_kernels_are_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "mkl")
    with pytest.raises(ValueError, match="must be one of numba, torch, but got 'mkl'"):
        kernels()


def test_results_from_before_there_was_a_choice_are_of_torch():
    assert made_with({"torch": "2.13.0"}, "kernels") == "torch"
    assert made_with({"kernels": "numba 0.68.1"}, "kernels") == "numba 0.68.1"
