"""What is measured inside a network, against derivatives taken by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from benchmark import measurements
from benchmark.layout import Layout
from benchmark.measurements import layer_kind, measure_layers, summarize_steps
from benchmark.models import INITIALIZATIONS, MODELS, initialize
from benchmark.spikes import spike_score
from benchmark.strategies.normalization import NORMALIZATIONS

IMAGES = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.arange(40) % 10


def built(model: str = "mlp_deep", normalization: str = "none", gain: float = 1.0) -> nn.Module:
    network = MODELS[model].build((1, 8, 8), 10, 3, 16, NORMALIZATIONS[normalization]).double()
    initialize(network, INITIALIZATIONS["he"], gain, torch.Generator().manual_seed(1))
    return network.train()


def measure(*networks: nn.Module) -> dict[str, np.ndarray]:
    first, layout = networks[0], Layout.of(networks[0])
    tensors = [dict(n.named_parameters()) | dict(n.named_buffers()) for n in networks]
    parameters = torch.stack([layout.join(t) for t in tensors])
    buffers = {k: torch.stack([t[k] for t in tensors]) for k, _ in first.named_buffers()}
    return measure_layers(first, layout, parameters, buffers, IMAGES, LABELS)


def errors(network: nn.Module) -> dict[str, torch.Tensor]:
    """dL/dh at every layer, kept by torch itself."""
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            output.retain_grad()
            kept[name] = output

        return hook

    maps = {n: m for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    handles = [module.register_forward_hook(keep(name)) for name, module in maps.items()]
    F.cross_entropy(network(IMAGES), LABELS).backward()
    for handle in handles:
        handle.remove()
    return kept


@pytest.mark.parametrize(
    ("model", "normalization"),
    [
        *itertools.product(
            ["mlp_deep", "cnn_deep"], ["none", "batch", "ghost_batch", "weight_norm"]
        ),
        *itertools.product(["rnn", "transformer_qk"], ["none", "layer", "weight_norm"]),
        *itertools.product(["resnet"], ["none", "batch"]),
    ],
)
def test_equals_what_torch_keeps(model: str, normalization: str) -> None:
    network = built(model, normalization)
    measured = measure(network)
    kept = errors(network)
    maps = {name: network.get_submodule(name) for name in kept}
    expected = {
        "backprop_norm": [h.grad.norm() for h in kept.values()],
        "activation_rms": [h.square().mean().sqrt() for h in kept.values()],
        "activation_mean": [h.mean() for h in kept.values()],
        "gradient_norm": [
            torch.cat([p.grad.flatten() for p in m.parameters()]).norm() for m in maps.values()
        ],
        "parameter_norm": [
            torch.cat([p.flatten() for p in m.parameters()]).norm() for m in maps.values()
        ],
    }
    assert measured.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(
            measured[name], [[v.item() for v in values]], rtol=1e-9, atol=1e-12, err_msg=name
        )


def test_nothing_is_changed() -> None:
    network = built(normalization="batch")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    measure(network)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_norms_whose_squares_overflow_are_those_of_double_precision() -> None:
    figures = []
    for dtype in (torch.float32, torch.float64):
        network = built(gain=1e12).to(dtype)
        layout = Layout.of(network)
        parameters = layout.join(dict(network.named_parameters())).detach().unsqueeze(0)
        images = 1e-9 * IMAGES.to(dtype)
        figures.append(measure_layers(network, layout, parameters, {}, images, LABELS))
    for name in ("gradient_norm", "backprop_norm", "activation_rms", "parameter_norm"):
        np.testing.assert_allclose(figures[0][name], figures[1][name], rtol=1e-4, err_msg=name)
    assert figures[0]["gradient_norm"].max() > 1e20
    assert figures[0]["activation_rms"].max() > 1e20


@pytest.mark.parametrize("numbers", [2**26, 4000, 1], ids=["at once", "in two", "one by one"])
def test_trials_do_not_depend_on_how_many_are_measured(
    numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = [built(gain=gain) for gain in (0.5, 1.0, 2.0)]
    alone = [measure(network) for network in networks]
    monkeypatch.setattr(measurements, "PROBE_NUMBERS", numbers)
    together = measure(*networks)
    for name, values in together.items():
        np.testing.assert_allclose(values, np.concatenate([m[name] for m in alone]), rtol=1e-9)


def test_the_scale_of_weight_norm_counts_as_part_of_its_layer() -> None:
    plain, split = measure(built()), measure(built(normalization="weight_norm"))
    # at first dw/dv is the projection off v and dw/dg the direction of v: no gradient is lost
    np.testing.assert_allclose(split["gradient_norm"], plain["gradient_norm"], rtol=1e-9)
    np.testing.assert_allclose(split["backprop_norm"], plain["backprop_norm"], rtol=1e-9)
    # v and g = norm(v) of each hidden unit; biases are 0, and the classifier has no scale
    hidden = plain["parameter_norm"][:, :-1] * math.sqrt(2)
    np.testing.assert_allclose(split["parameter_norm"][:, :-1], hidden, rtol=1e-9)
    assert split["parameter_norm"][0, -1] == pytest.approx(plain["parameter_norm"][0, -1])


class TestLayout:
    def test_layers_are_named_with_all_their_tensors(self) -> None:
        layout = Layout.of(built("mlp_deep", "weight_norm"))
        assert list(layout.layers) == ["1", "4", "7", "10"]
        assert layout.layers["4"] == ("4.weight", "4.bias", "4.scale")
        assert layout.head == {"10.weight", "10.bias"}

    def test_a_convolution_may_be_the_classifier(self) -> None:
        model = nn.Sequential(nn.Linear(2, 2), nn.Conv2d(1, 3, 1), nn.Flatten())
        assert Layout.of(model).head == {"1.weight", "1.bias"}

    def test_tensors_of_a_parametrization_belong_to_its_layer(self) -> None:
        model = nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 3)), nn.Linear(3, 1))
        originals = [f"0.parametrizations.weight.original{i}" for i in (0, 1)]
        assert Layout.of(model).layers["0"] == ("0.bias", *originals)

    def test_a_shared_tensor_belongs_to_both_layers(self) -> None:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        layout = Layout.of(model)
        assert layout.layers == {"0": ("0.weight", "0.bias"), "1": ("0.weight", "1.bias")}
        assert layout.size == 9 + 3 + 3

    def test_frozen_tensors_are_left_out(self) -> None:
        model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
        model[0].weight.requires_grad_(False)
        layout = Layout.of(model)
        assert layout.names == ("0.bias", "1.weight", "1.bias")
        assert layout.layers["0"] == ("0.bias",)

    def test_splits_what_it_joins(self) -> None:
        network = built("cnn", "group")
        layout = Layout.of(network)
        vector = torch.arange(float(layout.size)).double()
        assert torch.equal(layout.join(layout.split(vector)), vector)
        out = functional_call(
            network, layout.split(layout.join(dict(network.named_parameters()))), IMAGES
        )
        torch.testing.assert_close(out, network(IMAGES))


def test_kinds_do_not_depend_on_the_subclass() -> None:
    network = built("cnn_2c2d", "weight_norm")
    kinds = [layer_kind(network.get_submodule(name)) for name in Layout.of(network).layers]
    assert kinds == ["conv2d", "conv2d", "linear", "linear"]


NAN, INF = math.nan, math.inf


class TestSummarizeSteps:
    def test_by_hand(self) -> None:
        losses, norms = np.array([1.0, 2.0, 6.0]), np.array([5.0, 1.0, 3.0])
        row = summarize_steps(losses, norms, np.array([0.0, 1.0, 1.0]))
        assert row == {
            "train_loss": 3.0,
            "train_loss_max": 6.0,
            "gradient_norm_median": 3.0,
            "gradient_norm_p90": 5.0,
            "gradient_norm_max": 5.0,
            "clipped_fraction": pytest.approx(2 / 3),
        }

    def test_infinity_is_kept_and_nan_left_out(self) -> None:
        row = summarize_steps(
            np.array([1.0, NAN]), np.array([1.0, 2.0, INF, NAN]), np.array([0.0, 0.0])
        )
        assert math.isnan(row["train_loss"])
        assert row["train_loss_max"] == 1.0
        assert row["gradient_norm_median"] == 2.0
        assert row["gradient_norm_max"] == INF

    @pytest.mark.parametrize("steps", [*range(1, 41), 1000])
    def test_quantiles_are_observed_values_as_numpy_chooses_them(self, steps: int) -> None:
        norms = np.random.default_rng(steps).lognormal(size=steps)
        row = summarize_steps(norms, norms, np.zeros(steps))
        expected = np.quantile(norms, [0.5, 0.9], method="inverted_cdf")
        assert [row["gradient_norm_median"], row["gradient_norm_p90"]] == expected.tolist()

    def test_no_step_is_nan(self) -> None:
        none = np.array([])
        assert all(math.isnan(v) for v in summarize_steps(none, none, none).values())


class TestSpikeScore:
    def test_needs_ten_losses_before(self) -> None:
        assert math.isnan(spike_score(np.arange(10.0)))
        assert spike_score(np.arange(11.0)) == 0.0

    def test_by_hand(self) -> None:
        calm = np.tile([1.0, 3.0], 10)  # mean 2, deviation 1
        assert spike_score(np.append(calm, 8.99)) == 0.0
        assert spike_score(np.append(calm, 9.01)) == pytest.approx(1 / 11)

    def test_only_the_last_hundred_count(self) -> None:
        losses = np.concatenate([np.full(200, 1e6), np.tile([1.0, 3.0], 60), [20.0]])
        # the fall is no spike, and 20 is one against the last hundred alone
        assert spike_score(losses) == pytest.approx(1 / (len(losses) - 10))

    def test_what_is_not_finite_is_a_spike_and_no_yardstick(self) -> None:
        calm = np.tile([1.0, 3.0], 10)
        assert spike_score(np.concatenate([calm, [INF, 2.0, NAN]])) == pytest.approx(2 / 13)

    def test_the_largest_losses_of_double_precision_are_spikes(self) -> None:
        calm = np.tile([1.0, 3.0], 10)
        assert spike_score(np.append(calm, [1e200, 1e308])) == pytest.approx(1 / 12)

    def test_a_constant_loss_has_none(self) -> None:
        assert spike_score(np.full(50, 2.3)) == 0.0
