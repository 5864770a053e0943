"""What the benchmark measures against what theory says, through its public names alone."""

import functools
import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark import BatchPolicy, Decision, Observation, Trial, module_model, tensor_dataset, train
from benchmark.data import load
from benchmark.engine.runs.order import data_order
from benchmark.statistics import theoretical_recurrent_growth
from benchmark.strategies.batch_policies import GradientSample, simple_noise_scale


@functools.cache
def squared_errors(normalization: str, depth: int, width: int, seeds: int, gain: float, **more):
    """Mean of norm(dL/dh)^2 over seeds by hidden layer, of networks as they are initialized."""
    trials = [
        Trial(
            model=more.get("model", "mlp_deep"),
            normalization=normalization,
            depth=depth,
            width=width,
            init_gain=gain,
            epochs=0,
            seed=seed,
        )
        for seed in range(seeds)
    ]
    layers = train(trials, device="cpu", checkpoints=4, layers=True).layers
    squares = layers["backprop_norm"].astype(float) ** 2
    # the last layer is the classifier
    return squares.groupby(layers["layer_index"]).mean().iloc[:-1]


def growth(squares: pd.Series, first: int = 2) -> float:
    """r = (E norm(delta_first)^2 / E norm(delta_L)^2)^(1 / (L - first))."""
    last = squares.index[-1]
    return float((squares[first] / squares[last]) ** (1 / (last - first)))


class TestDepthGrowth:
    @pytest.mark.parametrize(("depth", "seeds"), [(5, 8), (20, 4)])
    @pytest.mark.parametrize("gain", [0.5, 1.0, 1.5, 2.0])
    def test_relu_without_normalization(self, gain: float, depth: int, seeds: int) -> None:
        # sigma_w^2 / 2 with sigma_w^2 = 2 gain^2
        assert growth(squared_errors("none", depth, 128, seeds, gain)) == pytest.approx(
            gain**2, rel=0.02
        )

    @pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
    def test_batch_normalization_explodes_whatever_the_gain(self, gain: float) -> None:
        squares = squared_errors("batch", 20, 128, 4, gain)
        yang = math.pi / (math.pi - 1)
        assert growth(squares) == pytest.approx(yang, rel=0.03)
        # deep inside, where the images' common direction has been forgotten
        assert growth(squares, first=8) == pytest.approx(yang, rel=0.02)
        critical = squared_errors("batch", 20, 128, 4, 1.0)
        assert growth(squares) == pytest.approx(growth(critical), rel=2e-3)

    @pytest.mark.parametrize("gain", [0.5, 2.0])
    @pytest.mark.parametrize(
        ("normalization", "expected"),
        [
            # of m numbers that share a mean and a variance, the backward pass loses 2 directions
            # of m, and E 1 / variance is m / (m - 3): (m - 2) / (m - 3), whatever the gain
            ("layer", 126 / 125),
            ("group", 14 / 13),
            # without a mean: (m - 1) / (m - 2)
            ("rms", 127 / 126),
        ],
    )
    def test_normalization_within_an_example_neither_explodes_nor_vanishes(
        self, normalization: str, expected: float, gain: float
    ) -> None:
        squares = squared_errors(normalization, 10, 128, 12, gain)
        assert growth(squares) == pytest.approx(expected, rel=0.02)

    def test_weight_norm_starts_as_none(self) -> None:
        plain, split = (squared_errors(n, 5, 128, 8, 1.5) for n in ("none", "weight_norm"))
        np.testing.assert_allclose(split, plain, rtol=1e-4)

    @pytest.mark.parametrize("gain", [0.8, 1.0])
    def test_zero_padding_on_small_maps_makes_signals_vanish(self, gain: float) -> None:
        # digits are pooled to 4 x 4; the largest eigenvalue of summing 3 x 3 neighbours there
        expected = gain**2 * ((1 + 2 * math.cos(math.pi / 5)) / 3) ** 2
        squares = squared_errors("none", 10, 24, 6, gain, model="cnn_deep")
        assert growth(squares, first=4) == pytest.approx(expected, rel=0.04)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dataset(name: str, images: torch.Tensor, labels: torch.Tensor):
    pair = (images, labels)
    return tensor_dataset(name, train=pair, validation=pair, test=pair)


