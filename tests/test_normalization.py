"""Each normalization against torch's own, or against its definition."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from benchmark.data import DATASETS
from benchmark.engine import impossible, resolve
from benchmark.engine.networks.batched import forward
from benchmark.models import INITIALIZATIONS, MODELS, initialize
from benchmark.records import Trial
from benchmark.strategies.normalization import NORMALIZATIONS, ImpossiblePair, Normalization
from benchmark.strategies.normalizing_modules import (
    GhostBatchNorm,
    RMSNorm,
    normalized_weight,
    standardized_weight,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


FLAT, IMAGES = draw(6, 16), draw(6, 16, 3, 3, seed=1)


def root_mean_square(x: torch.Tensor) -> torch.Tensor:
    return x / (x.square().flatten(1).mean(dim=1) + 1e-5).sqrt().view(-1, *(1,) * (x.dim() - 1))


def over_the_batch(x: torch.Tensor) -> torch.Tensor:
    return F.batch_norm(x, None, None, training=True, eps=1e-5)


def in_groups(x: torch.Tensor) -> torch.Tensor:
    return F.group_norm(x, 8, eps=1e-5)


# what the layer after the linear map does, in training
LAYERS = {
    "none": lambda x: x,
    "batch": over_the_batch,
    "ghost_batch": over_the_batch,
    "layer": lambda x: F.layer_norm(x, x.shape[1:], eps=1e-5),
    "rms": root_mean_square,
    "group": in_groups,
    "instance": lambda x: F.instance_norm(x, eps=1e-5),
    "weight_norm": lambda x: x,
    "weight_standardization": in_groups,
}

# model and normalization that do not go together on digits
IMPOSSIBLE = {
    **{
        (model, "instance"): "needs feature maps"
        for model in ("mlp", "mlp_wide", "mlp_deep", "mlp_tanh", "cnn_2c2d")
    },
    **{
        (model, name): reason
        for model in ("rnn", "transformer", "transformer_qk")
        for name, reason in (
            ("batch", "batch normalization has statistics over the batch, and a"),
            ("ghost_batch", "ghost_batch normalization has statistics over the batch, and a"),
            ("instance", "needs feature maps"),
        )
    },
    ("mlp_wide", "group"): "divisible by 8, but a layer has 500",
    ("mlp_wide", "weight_standardization"): "divisible by 8, but a layer has 500",
}


def build(model: str, normalization: Normalization) -> nn.Module:
    digits, known = DATASETS["digits"], MODELS[model]
    return known.build(digits.image_shape, digits.classes, known.depth, known.width, normalization)


@pytest.mark.parametrize("normalization", NORMALIZATIONS.values(), ids=NORMALIZATIONS)
class TestEveryNormalization:
    @pytest.mark.parametrize("x", [FLAT, IMAGES], ids=["dense", "spatial"])
    def test_layer_equals_its_reference(
        self, normalization: Normalization, x: torch.Tensor
    ) -> None:
        if normalization.name == "instance" and x is FLAT:
            with pytest.raises(ImpossiblePair, match="needs feature maps"):
                normalization.layer(16, False)
            return
        layer = normalization.layer(16, x.dim() == 4).double()
        torch.testing.assert_close(layer(x), LAYERS[normalization.name](x))

    def test_is_described(self, normalization: Normalization) -> None:
        assert NORMALIZATIONS[normalization.name] is normalization
        assert normalization.reference
        assert normalization.summary

    @pytest.mark.parametrize("model", MODELS)
    def test_every_model_trains_with_it_or_says_why_not(
        self, normalization: Normalization, model: str
    ) -> None:
        digits = DATASETS["digits"]
        if (reason := IMPOSSIBLE.get((model, normalization.name))) is not None:
            with pytest.raises(ImpossiblePair, match=reason):
                build(model, normalization)
            return
        network = build(model, normalization)
        assert network(torch.zeros(4, *digits.image_shape)).shape == (4, digits.classes)

    @pytest.mark.parametrize("linear", [nn.Linear(16, 32), nn.Conv2d(16, 32, 3, padding=1)])
    def test_a_wrapped_map_keeps_its_kind_and_parameters(
        self, normalization: Normalization, linear: nn.Linear | nn.Conv2d
    ) -> None:
        wrapped = normalization.wrap(linear)
        assert isinstance(wrapped, type(linear))
        assert wrapped.weight is linear.weight
        assert wrapped.bias is linear.bias
        assert str(wrapped).partition("(")[2] == str(linear).partition("(")[2]

    @pytest.mark.parametrize("x", [FLAT, IMAGES], ids=["dense", "spatial"])
    def test_trials_together_equal_each_alone(
        self, normalization: Normalization, x: torch.Tensor
    ) -> None:
        if normalization.name == "instance" and x is FLAT:
            pytest.skip("impossible in a dense layer")
        x = torch.cat([x] * 12)[:70]  # more than two ghost batches
        trials = torch.stack([x, x * x, x.exp()])
        dense = x.dim() == 2
        linear = nn.Linear(16, 16) if dense else nn.Conv2d(16, 16, 3, padding=1)
        module = nn.Sequential(*normalization.around(linear, 9)).double()
        tensors = dict(module.named_parameters()) | dict(module.named_buffers())
        own = {name: torch.stack([t.detach()] * 3) for name, t in tensors.items()}
        together = {name: t.clone() for name, t in own.items()}
        out = vmap(lambda state, x: functional_call(module, state, (x,)))(together, trials)
        for k in range(3):
            alone = {name: t[k].clone() for name, t in own.items()}
            torch.testing.assert_close(out[k], functional_call(module, alone, (trials[k],)))
            torch.testing.assert_close({n: t[k] for n, t in together.items()}, alone)


IMPOSSIBLE_LAYER = ("instance", "dense")


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("size", [20, 64, 70])
@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for n in NORMALIZATIONS for k in ("dense", "spatial") if (n, k) != IMPOSSIBLE_LAYER],
)
def test_a_batched_form_is_each_trials_module(
    name: str, kind: str, trials: int, size: int, training: bool
) -> None:
    x = FLAT if kind == "dense" else IMAGES
    linear = nn.Linear(16, 16) if kind == "dense" else nn.Conv2d(16, 16, 3, padding=1)
    parts = NORMALIZATIONS[name].around(linear, 9)
    module = nn.Sequential(*parts).double().train(training)
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    # each trial with numbers of its own; variances stay positive
    own = {
        key: torch.stack([t.detach() + 0.1 * (k + 1) for k in range(trials)])
        for key, t in tensors.items()
    }
    inputs = draw(trials, size, *x.shape[1:], seed=6)
    weights = draw(trials, size, *linear(x[:1])[0].shape, seed=7)

    def leaves(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        trained = dict(module.named_parameters())
        return {n: t.clone().requires_grad_(n in trained) for n, t in state.items()}

    together = leaves(own)
    images = inputs.clone().requires_grad_()
    out = forward(module, together, images)
    (out * weights).sum().backward()
    for k in range(trials):
        alone = leaves({key: t[k] for key, t in own.items()})
        image = inputs[k].clone().requires_grad_()
        expected = functional_call(module, alone, (image,))
        (expected * weights[k]).sum().backward()
        torch.testing.assert_close(out[k], expected)
        torch.testing.assert_close(images.grad[k], image.grad)
        for key, tensor in alone.items():
            torch.testing.assert_close(together[key][k], tensor)
            if tensor.requires_grad:
                torch.testing.assert_close(together[key].grad[k], tensor.grad)


SUB_BATCHES = {
    2: [2],
    31: [31],
    32: [32],
    33: [33],
    34: [32, 2],
    64: [32, 32],
    65: [32, 33],
    66: [32, 32, 2],
    97: [32, 32, 33],
}


class TestGhostBatch:
    @pytest.mark.parametrize("shape", [(5,), (5, 2, 3)], ids=["dense", "spatial"])
    @pytest.mark.parametrize(("size", "pieces"), SUB_BATCHES.items())
    def test_equals_batch_normalization_of_one_sub_batch_after_the_other(
        self, size: int, pieces: list[int], shape: tuple[int, ...]
    ) -> None:
        x = draw(size, *shape) * 3 + 1
        layer = GhostBatchNorm(5).double()
        scale, shift = draw(5, seed=2), draw(5, seed=3)
        layer.load_state_dict({"weight": scale, "bias": shift}, strict=False)
        mean, variance = torch.zeros(5).double(), torch.ones(5).double()
        expected = [
            F.batch_norm(piece, mean, variance, scale, shift, training=True, momentum=0.1)
            for piece in x.split(pieces)
        ]
        torch.testing.assert_close(layer(x), torch.cat(expected))
        torch.testing.assert_close(layer.running_mean, mean)
        torch.testing.assert_close(layer.running_var, variance)

    def test_evaluation_uses_the_running_statistics(self) -> None:
        layer = GhostBatchNorm(2)
        layer.running_mean.copy_(torch.tensor([1.0, 2.0]))
        layer.running_var.copy_(torch.tensor([4.0, 9.0]))
        out = layer.eval()(torch.tensor([[3.0, 5.0]] * 64))
        torch.testing.assert_close(out, torch.ones(64, 2))
        assert layer.running_mean.tolist() == [1.0, 2.0]

    def test_a_batch_of_one_is_refused_as_by_torch(self) -> None:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            GhostBatchNorm(3)(torch.zeros(1, 3))

    def test_gradients_equal_those_of_the_sub_batches(self) -> None:
        x = draw(96, 4).requires_grad_()
        layer = GhostBatchNorm(4).double()
        target = draw(96, 4, seed=5)
        pieces = torch.cat([over_the_batch(piece) for piece in x.split(32)])
        got, expected = (torch.autograd.grad((y * target).sum(), x) for y in (layer(x), pieces))
        torch.testing.assert_close(got, expected)


class TestRMS:
    def test_zeros_stay_zeros_with_a_gradient(self) -> None:
        for x in (torch.zeros(2, 3), torch.zeros(2, 3, 4, 4)):
            layer, inputs = RMSNorm(3), x.requires_grad_()
            layer(inputs).sum().backward()
            torch.testing.assert_close(inputs.grad, torch.full_like(x, 1e-5**-0.5))
            assert layer.weight.grad.tolist() == [0.0] * 3

    def test_maps_of_half_precision_are_averaged_in_single(self) -> None:
        x = draw(4, 3, 16, 16).float()
        with torch.autocast("cpu", torch.bfloat16):
            out = RMSNorm(3)(x.bfloat16())
        torch.testing.assert_close(out, RMSNorm(3)(x.bfloat16().float()))

    def test_equals_torch_with_any_scale(self) -> None:
        own, reference = RMSNorm(16).double(), nn.RMSNorm(16, eps=1e-5).double()
        scale = draw(16, seed=4)
        for module in (own, reference):
            module.load_state_dict({"weight": scale})
        torch.testing.assert_close(own(FLAT), reference(FLAT))

    def test_maps_are_scaled_by_feature(self) -> None:
        layer = RMSNorm(2)
        layer.load_state_dict({"weight": torch.tensor([1.0, 10.0])})
        x = torch.tensor([[[[3.0, 4.0]], [[0.0, 5.0]]]])  # 9 + 16 + 0 + 25 = 50, over 4
        expected = x / 12.5**0.5 * torch.tensor([1.0, 10.0]).view(1, 2, 1, 1)
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=0)


MAPS = {"dense": (nn.Linear, (16, 5), FLAT), "spatial": (nn.Conv2d, (16, 5, 3), IMAGES)}


@pytest.mark.parametrize(("kind", "arguments", "x"), MAPS.values(), ids=MAPS)
class TestWeightNorm:
    def test_equals_torch_in_value_and_gradient(
        self, kind: type, arguments: tuple[int, ...], x: torch.Tensor
    ) -> None:
        reference = parametrizations.weight_norm(kind(*arguments).double())
        own = NORMALIZATIONS["weight_norm"].wrap(kind(*arguments).double())
        stored = reference.parametrizations.weight
        lengths = torch.arange(1.0, 6.0)
        with torch.no_grad():
            stored.original0.copy_(lengths.view_as(stored.original0))
            own.weight.copy_(stored.original1)
            own.scale.copy_(lengths)
            own.bias.copy_(reference.bias)
        for module in (own, reference):
            module(x).square().sum().backward()
        torch.testing.assert_close(own(x), reference(x))
        torch.testing.assert_close(own.weight.grad, stored.original1.grad)
        torch.testing.assert_close(own.scale.grad, stored.original0.grad.flatten())

    def test_starts_as_the_network_without(
        self, kind: type, arguments: tuple[int, ...], x: torch.Tensor
    ) -> None:
        plain = kind(*arguments).double()
        wrapped = NORMALIZATIONS["weight_norm"].wrap(kind(*arguments).double())
        for module in (plain, wrapped):
            generator = torch.Generator().manual_seed(3)
            initialize(module, INITIALIZATIONS["torch"], 1.0, generator)
        torch.testing.assert_close(wrapped(x), plain(x))


def test_weight_norm_of_a_unit_of_zeros_is_zero_with_a_gradient() -> None:
    direction = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    scale = torch.tensor([2.0, 10.0], requires_grad=True)
    weight = normalized_weight(direction, scale)
    torch.testing.assert_close(weight, torch.tensor([[0.0, 0.0], [6.0, 8.0]]))
    weight.sum().backward()
    assert direction.grad.isfinite().all()
    torch.testing.assert_close(scale.grad, torch.tensor([0.0, 1.4]))


def test_standardized_weights_have_mean_0_and_variance_1_a_unit() -> None:
    weight = standardized_weight(torch.tensor([[1.0, 3.0], [-2.0, 2.0]]))
    torch.testing.assert_close(weight, torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]), rtol=1e-5, atol=0)
    kernel = draw(4, 3, 5, 5) * 7 + 2
    flat = standardized_weight(kernel).flatten(1)
    torch.testing.assert_close(flat.mean(dim=1), torch.zeros(4).double())
    torch.testing.assert_close(
        flat.var(dim=1, correction=0), torch.ones(4).double(), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize(("kind", "arguments", "x"), MAPS.values(), ids=MAPS)
def test_a_standardized_map_applies_standardized_weights(
    kind: type, arguments: tuple[int, ...], x: torch.Tensor
) -> None:
    linear = kind(*arguments).double()
    wrapped = NORMALIZATIONS["weight_standardization"].wrap(linear)
    plain = kind(*arguments).double()
    plain.load_state_dict({"weight": standardized_weight(linear.weight), "bias": linear.bias})
    torch.testing.assert_close(wrapped(x), plain(x))


@pytest.mark.parametrize(
    ("name", "linear", "positions", "reason"),
    [
        ("group", nn.Conv2d(1, 12, 3), 9, "divisible by 8, but a layer has 12"),
        ("group", nn.Linear(4, 8), 1, "only zeros, in a layer of 8 features"),
        ("weight_standardization", nn.Linear(4, 8), 1, "only zeros, in a layer of 8 features"),
        ("layer", nn.Linear(4, 1), 1, "only zeros, in a layer of 1 features"),
        ("instance", nn.Conv2d(1, 16, 3), 1, "only zeros, in a layer of 16 features at 1 position"),
        ("instance", nn.Linear(4, 8), 1, "needs feature maps"),
        ("weight_standardization", nn.Linear(1, 16), 1, "at least 2 weights an output unit"),
    ],
)
def test_an_impossible_layer_gives_its_reason(
    name: str, linear: nn.Linear | nn.Conv2d, positions: int, reason: str
) -> None:
    with pytest.raises(ImpossiblePair, match=reason):
        NORMALIZATIONS[name].around(linear, positions)


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (Trial(normalization="batch", batch_size=1), "at least 2 examples at once"),
        (Trial(normalization="ghost_batch", batch_size=1), "at least 2 examples at once"),
        (
            Trial(normalization="batch", batch_policy="accumulate", batch_size=4),
            "at least 2 examples at once",
        ),
        (Trial(normalization="instance"), "needs feature maps"),
        (Trial(normalization="group", model="mlp", width=100), "divisible by 8"),
        (Trial(batch_policy="accumulate", batch_size=2), "cannot be cut into 4 micro-batches"),
        (Trial(batch_size=2000), "exceeds the 1078 training examples"),
        (Trial(batch_size=512, epochs=0.25), "hold no full batch of 512"),
    ],
)
def test_impossible_combinations_give_their_reason(trial: Trial, reason: str) -> None:
    assert reason in (impossible(resolve(trial), 1078) or "")


@pytest.mark.parametrize("name", ["batch", "ghost_batch"])
def test_possible_combinations_give_none(name: str) -> None:
    assert impossible(resolve(Trial(normalization=name, batch_size=2)), 1078) is None
