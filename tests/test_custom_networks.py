"""Networks that are not built in: whatever PyTorch trains, trained as a plain loop trains it."""

import functools
import logging
import types
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from benchmark import Trial, module_model, train
from benchmark.data import Dataset, load
from benchmark.engine.networks import probing
from benchmark.engine.runs.order import data_order
from benchmark.engine.settings import Settings
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.models import INITIALIZATIONS, MODELS, initialize
from benchmark.strategies.normalization import NORMALIZATIONS, Normalization


class Rows(nn.Module):
    """The rows of an image as a sequence, through a recurrent layer."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer, self.head = layer, nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layer(images.squeeze(1))[0][:, -1])


class Between(nn.Module):
    """Two linear maps with a function of the hidden numbers between them."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]):
        super().__init__()
        self.first, self.head, self.function = nn.Linear(16, 8), nn.Linear(8, 3), function
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.function(self, self.first(images.flatten(1))) * self.scale)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = images.squeeze(1)
        return self.head(self.attention(x, x, x)[0].flatten(1))


def branched(module: nn.Module, h: Tensor) -> Tensor:
    return F.relu(h) if h.mean() > 0 else torch.tanh(h)


def scaled_by_a_number(module: nn.Module, h: Tensor) -> Tensor:
    return F.relu(h) / (1 + h.detach().abs().max().item())


def masked(module: nn.Module, h: Tensor) -> Tensor:
    h = h.clone()
    h[h < 0] = 0
    return h


def counted(module: nn.Module, h: Tensor) -> Tensor:
    # another tensor in the buffer's place, and not a change of the one that is there
    module.calls = module.calls + 1
    return h * (1 + 0.1 * module.calls)


def checkpointed(reentrant: bool) -> nn.Module:
    def again(module: nn.Module, h: Tensor) -> Tensor:
        return checkpoint(module.inner, h, use_reentrant=reentrant)

    network = Between(again)
    network.inner = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
    return network


def dense(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), *layers, nn.Linear(8, 3))


class View(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1)


def viewed_maps() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), View(), nn.Linear(16, 3))


def with_hook(register: Callable[[nn.Sequential], object]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model = dense(nn.ReLU())
        register(model)
        return model

    return build


def patched() -> nn.Module:
    model = dense(nn.ReLU())
    forward = type(model).forward
    model.forward = types.MethodType(lambda self, x: 2 * forward(self, x), model)
    return model


def halved(tensor: Tensor) -> None:
    tensor.grad.mul_(0.5)


PLAIN = {
    "LSTM": lambda: Rows(nn.LSTM(4, 6, batch_first=True)),
    "GRU": lambda: Rows(nn.GRU(4, 6, batch_first=True)),
    "RNN": lambda: Rows(nn.RNN(4, 6, batch_first=True)),
    "if": lambda: Between(branched),
    "item": lambda: Between(scaled_by_a_number),
    "mask": lambda: Between(masked),
    "another buffer": lambda: Between(counted),
    "checkpoint": lambda: checkpointed(False),
    "reentrant checkpoint": lambda: checkpointed(True),
    "spectral norm": lambda: dense(parametrizations.spectral_norm(nn.Linear(8, 8)), nn.ReLU()),
    "average of all batches": lambda: dense(nn.BatchNorm1d(8, momentum=None)),
    "view": viewed_maps,
    "view of features": lambda: dense(View(), nn.ReLU()),
    "changed input": lambda: nn.Sequential(nn.ReLU(inplace=True), *dense()),
    "changed maps": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(16, 3)
    ),
    "hook of a parameter": with_hook(lambda m: m[1].weight.register_hook(lambda g: 0.5 * g)),
    "hook after accumulation": with_hook(
        lambda m: m[1].weight.register_post_accumulate_grad_hook(halved)
    ),
    "hook of a network": with_hook(lambda m: m.register_forward_hook(lambda m, x, y: 2 * y)),
    "hook before a network": with_hook(
        lambda m: m.register_forward_pre_hook(lambda m, x: (2 * x[0],))
    ),
    "backward hook": with_hook(
        lambda m: m[3].register_full_backward_hook(lambda m, g, _: (0.5 * g[0],))
    ),
    "backward hook before": with_hook(
        lambda m: m[2].register_full_backward_pre_hook(lambda m, g: (0.5 * g[0],))
    ),
    "patched forward": patched,
}
RANDOM = {
    "dropout": lambda: dense(nn.Dropout(0.5)),
    "functional dropout": lambda: Between(lambda m, h: F.dropout(h, 0.5, m.training)),
    "noise": lambda: Between(lambda m, h: h + torch.randn_like(h) if m.training else h),
    "RReLU": lambda: dense(nn.RReLU()),
    "attention": Attention,
    "LSTM with dropout": lambda: Rows(nn.LSTM(4, 6, 2, dropout=0.5, batch_first=True)),
}
EVERY = PLAIN | RANDOM


