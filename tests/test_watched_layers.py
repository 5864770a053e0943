"""What every layer does, seen in the engine's own passes and in the network lifted over trials."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.engine.networks.layers import LayerByLayer, WatchedChain
from benchmark.layout import Layout
from benchmark.measurements import Pass, measure_layers
from benchmark.models import INITIALIZATIONS, MODELS, initialize
from benchmark.strategies.losses import LOSSES, Loss
from benchmark.strategies.normalization import NORMALIZATIONS
from benchmark.strategies.precision import PRECISIONS

IMAGES = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.arange(40) % 10
TRIALS = 3

Network = Callable[[], nn.Module]


def by_hand(model: nn.Module, layout: Layout, loss: Loss) -> Pass:
    chain = WatchedChain.of(model, layout, loss, PRECISIONS["float32"], torch.device("cpu"))
    assert isinstance(chain, WatchedChain)
    return chain.see


def layer_by_layer(model: nn.Module, layout: Layout, loss: Loss) -> Pass:
    return LayerByLayer(model, layout, loss.value).see


def built(model: str, normalization: str) -> nn.Module:
    return MODELS[model].build((1, 8, 8), 10, 3, 16, NORMALIZATIONS[normalization])


def with_relu_in_place() -> nn.Module:
    hidden = nn.Linear(64, 16), nn.ReLU(inplace=True)
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(16, 10))


class Inside(nn.Module):
    """A linear map that only its own module calls."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.map(x.flatten(1))


class Asked:
    """A pass, and whether it saw every layer."""

    def __init__(self, see: Pass) -> None:
        self.see, self.saw = see, []

    def __call__(self, *arguments: object) -> object:
        seen = self.see(*arguments)
        self.saw.append(seen is not None)
        return seen


def measured(
    network: nn.Module, choose: Callable[..., Pass], loss: Loss = LOSSES["cross_entropy"]
) -> tuple[list[bool], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Whether the pass saw every layer; what came out with it, and lifted."""
    model = network.double().train()
    layout = Layout.of(model)
    vectors = []
    for seed in range(TRIALS):
        initialize(model, INITIALIZATIONS["he"], 1 + seed, torch.Generator().manual_seed(seed))
        vectors.append(layout.join(dict(model.named_parameters())).detach())
    buffers = {k: torch.stack([v] * TRIALS) for k, v in model.named_buffers()}
    before = {k: v.clone() for k, v in buffers.items()}
    arguments = model, layout, torch.stack(vectors), buffers, IMAGES, LABELS, loss.value
    asked = Asked(choose(model, layout, loss))
    found = measure_layers(*arguments, quicker=asked)
    assert all(torch.equal(v, before[k]) for k, v in buffers.items())
    return asked.saw, found, measure_layers(*arguments)


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.isfinite(values).all()
        np.testing.assert_allclose(found[name], values, rtol=1e-8, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("choose", [by_hand, layer_by_layer])
@pytest.mark.parametrize("normalization", [n for n in NORMALIZATIONS if n != "instance"])
def test_a_dense_network_by_either_pass_is_as_lifted(
    normalization: str, choose: Callable[..., Pass]
) -> None:
    saw, found, expected = measured(built("mlp_deep", normalization), choose)
    assert saw == [True]
    assert_equal(found, expected)


@pytest.mark.parametrize(
    ("model", "normalization"),
    [
        *[("cnn_deep", name) for name in NORMALIZATIONS],
        *[("resnet", "none"), ("resnet", "batch"), ("transformer_qk", "layer")],
    ],
)
def test_any_other_network_layer_by_layer_is_as_lifted(model: str, normalization: str) -> None:
    saw, found, expected = measured(built(model, normalization), layer_by_layer)
    assert saw == [True]
    assert_equal(found, expected)


@pytest.mark.parametrize("choose", [by_hand, layer_by_layer])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_of_any_loss(loss: Loss, choose: Callable[..., Pass]) -> None:
    _, found, expected = measured(built("mlp_deep", "none"), choose, loss)
    assert_equal(found, expected)


@pytest.mark.parametrize(
    "network",
    [lambda: built("rnn", "none"), Inside, with_relu_in_place],
    ids=["maps without a forward pass", "maps inside another module", "overwritten outputs"],
)
def test_what_cannot_be_seen_is_lifted(network: Network) -> None:
    saw, found, expected = measured(network(), layer_by_layer)
    assert saw == [False]
    assert_equal(found, expected)


def test_by_hand_an_output_is_seen_before_it_is_overwritten() -> None:
    saw, found, expected = measured(with_relu_in_place(), by_hand)
    assert saw == [True]
    assert_equal(found, expected)
