"""Models and their initial weights: spreads against their definitions, any module as a model."""

import dataclasses
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from benchmark import Trial, module_model, train
from benchmark.data import DATASETS, Dataset, load
from benchmark.engine.networks.batched import forward
from benchmark.engine.runs.order import data_order
from benchmark.layout import Layout
from benchmark.models import INITIALIZATIONS, MODELS, Initialization, initialize
from benchmark.models.networks import convolutional_network
from benchmark.strategies.normalization import NORMALIZATIONS, ImpossiblePair
from benchmark.strategies.normalizing_modules import StandardizedConv2d, WeightNormLinear

PLAIN = NORMALIZATIONS["none"]


def network(model: str, shape: tuple[int, int, int] = (1, 28, 28), **sizes: int) -> nn.Module:
    known = MODELS[model]
    return known.build(
        shape, 10, sizes.get("depth", known.depth), sizes.get("width", known.width), PLAIN
    )


class TestPresets:
    @pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
    def test_every_model_is_described(self, model) -> None:
        assert MODELS[model.name] is model
        assert model.reference
        assert model.summary

    @pytest.mark.parametrize(
        ("model", "parameters"),
        [
            ("mlp", 784 * 256 + 256 + 2_570),
            ("mlp_wide", 785_000 + 500_500 + 50_100 + 1_010),
            ("mlp_deep", 785 * 128 + 9 * 129 * 128 + 1_290),
            ("mlp_tanh", 785 * 200 + 201 * 200 + 2_010),
            ("cnn", 160 + 4_640 + 15_690),
            # as published: two convolutions of 5 x 5, a dense layer on 7 x 7 x 64, the classifier
            ("cnn_2c2d", 832 + 51_264 + 3_212_288 + 10_250),
            ("cnn_deep", 320 + 5 * 9_248 + 15_690),
            ("rnn", 29 * 128 + 128 * 128 + 1_290),
            # three blocks of two convolutions, and two shortcuts of 1 x 1
            ("resnet", 160 + 2 * 2_320 + 4_640 + 9_248 + 18_496 + 36_928 + 544 + 2_112 + 650),
            ("transformer", 29 * 48 + 2 * (4 * 49 * 48 + 49 * 96 + 97 * 48) + 490),
            ("transformer_qk", 39_418 + 2 * 2 * 2 * 12),
        ],
    )
    def test_numbers_of_parameters_on_images_of_28(self, model: str, parameters: int) -> None:
        assert Layout.of(network(model)).size == parameters

    def test_the_smooth_network_is_tanh_of_linear_maps(self) -> None:
        built = network("mlp_tanh", depth=2, width=3)
        layers = [layer for layer in built[1:] if not isinstance(layer, nn.Identity)]
        assert [type(layer) for layer in layers] == [nn.Linear, nn.Tanh] * 2 + [nn.Linear]
        weights = torch.Generator().manual_seed(0)
        initialize(built, INITIALIZATIONS["he"], 1.0, weights)
        # no ReLU takes half away, so that the variance is 1 / fan_in
        assert float(built[1].weight.detach().var() * 784) == pytest.approx(1.0, rel=0.1)

    def test_widths_and_depths_are_those_asked_for(self) -> None:
        linear = [m for m in network("mlp_deep", depth=3, width=7) if isinstance(m, nn.Linear)]
        assert [m.out_features for m in linear] == [7, 7, 7, 10]
        assert [m.out_channels for m in network("cnn", width=5) if isinstance(m, nn.Conv2d)] == [
            5,
            10,
        ]

    @pytest.mark.parametrize(("side", "last"), [(28, 7), (14, 7), (8, 4), (7, 7), (4, 4), (1, 1)])
    def test_a_deep_convolutional_network_keeps_maps_of_4(self, side: int, last: int) -> None:
        model = network("cnn_deep", (1, side, side), depth=5, width=3)
        maps = model[:-2](torch.zeros(2, 1, side, side))
        assert maps.shape == (2, 3, last, last)

    @pytest.mark.parametrize("model", ["cnn", "cnn_2c2d"])
    def test_an_image_too_small_for_its_pooling_is_impossible(self, model: str) -> None:
        with pytest.raises(ImpossiblePair, match="does not fit on maps of 1 x 4"):
            network(model, (1, 2, 9))

    def test_convolutions_keep_the_size_of_maps(self) -> None:
        model = convolutional_network((2, 6, 5), [(3, False), (4, True)], 5, [], 10, PLAIN)
        assert model[-1].in_features == 4 * 3 * 2


BIG = nn.Linear(400, 600), nn.Conv2d(40, 60, 5)