DEFAULTS = {"initialization": "own", "precision": "float64", "epochs": 1, "batch_size": 16}


def trials_of(toy: Dataset, build: Callable[[], nn.Module], count: int, **more) -> list[Trial]:
    model = module_model("custom", lambda shape, classes: build())
    return [
        Trial(
            dataset=toy,
            model=model,
            seed=seed,
            **{**DEFAULTS, **more},
        )
        for seed in range(count)
    ]


@functools.cache
def expected_loss(name: str, seed: int, toy: Dataset) -> float:
    """Test loss after six steps of a plain loop."""
    splits = load(toy)
    train_images, test_images = (
        (images.double() - splits.mean) / splits.std
        for images in (splits.train_images, splits.test_images)
    )
    torch.manual_seed(seed)
    module = EVERY[name]().double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for batch in data_order(seed, 96, 0, 96).split(16):
        optimizer.zero_grad()
        F.cross_entropy(module(train_images[batch]), splits.train_labels[batch]).backward()
        optimizer.step()
    return F.cross_entropy(module.eval()(test_images), splits.test_labels).item()


# a checkpoint of the older kind says so wherever no gradient is wanted, as in an evaluation
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("name", EVERY)
def test_trains_as_in_a_loop_of_torch(
    toy: Dataset, name: str, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what is sampled and measured on the way changes nothing
    monkeypatch.setattr("benchmark.engine.runs.segment.STEPS_PER_SAMPLE", 1)
    trials = trials_of(toy, EVERY[name], 2)
    before = torch.get_rng_state()
    record = train(trials, device="cpu", checkpoints=4, layers=True, together=together)
    assert torch.equal(torch.get_rng_state(), before)
    expected = [expected_loss(name, seed, toy) for seed in range(2)]
    assert record.trials["test_loss"].tolist() == pytest.approx(expected, rel=1e-9)
    assert record.history["noise_scale"].notna().sum() == 2 * 3
    assert record.layers["gradient_norm"].gt(0).any()


def residual() -> nn.Module:
    return Between(lambda m, h: h + torch.tanh(h))


@pytest.mark.parametrize(
    ("build", "alone"), [(residual, False), (PLAIN["LSTM"], True), (PLAIN["backward hook"], True)]
)
def test_only_what_cannot_be_lifted_goes_one_by_one(
    toy: Dataset,
    build: Callable[[], nn.Module],
    alone: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "_NOTED", set())
    trial = resolve(trials_of(toy, build, 1)[0])
    with caplog.at_level(logging.WARNING):
        programs = [Program(parts_of(trial), trial, torch.device("cpu")) for _ in range(2)]
    assert [p.one_by_one is not None for p in programs] == [alone] * 2
    # said once
    notes = [r.getMessage() for r in caplog.records]
    assert len(notes) == alone
    assert all("trials of model 'custom' are trained one after another: it" in n for n in notes)


DROPPED = Normalization("dropped", lambda features, spatial: nn.Dropout(0.5), "-", "")
SCALED = Normalization("scaled", lambda features, spatial: nn.RMSNorm(features), "-", "")


@pytest.mark.parametrize(("normalization", "alone"), [(DROPPED, True), (SCALED, False)])
def test_a_custom_normalization_that_draws_is_told_and_follows_the_seed(
    normalization: Normalization,
    alone: bool,
    toy: Dataset,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "_NOTED", set())
    shared = {**DEFAULTS, "dataset": toy, "width": 8, "normalization": normalization}
    trials = [Trial(**shared, seed=seed) for seed in (0, 1)]
    both = train(trials, device="cpu", checkpoints=4).trials["train_loss"]
    assert caplog.messages == alone * [
        "trials of normalization 'dropped' are trained one after another: it draws random numbers "
        "in its forward pass"
    ]
    torch.manual_seed(7)
    (second,) = train(trials[1], device="cpu", checkpoints=4).trials["train_loss"]
    assert second == (both[1] if alone else pytest.approx(both[1], rel=1e-5))
    assert second != both[0]


def measured_alone_and_lifted(
    toy: Dataset, policy: str, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, torch.Tensor]]:
    """Samples, sharpness and layers of the same trials, lifted and one by one."""
    trials = list(map(resolve, trials_of(toy, residual, 2, batch_policy=policy)))
    splits = load(toy)
    images = (splits.train_images[:16].double() - splits.mean) / splits.std
    labels = splits.train_labels[:16]
    figures = []
    for hooked in (False, True):
        monkeypatch.setattr(probing, "_is_hooked", lambda model, hooked=hooked: hooked)
        program = Program(parts_of(trials[0]), trials[0], torch.device("cpu"))
        assert (program.one_by_one is not None) == hooked
        population = program.start(trials)
        both = images.expand(2, *images.shape), labels.expand(2, 16)
        small, big, sample = program.sample_gradients(population, *both)
        found = {"sizes": torch.tensor([small, big]), "sample": sample}
        found["sharpness"] = program.sharpness(population, images, labels)
        layers = program.layers(population, images, labels)
        figures.append(found | {name: torch.tensor(v) for name, v in layers.items()})
    return figures