class TestActivations:
    # no image is like another, and the first 256 of them are those that layers are measured on
    IMAGES = draw(256, 6, 6)
    LABELS = torch.arange(256) % 4

    def moments(self, seeds: int = 24, **more) -> pd.DataFrame:
        """Mean and mean square of pre-activations by seed (rows) and layer (columns)."""
        data = dataset("gaussian", self.IMAGES, self.LABELS)
        trials = [
            Trial(dataset=data, model="mlp_deep", depth=4, width=128, epochs=0, seed=seed, **more)
            for seed in range(seeds)
        ]
        layers = train(trials, device="cpu", checkpoints=4, layers=True).layers
        layers["square"] = layers["activation_rms"].astype(float) ** 2
        return layers.pivot(index="trial", columns="layer_index")[["activation_mean", "square"]]

    @pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
    def test_variance_without_normalization(self, gain: float) -> None:
        # images have the mean square 1: 2 gain^2 at first, times gain^2 a layer; exact in the mean
        squares = self.moments(init_gain=gain)["square"]
        hidden = [2 * gain ** (2 * layer) for layer in range(1, 5)]
        # the classifier's weights have half the variance, and no gain
        expected = np.array([*hidden, hidden[-1] / 2])
        error = squares.std() / math.sqrt(len(squares))
        assert (error < 0.15 * expected).all()
        assert ((squares.mean() - expected).abs() < 3 * error).all()

    @pytest.mark.parametrize("normalization", ["batch", "ghost_batch", "layer", "rms", "group"])
    def test_variance_with_normalization_is_the_squared_gain(self, normalization: str) -> None:
        measured = self.moments(init_gain=1.5, normalization=normalization)["square"].mean()
        assert measured.tolist()[1:4] == pytest.approx([2.25] * 3, rel=0.04)

    def test_variance_with_the_default_of_torch(self) -> None:
        # weights and biases have the variance 1 / (3 fan_in), fan_in 36 and then 128
        measured = self.moments(initialization="torch")["square"].mean()
        expected = [(1 + 1 / 36) / 3]
        for _ in range(3):
            expected.append((expected[-1] / 2 + 1 / 128) / 3)
        assert measured.tolist()[:4] == pytest.approx(expected, rel=0.05)

    def test_means_are_zero(self) -> None:
        means = self.moments()["activation_mean"].loc[:, :4]
        error = means.std() / math.sqrt(len(means))
        assert (means.mean().abs() < 3 * error).all()
        # and of the size that the mean over 128 units of a common direction leaves at most
        assert (means.std() < 2 / math.sqrt(128)).all()


class TestRecurrentGrowth:
    STEPS, WIDTH = 16, 256
    # every row has the mean square 1
    IMAGES = draw(64, STEPS, STEPS).sign()
    LABELS = torch.arange(64) % 4

    def layers(self, gain: float, initialization: str) -> pd.DataFrame:
        """Of six seeds: the input, all steps but the first, the classifier."""
        trials = [
            Trial(
                dataset=dataset("signs", self.IMAGES, self.LABELS),
                model="rnn",
                width=self.WIDTH,
                initialization=initialization,
                init_gain=gain,
                epochs=0,
                seed=seed,
            )
            for seed in range(6)
        ]
        return train(trials, device="cpu", checkpoints=4, layers=True).layers

    @pytest.mark.parametrize("gain", [0.8, 1.0, 1.5, 3.0])
    @pytest.mark.parametrize("initialization", ["he", "orthogonal"])
    def test_gradients_from_step_to_step(self, gain: float, initialization: str) -> None:
        layers = self.layers(gain, initialization)
        squares = (layers["backprop_norm"] ** 2).groupby(layers["layer_index"]).mean()
        # columns of an orthogonal matrix have the norm 1 where He's rows have
        share = 1.0 if initialization == "he" else self.STEPS / self.WIDTH
        expected = theoretical_recurrent_growth(gain, [share / self.STEPS] * self.STEPS)
        # layer 2 is step 2
        whole = squares[2] / squares[self.STEPS]
        assert (whole / expected[1:].prod()) ** (1 / 14) == pytest.approx(1, rel=0.02)
        steps = squares.to_numpy()[1 : self.STEPS]
        assert steps[:-1] / steps[1:] == pytest.approx(expected[1:], rel=0.1)

    def test_states_have_the_spread_of_the_theory(self) -> None:
        # a product by W of states: gain^2 E tanh^2, after one step and after all
        layers = self.layers(1.5, "he")
        squares = (layers["activation_rms"] ** 2).groupby(layers["layer_index"]).mean()
        z, square, expected = np.random.default_rng(0).standard_normal(200_000), 0.0, []
        for _ in range(self.STEPS):
            square = 1.5**2 * (1 / self.STEPS + square)
            square = float(np.mean(np.tanh(math.sqrt(square) * z) ** 2))
            expected.append(1.5**2 * square)
        assert squares[2] == pytest.approx(expected[0], rel=0.05)
        assert squares[self.STEPS] == pytest.approx(expected[-2], rel=0.05)

    @pytest.mark.parametrize("gain", [1.0, 2.0])
    def test_rows_of_images_in_the_usual_width(self, gain: float) -> None:
        trials = [Trial(model="rnn", init_gain=gain, epochs=0, seed=seed) for seed in range(8)]
        layers = train(trials, device="cpu", checkpoints=4, layers=True).layers
        squares = (layers["backprop_norm"] ** 2).groupby(layers["layer_index"]).mean()
        splits = load("digits")
        images = (splits.train_images[:256].double() - splits.mean) / splits.std
        rows = images.square().mean(dim=(0, 1, 3)) / 8
        expected = theoretical_recurrent_growth(gain, rows.tolist())
        whole = squares[2] / squares[8]
        assert (whole / expected[1:].prod()) ** (1 / 6) == pytest.approx(1, rel=0.05)