# variance of hidden weights and the value that biases lie around, by fan_in and fan_out
SPREADS = {
    "he": lambda i, o: 2 / i,
    "torch": lambda i, o: 1 / (3 * i),
    "glorot": lambda i, o: 2 / (i + o),
    # as many orthogonal rows of squared norm 2 as fit, or columns
    "orthogonal": lambda i, o: 2 / max(i, o),
    # the variance of a standard normal cut at two is 0.774
    "truncated_normal": lambda i, o: (
        0.05**2 * (1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / 0.9545)
    ),
}
DRAWN = {name: i for name, i in INITIALIZATIONS.items() if i.draw is not None}


@pytest.mark.parametrize("initialization", DRAWN.values(), ids=DRAWN)
class TestEveryInitialization:
    def draw(
        self, initialization: Initialization, like: nn.Module, seed: int = 0, **options
    ) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        hidden, gain = options.get("hidden", True), options.get("gain", 1.0)
        return initialization.draw(like.weight, hidden, gain, generator)

    @pytest.mark.parametrize("like", BIG, ids=["linear", "conv2d"])
    def test_weights_have_the_published_spread_and_mean_0(
        self, initialization: Initialization, like: nn.Module
    ) -> None:
        weight, bias = self.draw(initialization, like)
        shape = like.weight.shape
        positions = math.prod(shape[2:])
        rows, columns = shape[1] * positions, shape[0]
        fan_out = columns if initialization.name == "orthogonal" else columns * positions
        expected = SPREADS[initialization.name](rows, fan_out)
        assert weight.shape == shape
        assert weight.var().item() == pytest.approx(expected, rel=0.02)
        assert abs(weight.mean().item()) < 0.02 * math.sqrt(expected)
        assert bias.shape == shape[:1]
        assert weight.dtype == bias.dtype == torch.float32

    def test_the_gain_multiplies_hidden_weights_alone(self, initialization: Initialization) -> None:
        one, bias = self.draw(initialization, BIG[0])
        three, same = self.draw(initialization, BIG[0], gain=3.0)
        torch.testing.assert_close(three, 3 * one)
        assert torch.equal(bias, same)
        head, again = (
            self.draw(initialization, BIG[0], hidden=False, gain=gain)[0] for gain in (1.0, 3.0)
        )
        assert torch.equal(head, again)

    def test_the_generator_alone_decides(self, initialization: Initialization) -> None:
        torch.manual_seed(1)
        first = self.draw(initialization, BIG[0], seed=5)
        torch.manual_seed(2)
        again = self.draw(initialization, BIG[0], seed=5)
        other = self.draw(initialization, BIG[0], seed=6)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first[0], other[0])

    @pytest.mark.parametrize("model", ["mlp_deep", "cnn"])
    def test_normalizations_start_from_the_same_weights(
        self, initialization: Initialization, model: str
    ) -> None:
        known = MODELS[model]
        drawn = []
        for normalization in NORMALIZATIONS.values():
            if (model, normalization.name) == ("mlp_deep", "instance"):
                continue
            built = known.build((1, 8, 8), 10, 3, 16, normalization)
            initialize(built, initialization, 1.5, torch.Generator().manual_seed(7))
            maps = [m for m in built.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
            drawn.append(torch.cat([p.flatten() for m in maps for p in (m.weight, m.bias)]))
        assert len(drawn) >= 8
        assert all(torch.equal(weights, drawn[0]) for weights in drawn)

    def test_is_described(self, initialization: Initialization) -> None:
        assert INITIALIZATIONS[initialization.name] is initialization
        assert initialization.reference
        assert initialization.summary


def test_biases() -> None:
    biases = {
        name: i.draw(BIG[0].weight, True, 1.0, torch.Generator().manual_seed(0))[1]
        for name, i in DRAWN.items()
    }
    limit = 1 / math.sqrt(400)
    assert biases["torch"].abs().max().item() == pytest.approx(limit, rel=0.02)
    assert biases["torch"].var().item() == pytest.approx(limit**2 / 3, rel=0.1)
    assert biases["truncated_normal"].unique().tolist() == pytest.approx([0.05])
    assert not torch.cat([biases[name] for name in ("he", "glorot", "orthogonal")]).any()


def test_uniform_and_truncated_draws_keep_their_limits() -> None:
    def largest(name: str) -> float:
        generator = torch.Generator().manual_seed(0)
        return INITIALIZATIONS[name].draw(BIG[0].weight, True, 1.0, generator)[0].abs().max().item()

    assert largest("torch") == pytest.approx(1 / math.sqrt(400), rel=1e-3)
    assert largest("glorot") == pytest.approx(math.sqrt(6 / 1000), rel=1e-3)
    assert largest("truncated_normal") == pytest.approx(0.1, rel=1e-3)


def test_torch_default_has_the_distribution_of_torch() -> None:
    torch.manual_seed(0)
    theirs = nn.Linear(400, 600)
    weight, bias = INITIALIZATIONS["torch"].draw(
        theirs.weight, True, 1.0, torch.Generator().manual_seed(0)
    )
    for own, reference in ((weight, theirs.weight), (bias, theirs.bias)):
        assert own.std().item() == pytest.approx(reference.std().item(), rel=0.05)
        assert own.abs().max().item() == pytest.approx(reference.abs().max().item(), rel=0.02)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (30, 4, 3, 3)], ids=str)
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = INITIALIZATIONS["orthogonal"].draw(torch.empty(shape), True, 1.0, generator)[0]
    flat = weight.flatten(1).double()
    product = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    torch.testing.assert_close(product, 2 * torch.eye(len(product)).double(), rtol=0, atol=1e-5)