@pytest.mark.parametrize("policy", ["norm_test", "noise_scale"])
def test_measured_one_by_one_as_lifted(
    toy: Dataset, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifted, alone = measured_alone_and_lifted(toy, policy, monkeypatch)
    assert len(lifted) == 3 + 5
    for name, value in lifted.items():
        torch.testing.assert_close(alone[name], value, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ("norm_test", "LSTM"),
        ("norm_test", "dropout"),
        ("noise_scale", "another buffer"),
        ("accumulate", "dropout"),
    ],
)
def test_every_policy_trains_networks_one_by_one(toy: Dataset, policy: str, name: str) -> None:
    trials = trials_of(toy, EVERY[name], 2, batch_policy=policy, epochs=2)
    first, second = (
        train(trials, device="cpu", checkpoints=4, sharpness=True, together=width)
        for width in (1, 2)
    )
    numbers = first.history.select_dtypes("number").columns
    assert first.trials["steps"].tolist() == second.trials["steps"].tolist()
    np.testing.assert_allclose(
        first.history[numbers].astype(float), second.history[numbers].astype(float), rtol=1e-8
    )
    assert first.history["sharpness"].notna().all()


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        self.unused = nn.Linear(2, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images)


@pytest.mark.parametrize("together", [1, 2])
def test_parameters_without_use_do_not_matter_to_sharpness(toy: Dataset, together: int) -> None:
    values = []
    for build in (Unused, lambda: Unused().body):
        trials = trials_of(toy, build, 2, epochs=0, loss="squared_error")
        history = train(trials, device="cpu", sharpness=True, together=together).history
        values.append(history["sharpness"].tolist())
    # both start their power iteration from their own vector
    assert values[0] == pytest.approx(values[1], rel=1e-3)


class TupleInTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = dense(nn.Tanh())

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits = self.body(images)
        return (logits, logits) if self.training else logits