def linear_without_bias(image_shape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), classes, bias=False))


def started_at_zero(image_shape, classes: int) -> nn.Module:
    linear = nn.Linear(math.prod(image_shape), classes)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.Flatten(), linear)


def standardized(images: torch.Tensor) -> torch.Tensor:
    """As the benchmark will: by one mean and one deviation of all pixels."""
    return (images - images.mean()) / images.std(correction=0)


BETA = 0.9


class TestQuadratic:
    """A linear map without bias and squared errors: the Hessian is X^T X / n for each output."""

    IMAGES = draw(60, 2, 3) * torch.tensor([1.0, 2.0, 3.0]) + 0.3
    X = standardized(IMAGES).flatten(1)
    LABELS = (X[:, 0] + X[:, 4] > 0).long()
    EIGENVALUES, VECTORS = torch.linalg.eigh(X.T @ X / len(X))
    LARGEST = float(EIGENVALUES[-1])

    def descend(self, optimizer: str, rate: float, steps: int):
        trial = Trial(
            dataset=dataset("quadratic", self.IMAGES, self.LABELS),
            model=module_model("linear", linear_without_bias),
            initialization="own",
            loss="squared_error",
            optimizer=optimizer,
            learning_rate=rate,
            batch_policy="full",
            epochs=steps,
            precision="float64",
            seed=3,
        )
        return train(trial, device="cpu", checkpoints=min(steps, 40), sharpness=steps == 4)

    @pytest.mark.parametrize(
        ("optimizer", "limit"),
        [
            ("sgd", 2),
            ("momentum", 2 * (1 + BETA)),
            ("nesterov", 2 * (1 + BETA) / (1 + 2 * BETA)),
        ],
    )
    def test_the_largest_stable_rate(self, optimizer: str, limit: float) -> None:
        below, above = (
            self.descend(optimizer, factor * limit / self.LARGEST, 200) for factor in (0.97, 1.03)
        )
        assert below.trials["status"].item() == "stable"
        assert pd.isna(below.trials["first_bad_step"].item())
        assert below.history["train_loss_max"].max() < 4 * below.history["train_loss"][1]
        assert below.history["train_loss"].iloc[-1] <= 1.001 * below.history["train_loss"].min()
        assert above.trials["first_bad_step"].item() < 200
        losses = above.history["train_loss"].dropna()
        assert losses.iloc[-1] > 1e3 * losses.iloc[0]
        # the loss grows by the square of the largest root of the recursion in each step
        factor = 1.03 * limit
        middle, constant = {
            "sgd": (1 - factor, 0),
            "momentum": (1 + BETA - factor, BETA),
            "nesterov": (1 + BETA - (1 + BETA) * factor, BETA * (1 - factor)),
        }[optimizer]
        root = max(abs(np.roots([1, -middle, constant])))
        # a row of history is five steps
        assert losses.iloc[-1] / losses.iloc[-2] == pytest.approx(root**10, rel=5e-3)

    def test_every_step_is_the_closed_form(self) -> None:
        rate, steps = 0.7 / self.LARGEST, 40
        history = self.descend("sgd", rate, steps).history
        torch.manual_seed(3)
        start = linear_without_bias((1, 2, 3), 2)[1].weight.detach().double()
        target = F.one_hot(self.LABELS, 2).double()
        best = torch.linalg.lstsq(self.X, target).solution.T
        lowest = 0.5 * (self.X @ best.T - target).square().sum(dim=1).mean()
        offset = (start - best) @ self.VECTORS
        expected = [
            lowest
            + 0.5 * (self.EIGENVALUES * offset**2 * (1 - rate * self.EIGENVALUES) ** (2 * t)).sum()
            for t in range(steps)
        ]
        np.testing.assert_allclose(
            history["train_loss"].iloc[1:], [e.item() for e in expected], rtol=1e-9
        )

    def test_sharpness_is_the_largest_eigenvalue(self) -> None:
        history = self.descend("sgd", 0.1, 4).history
        assert history["sharpness"].tolist() == pytest.approx([self.LARGEST] * 5, rel=1e-5)