class TestOwnInitialization:
    def test_is_what_torch_draws_under_the_seed(self, toy: Dataset) -> None:
        trial = Trial(dataset=toy, initialization="own", epochs=0, seed=9)
        start = train(trial, device="cpu").history["validation_loss"].item()
        torch.manual_seed(9)
        built = MODELS["mlp"].build((1, 4, 4), 3, 1, 256, PLAIN)
        splits = load(toy)
        images = (splits.validation_images - splits.mean) / splits.std
        assert start == pytest.approx(
            F.cross_entropy(built(images), splits.validation_labels).item(), rel=1e-5
        )

    def test_takes_no_gain(self, toy: Dataset) -> None:
        trial = Trial(dataset=toy, initialization="own", init_gain=2.0)
        with pytest.raises(ValueError, match="`init_gain` must be 1 with initialization 'own'"):
            train(trial, device="cpu")


class Residual(nn.Module):
    """Layers inside submodules, one of them applied twice, buffers and a frozen layer."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.stem = nn.Sequential(nn.Flatten(), nn.Linear(features, 12), nn.BatchNorm1d(12))
        self.block = nn.Linear(12, 12)
        self.fixed = nn.Linear(12, 12)
        self.fixed.requires_grad_(False)
        self.unused = nn.Linear(3, 3)
        self.register_buffer("noise", torch.randn(12))
        self.head = nn.Linear(12, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(images)) + self.noise
        x = x + self.block(torch.relu(self.block(x)))
        return self.head(torch.relu(self.fixed(x)))


def residual(image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    return Residual(math.prod(image_shape), classes)


MINE = module_model("mine", residual)


def reused() -> nn.Module:
    relu, twice = nn.ReLU(), nn.Linear(8, 8)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), relu, twice, relu, twice, nn.Linear(8, 3))


def tied() -> nn.Module:
    first, second = nn.Linear(16, 16), nn.Linear(16, 16)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, nn.Tanh(), second, nn.Linear(16, 3))


def dense(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), *layers, nn.Linear(8, 3))


def spatial(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), *layers, nn.Flatten(), nn.Linear(16, 3))


def hooked() -> nn.Module:
    model = dense(nn.ReLU())
    model[1].register_forward_hook(lambda module, inputs, output: 3 * output)
    return model


# what a batched form of the usual layers may get wrong
UNUSUAL = {
    "modules used twice": reused,
    "tied weights": tied,
    "a hook": hooked,
    "rows": lambda: nn.Sequential(
        nn.Flatten(1, 2), nn.Linear(4, 3), nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten()
    ),
    "kept rows": lambda: spatial(nn.Flatten(2), nn.Linear(4, 4)),
    "in place": lambda: dense(nn.ReLU(inplace=True)),
    "batch norm without scale": lambda: dense(nn.BatchNorm1d(8, affine=False)),
    "batch norm without memory": lambda: dense(nn.BatchNorm1d(8, track_running_stats=False)),
    "layer norm without scale": lambda: dense(nn.LayerNorm(8, elementwise_affine=False)),
    "layer norm without shift": lambda: dense(nn.LayerNorm(8, bias=False)),
    "layer norm of maps": lambda: spatial(nn.LayerNorm((4, 2, 2))),
    "group norm without scale": lambda: spatial(nn.GroupNorm(2, 4, affine=False)),
    "instance norm": lambda: spatial(nn.InstanceNorm2d(4, affine=True)),
    "instance norm without scale": lambda: spatial(nn.InstanceNorm2d(4)),
    "instance norm with memory": lambda: spatial(nn.InstanceNorm2d(4, track_running_stats=True)),
    "weight norm without bias": lambda: nn.Sequential(
        nn.Flatten(), WeightNormLinear(nn.Linear(16, 3, bias=False))
    ),
    "an unusual convolution by standardized weights": lambda: nn.Sequential(
        StandardizedConv2d(nn.Conv2d(1, 4, 3, stride=2, padding=1, padding_mode="reflect")),
        nn.Flatten(),
        nn.Linear(16, 3),
    ),
    "an unusual convolution": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1, padding_mode="circular", bias=False),
        nn.Flatten(),
        nn.Linear(16, 3),
    ),
    "nested": lambda: nn.Sequential(
        nn.Sequential(dense(nn.BatchNorm1d(8)), nn.ReLU()), nn.Linear(3, 3)
    ),
}


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(
    ("pooling", "pixels"),
    [
        (nn.MaxPool2d(2), (6, 6)),
        (nn.MaxPool2d((2, 2), stride=(2, 2)), (2, 4)),
        (nn.MaxPool2d(2), (6, 7)),
        (nn.MaxPool2d(2), (7, 6)),
        (nn.MaxPool2d(2, ceil_mode=True), (7, 7)),
        (nn.MaxPool2d(3), (6, 6)),
        (nn.MaxPool2d(2, stride=1), (6, 6)),
        (nn.MaxPool2d(2, padding=1), (6, 6)),
        (nn.MaxPool2d(2, dilation=2), (6, 6)),
    ],
    ids=str,
)
def test_pooling_several_trials_is_pooling_each(
    pooling: nn.MaxPool2d, pixels: tuple[int, int], gradient: bool
) -> None:
    images = torch.randn(3, 4, 2, *pixels, generator=torch.Generator().manual_seed(0))
    images[0, 0, 0, 1, 1] = torch.nan
    expected = torch.stack([pooling(some) for some in images])
    found = forward(pooling, {}, images.requires_grad_(gradient))
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


class TestModuleModel:
    @pytest.mark.parametrize("together", [1, 2])
    @pytest.mark.parametrize("build", UNUSUAL.values(), ids=UNUSUAL)
    def test_any_module_trains_as_in_a_loop_of_torch(
        self, toy: Dataset, build, together: int
    ) -> None:
        model = module_model("unusual", lambda shape, classes: build())
        trials = [
            Trial(
                dataset=toy,
                model=model,
                initialization="own",
                precision="float64",
                epochs=1,
                seed=seed,
            )
            for seed in range(together)
        ]
        rows = train(trials, device="cpu", checkpoints=4, together=together).trials
        splits = load(toy)
        train_images, test_images = (
            (images.double() - splits.mean) / splits.std
            for images in (splits.train_images, splits.test_images)
        )
        expected = []
        for seed in range(together):
            torch.manual_seed(seed)
            module = build().double()
            optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
            for batch in data_order(seed, 96, 0, 96).split(32):
                optimizer.zero_grad()
                F.cross_entropy(module(train_images[batch]), splits.train_labels[batch]).backward()
                optimizer.step()
            logits = module.eval()(test_images)
            expected.append(F.cross_entropy(logits, splits.test_labels).item())
        assert rows["test_loss"].tolist() == pytest.approx(expected, rel=1e-9)

    def test_two_models_of_one_name_are_refused(self, toy: Dataset) -> None:
        models = [module_model("mine", build) for build in (residual, lambda s, c: reused())]
        trials = [
            Trial(dataset=toy, model=m, initialization="own", seed=i) for i, m in enumerate(models)
        ]
        with pytest.raises(ValueError, match="two different model objects are named 'mine'"):
            train(trials, device="cpu")

    def test_trains_as_in_a_loop_of_torch(self, toy: Dataset) -> None:
        trial = Trial(
            dataset=toy,
            model=MINE,
            initialization="own",
            precision="float64",
            optimizer="momentum",
            batch_size=32,
            epochs=2,
            seed=4,
        )
        row = train(trial, device="cpu").trials.iloc[0]
        torch.manual_seed(4)
        module = residual((1, 4, 4), 3).double()
        frozen = module.fixed.weight.clone()
        trained = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9)
        splits = load(toy)
        images = (splits.train_images.double() - splits.mean) / splits.std
        for step in range(6):
            batch = data_order(4, 96, 32 * step, 32 * step + 32)
            optimizer.zero_grad()
            F.cross_entropy(module(images[batch]), splits.train_labels[batch]).backward()
            optimizer.step()
        test = (splits.test_images.double() - splits.mean) / splits.std
        expected = F.cross_entropy(module.eval()(test), splits.test_labels).item()
        assert row["model"] == "mine"
        assert row["parameters"] == sum(p.numel() for p in trained)
        assert row["test_loss"] == pytest.approx(expected, rel=1e-10)
        assert torch.equal(module.fixed.weight, frozen)

    def test_trials_together_equal_each_alone(self, toy: Dataset) -> None:
        base = Trial(dataset=toy, model=MINE, initialization="own", precision="float64")
        trials = [dataclasses.replace(base, seed=seed, epochs=1) for seed in range(3)]
        together = train(trials, device="cpu", layers=True, together=3)
        alone = [train(trial, device="cpu", layers=True, together=1) for trial in trials]
        assert together.trials["test_loss"].nunique() == 3
        assert together.trials["test_loss"].tolist() == pytest.approx(
            [record.trials["test_loss"].item() for record in alone], rel=1e-9
        )
        figures = ["gradient_norm", "backprop_norm", "activation_rms", "update_ratio"]
        rows = together.layers[together.layers["trial"] == alone[1].trials["trial"].item()]
        torch.testing.assert_close(
            torch.tensor(rows[figures].to_numpy()),
            torch.tensor(alone[1].layers[figures].to_numpy()),
            equal_nan=True,
        )

    def test_layers_inside_submodules_are_measured(self, toy: Dataset) -> None:
        trial = Trial(dataset=toy, model=MINE, initialization="own", epochs=0)
        layers = train(trial, device="cpu", layers=True).layers.set_index("layer")
        assert list(layers.index) == ["stem.1", "block", "fixed", "unused", "head"]
        applied = layers.drop(index="unused")
        assert applied[["backprop_norm", "activation_rms"]].gt(0).all(axis=None)
        assert layers["gradient_norm"].drop(index=["fixed", "unused"]).gt(0).all()
        assert layers.loc["unused", ["backprop_norm", "activation_rms"]].isna().all()
        assert math.isnan(layers.loc["fixed", "gradient_norm"])

    def test_reaches_other_processes(self) -> None:
        copy = pickle.loads(pickle.dumps(Trial(model=MINE)))
        assert copy == Trial(model=MINE)
        assert hash(copy) == hash(Trial(model=MINE))

    def test_a_named_initialization_draws_its_layers(self, toy: Dataset) -> None:
        def convolutional(shape: tuple[int, int, int], classes: int) -> nn.Module:
            return MODELS["cnn"].build(shape, classes, 2, 16, PLAIN)

        model = module_model("cnn_again", convolutional)
        rows = train(
            [Trial(dataset=toy, model=m, init_gain=2.0, epochs=1) for m in ("cnn", model)],
            device="cpu",
        ).trials
        assert rows["test_loss"].nunique() == 1

    def test_a_normalization_cannot_be_added(self, toy: Dataset) -> None:
        trial = Trial(dataset=toy, model=MINE, normalization="layer")
        row = train(trial, device="cpu").trials.iloc[0]
        assert row["status"] == "skipped"
        assert "normalization 'layer' cannot be added" in row["status_reason"]

    @pytest.mark.parametrize(
        ("module", "message"),
        [
            (nn.Flatten(), r"logits \(B, 3\), but gave \(2, 16\) for B = 2"),
            (nn.Identity(), r"but gave \(2, 1, 4, 4\)"),
            (dense().requires_grad_(False), "has no parameters that require a gradient"),
        ],
        ids=["features", "images", "frozen"],
    )
    def test_a_module_that_cannot_be_trained_is_refused(
        self, toy: Dataset, module: nn.Module, message: str
    ) -> None:
        trial = Trial(
            dataset=toy, model=module_model("bad", lambda s, c: module), initialization="own"
        )
        with pytest.raises(ValueError, match=message):
            train(trial, device="cpu")

    @pytest.mark.parametrize(
        ("module", "left"),
        [
            (nn.Sequential(nn.Flatten(), nn.Bilinear(1, 1, 1)), "1.weight"),
            (
                nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 3))),
                "0.parametrizations.weight.original0, 0.parametrizations.weight.original1",
            ),
        ],
        ids=["bilinear", "parametrized"],
    )
    def test_weights_that_would_not_be_drawn_are_named(self, module: nn.Module, left: str) -> None:
        generator = torch.Generator().manual_seed(0)
        with pytest.raises(ValueError, match=f"also has {left}; use initialization 'own'"):
            initialize(module, INITIALIZATIONS["he"], 1.0, generator)


def test_digits_are_large_enough_for_every_model() -> None:
    shape = DATASETS["digits"].image_shape
    assert all(network(name, shape)(torch.zeros(2, *shape)).shape == (2, 10) for name in MODELS)