def drawn_elsewhere() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    return Between(lambda m, h: h + torch.randn(h.shape, generator=generator, dtype=h.dtype))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (TupleInTraining, r"logits \(B, 3\) in training mode too, but gave tuple for B = 4"),
        (drawn_elsewhere, "draws random numbers that torch's seed does not fix"),
    ],
)
def test_what_no_loop_could_repeat_is_refused(
    toy: Dataset, build: Callable[[], nn.Module], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(trials_of(toy, build, 1), device="cpu", checkpoints=4)


@pytest.mark.parametrize("initialization", ["own", "he"])
@pytest.mark.parametrize("layer", [nn.ReLU, lambda: nn.Dropout(0.5)], ids=["lifted", "one by one"])
def test_a_module_that_its_builder_gives_each_time_stays_as_it_is(
    toy: Dataset, layer: Callable[[], nn.Module], initialization: str
) -> None:
    module = dense(layer())
    before = [p.detach().clone() for p in module.parameters()]
    trials = trials_of(toy, lambda: module, 2, precision="float32", initialization=initialization)
    first, second = (train(trials, device="cpu", checkpoints=4) for _ in range(2))
    assert first.trials["test_loss"].tolist() == second.trials["test_loss"].tolist()
    assert all(torch.equal(p, b) for p, b in zip(module.parameters(), before, strict=True))


def normalized_over_the_batch() -> nn.Module:
    return dense(nn.BatchNorm1d(8), nn.ReLU())


@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"batch_size": 1}, "model 'custom' needs at least 2 examples at once, but there is 1"),
        ({"batch_size": 4, "batch_policy": "accumulate"}, "at least 2 examples at once"),
        ({"batch_size": 4, "batch_policy": "norm_test"}, "which the batch normalization of model"),
        ({"batch_size": 4, "batch_policy": "cabs"}, "cabs needs the gradient of each example"),
        ({"batch_size": 4, "batch_policy": "dive"}, "dive needs the gradient of each example"),
        ({"batch_size": 4, "batch_policy": "noise_scale"}, None),
        ({"batch_size": 2}, None),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_batch_normalization_of_a_custom_network_asks_for_two_examples(
    toy: Dataset, changes: dict[str, object], reason: str | None, together: int
) -> None:
    trials = trials_of(toy, normalized_over_the_batch, 2, **changes)
    rows = train(trials, device="cpu", checkpoints=4, together=together).trials
    assert (rows["status"] == "skipped").all() == (reason is not None)
    assert reason is None or rows["status_reason"].str.contains(reason).all()


@pytest.mark.parametrize("together", [1, 2])
def test_an_evaluation_leaves_no_single_example(
    toy: Dataset, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 48 examples by 47
    monkeypatch.setattr(Settings, "evaluated_at_once", lambda self, trials: 47)
    trials = trials_of(toy, lambda: dense(nn.BatchNorm1d(8, track_running_stats=False)), 2)
    rows = train(trials, device="cpu", checkpoints=4, together=together).trials
    monkeypatch.undo()
    expected = train(trials, device="cpu", checkpoints=4, together=together).trials
    assert rows["test_loss"].tolist() == pytest.approx(expected["test_loss"].tolist(), rel=1e-9)


@pytest.mark.parametrize("together", [1, 2])
def test_hooks_of_all_modules_count_in_built_in_networks_too(toy: Dataset, together: int) -> None:
    trials = [Trial(dataset=toy, precision="float64", epochs=1, seed=s) for s in range(2)]

    def doubled(module: nn.Module, inputs: object, output: Tensor) -> Tensor | None:
        return 2 * output if isinstance(module, nn.ReLU) else None

    plain = train(trials, device="cpu", checkpoints=4, together=together).trials
    handle = nn.modules.module.register_module_forward_hook(doubled)
    try:
        hooked = train(trials, device="cpu", checkpoints=4, together=together).trials
    finally:
        handle.remove()
    assert (hooked["initial_loss"] != plain["initial_loss"]).all()
    splits = load(toy)
    images = (splits.train_images.double() - splits.mean) / splits.std
    for seed, loss in enumerate(hooked["initial_loss"]):
        network = MODELS["mlp"].build((1, 4, 4), 3, 1, 256, NORMALIZATIONS["none"]).double()
        initialize(network, INITIALIZATIONS["he"], 1.0, torch.Generator().manual_seed(seed))
        network[3].register_forward_hook(doubled)
        batch = data_order(seed, 96, 0, 32)
        expected = F.cross_entropy(network(images[batch]), splits.train_labels[batch])
        assert loss == pytest.approx(expected.item(), rel=1e-12)