def tanh_network(image_shape, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(image_shape), 5), nn.Tanh(), nn.Linear(5, classes)
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_sharpness_equals_the_whole_hessian(loss: str, seed: int) -> None:
    images, labels = draw(50, 2, 2), torch.arange(50) % 3
    trial = Trial(
        dataset=dataset("hessian", images, labels),
        model=module_model("tanh", tanh_network),
        initialization="own",
        loss=loss,
        epochs=0,
        precision="float64",
        seed=seed,
    )
    measured = train(trial, device="cpu", sharpness=True).history["sharpness"].item()
    torch.manual_seed(seed)
    network = tanh_network((1, 2, 2), 3).double()
    tensors = dict(network.named_parameters())
    sizes = [t.numel() for t in tensors.values()]
    start = torch.cat([t.detach().flatten() for t in tensors.values()])

    def value(vector: torch.Tensor) -> torch.Tensor:
        pieces = [p.view_as(t) for p, t in zip(vector.split(sizes), tensors.values(), strict=True)]
        state = dict(zip(tensors, pieces, strict=True))
        logits = torch.func.functional_call(network, state, (standardized(images).unsqueeze(1),))
        if loss == "cross_entropy":
            return F.cross_entropy(logits, labels)
        return 0.5 * (logits - F.one_hot(labels, 3)).square().sum(dim=1).mean()

    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(value, start))
    largest = values[values.abs().argmax()].item()
    assert measured == pytest.approx(largest, rel=1e-3)


def gradients_of(weights: torch.Tensor, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Each example's gradient (n, classes, features) of a softmax of linear logits x W^T."""
    residual = torch.softmax(x @ weights.T, dim=1) - F.one_hot(labels, len(weights))
    return residual.unsqueeze(2) * x.unsqueeze(1)


def with_ones(images: torch.Tensor) -> torch.Tensor:
    """Standardized pixels, and 1 for the bias."""
    return torch.cat([standardized(images).flatten(1), torch.ones(len(images), 1)], dim=1)


def squared_norms(gradients: torch.Tensor, pieces: int) -> tuple[float, float]:
    """norm(G_b)^2 averaged over ``pieces``, and norm(G_B)^2, of examples' gradients."""
    means = gradients.unflatten(0, (pieces, -1)).mean(dim=1)
    small = means.square().sum(dim=(1, 2)).mean()
    return small.item(), gradients.mean(dim=0).square().sum().item()


@pytest.mark.parametrize("seeds", [1, 3], ids=["alone", "together"])
@pytest.mark.parametrize(
    ("per_example", "pieces"), [(True, 16), (False, 4)], ids=["single examples", "pieces"]
)
def test_gradients_are_sampled_before_the_batch_is_followed(
    per_example: bool, pieces: int, seeds: int
) -> None:
    samples: dict[float, list] = {}

    def look(observation: Observation, parameter: float) -> Decision:
        samples.setdefault(observation.progress, []).append(observation.samples[-1])
        return Decision(observation.batch_size)

    policy = BatchPolicy("look", None, "-", "-", look, samples=True, per_example=per_example)
    images, labels = draw(96, 2, 2), torch.arange(96) % 2
    base = Trial(
        dataset=dataset("moving", images, labels),
        model=module_model("zero", started_at_zero),
        initialization="own",
        batch_policy=policy,
        batch_size=16,
        epochs=2,
        learning_rate=2.0,
        precision="float64",
    )
    trials = [Trial(**{**vars(base), "seed": seed}) for seed in range(seeds)]
    train(trials, device="cpu", checkpoints=4, together=seeds)
    x = with_ones(images)
    for seed in range(seeds):
        weights = torch.zeros(2, 5, dtype=torch.float64)
        for step, batch in enumerate(data_order(seed, 96, 0, 192).split(16)):
            gradients = gradients_of(weights, x[batch], labels[batch])
            if step in (2, 5, 8):
                # the last step before a checkpoint
                found = samples[(step + 1) / 12][seed]
                measured = found.small_norm_squared, found.big_norm_squared
                assert measured == pytest.approx(squared_norms(gradients, pieces), rel=1e-10)
            weights = weights - 2.0 * gradients.mean(dim=0)


def test_the_noise_scale_of_history_is_that_before_its_batches_were_followed() -> None:
    images, labels = draw(480, 2, 2), torch.arange(480) % 2
    trial = Trial(
        dataset=dataset("long", images, labels),
        model=module_model("zero", started_at_zero),
        initialization="own",
        batch_size=8,
        epochs=4,
        learning_rate=2.0,
        precision="float64",
    )
    history = train(trial, device="cpu", checkpoints=4).history
    x, order = with_ones(images), data_order(0, 480, 0, 1920)
    weights, samples = torch.zeros(2, 5, dtype=torch.float64), []
    for step, batch in enumerate(order.split(8)):
        if step in (44, 104, 164):
            # 128 examples are 16 steps, none of which has been followed by then
            taken = order[8 * step : 8 * (step + 16)]
            gradients = gradients_of(weights, x[taken], labels[taken])
            samples.append(GradientSample(32, 128, *squared_norms(gradients, 4), math.nan))
            found = history["noise_scale"].iloc[(step + 16) // 60]
            assert found == pytest.approx(simple_noise_scale(samples), rel=1e-9)
        weights = weights - 2.0 * gradients_of(weights, x[batch], labels[batch]).mean(dim=0)


@pytest.mark.parametrize("per_example", [True, False], ids=["single examples", "pieces"])
def test_estimates_of_the_noise_scale_are_unbiased_while_weights_move(per_example: bool) -> None:
    examples, size, seeds, rate = 960, 8, 8, 0.5
    images = draw(examples, 2, 2)
    # labels that are mostly noise: what a step gains on its own batch is lost on others
    signal = images[:, 0, 0] + 2 * draw(examples, seed=1)
    labels = (signal > 0.5).long()
    samples: list[list[GradientSample]] = [[] for _ in range(seeds)]
    asked = itertools.count()

    def look(observation: Observation, parameter: float) -> Decision:
        samples[next(asked) % seeds].append(observation.samples[-1])
        return Decision(observation.batch_size)

    policy = BatchPolicy("look", None, "-", "-", look, samples=True, per_example=per_example)
    base = Trial(
        dataset=dataset("noise", images, labels),
        model=module_model("zero", started_at_zero),
        initialization="own",
        batch_policy=policy,
        batch_size=size,
        # a single pass, in which every batch is new
        epochs=1,
        learning_rate=rate,
        precision="float64",
    )
    trials = [Trial(**{**vars(base), "seed": s}) for s in range(seeds)]
    count = examples // size
    train(trials, device="cpu", checkpoints=count, together=seeds)
    x = with_ones(images)
    off: dict[str, list[float]] = {"variance": [], "mean_squared": []}
    for seed in range(seeds):
        weights = torch.zeros(2, 5, dtype=torch.float64)
        order = data_order(seed, examples, 0, size * (count - 1))
        for sample, batch in zip(samples[seed], order.split(size), strict=True):
            # of all examples, which a batch is some of
            every = gradients_of(weights, x, labels).flatten(1)
            covariance = every.var(dim=0).sum().item()
            mean_squared = every.mean(dim=0).square().sum().item() - covariance / examples
            off["variance"].append(sample.variance - covariance)
            off["mean_squared"].append(sample.mean_squared - mean_squared)
            weights = weights - rate * gradients_of(weights, x[batch], labels[batch]).mean(dim=0)
    for name, values in off.items():
        error = np.std(values) / math.sqrt(len(values))
        assert abs(np.mean(values)) < 3 * error, name
    # sampled after its batch was followed, the variance is a quarter too small
    assert np.std(off["variance"]) / math.sqrt(len(off["variance"])) < 0.05 * 2


def test_images_are_normalized_by_the_training_pixels() -> None:
    images, labels = draw(60, 3, 3), torch.arange(60) % 3
    records = [
        train(
            Trial(dataset=dataset("scaled", scale * images + shift, labels), precision="float64"),
            device="cpu",
        )
        for scale, shift in ((1.0, 0.0), (40.0, -7.0))
    ]
    first, second = (record.history["validation_loss"] for record in records)
    np.testing.assert_allclose(first, second, rtol=1e-9)


def test_labels_of_the_loss_are_in_nats() -> None:
    data = dataset("nats", draw(60, 2, 2), torch.arange(60) % 3)
    model = module_model("zero", started_at_zero)
    trial = Trial(dataset=data, model=model, initialization="own", epochs=0)
    losses = train(trial, device="cpu").history["validation_loss"]
    assert losses.tolist() == pytest.approx([math.log(3)])
