"""Recurrence, residual network and transformer against modules of torch and closed forms."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmark import Trial, train
from benchmark.data import Dataset, load
from benchmark.engine.networks.batched import forward, is_chain
from benchmark.engine.trials.packing import multiply_adds, trained_together
from benchmark.engine.trials.resolve import resolve
from benchmark.layout import Layout, linear_maps
from benchmark.models import INITIALIZATIONS, MODELS, initialize, unrectified
from benchmark.models.transformer import Positions
from benchmark.statistics import theoretical_residual_growth
from benchmark.strategies.normalization import NORMALIZATIONS, ImpossiblePair

SIDE, CLASSES = 6, 3
IMAGES = torch.randn(5, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.tensor([0, 1, 2, 1, 0])


def built(
    model: str,
    normalization: str = "none",
    shape: tuple[int, int, int] = (2, SIDE, SIDE),
    seed: int = 0,
    initialization: str = "he",
    gain: float = 1.0,
    **sizes: int,
) -> nn.Module:
    known = MODELS[model]
    depth, width = sizes.get("depth", known.depth), sizes.get("width", 8)
    network = known.build(shape, CLASSES, depth, width, NORMALIZATIONS[normalization]).double()
    generator = torch.Generator().manual_seed(seed)
    initialize(network, INITIALIZATIONS[initialization], gain, generator)
    return network.train()


def loss_and_gradients(
    network: nn.Module,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    loss = F.cross_entropy(network(IMAGES), LABELS)
    found = torch.autograd.grad(loss, list(network.parameters()))
    return loss, dict(zip(dict(network.named_parameters()), found, strict=True))


class TestRecurrence:
    def test_equals_the_rnn_of_torch(self) -> None:
        own = built("rnn", initialization="torch")
        theirs = nn.RNN(2 * SIDE, 8, batch_first=True).double()
        head = own[1]
        scale = 1 / math.sqrt(SIDE)
        with torch.no_grad():
            theirs.weight_ih_l0.copy_(own[0].input.weight * scale)
            theirs.bias_ih_l0.copy_(own[0].input.bias)
            theirs.weight_hh_l0.copy_(own[0].steps[0].weight)
            theirs.bias_hh_l0.zero_()
        rows = IMAGES.transpose(1, 2).reshape(5, SIDE, 2 * SIDE)
        expected = F.cross_entropy(head(theirs(rows)[0][:, -1]), LABELS)
        expected.backward()
        loss, gradients = loss_and_gradients(own)
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(gradients["0.input.weight"], scale * theirs.weight_ih_l0.grad)
        torch.testing.assert_close(gradients["0.input.bias"], theirs.bias_ih_l0.grad)
        torch.testing.assert_close(gradients["0.steps.0.weight"], theirs.weight_hh_l0.grad)

    def test_a_normalization_stands_before_every_tanh(self) -> None:
        own = built("rnn", "layer")
        parts, state = own[0], torch.zeros(5, 8).double()
        for row in IMAGES.transpose(1, 2).flatten(2).unbind(1):
            total = parts.input(row / math.sqrt(SIDE)) + state @ parts.steps[0].weight.T
            state = torch.tanh(F.layer_norm(total, [8]))
        torch.testing.assert_close(own(IMAGES), own[1](state))

    def test_its_steps_share_one_weight(self) -> None:
        network = built("rnn", "weight_norm")
        layout = Layout.of(network)
        steps = [f"0.steps.{t}" for t in range(SIDE - 1)]
        assert list(layout.layers) == ["0.input", *steps, "1"]
        assert {layout.layers[step] for step in steps} == {("0.steps.0.weight", "0.steps.0.scale")}
        assert layout.size == sum(p.numel() for p in network.parameters())

    def test_layers_are_its_steps(self, toy: Dataset) -> None:
        trial = Trial(dataset=toy, model="rnn", width=16, init_gain=2.0, epochs=1)
        layers = train(trial, device="cpu", checkpoints=4, layers=True).layers
        first = layers[layers["step"] == 0]
        assert first["layer"].tolist() == ["0.input", *(f"0.steps.{t}" for t in range(3)), "1"]
        assert first[["backprop_norm", "activation_rms"]].gt(0).all(axis=None)
        # errors differ from step to step, and the weight is the same
        assert first["backprop_norm"].nunique() == 5
        assert first["parameter_norm"].nunique() == 3

    @pytest.mark.parametrize("initialization", ["he", "orthogonal"])
    def test_weights_of_the_recurrence_have_the_variance_of_the_gain(
        self, initialization: str
    ) -> None:
        network = built("rnn", initialization=initialization, gain=1.5, width=128)
        weight = network[0].steps[0].weight
        assert weight.var().item() == pytest.approx(1.5**2 / 128, rel=0.03)
        if initialization == "orthogonal":
            torch.testing.assert_close(
                weight @ weight.T, 1.5**2 * torch.eye(128).double(), rtol=0, atol=1e-5
            )


class PlainBlock(nn.Module):
    """A residual block before activation, written down once more."""

    def __init__(self, channels: int, wider: int, stride: int, normalized: bool):
        super().__init__()
        norm = nn.BatchNorm2d if normalized else lambda features: nn.Identity()
        self.norm1, self.norm2 = norm(channels), norm(wider)
        self.conv1 = nn.Conv2d(channels, wider, 3, stride, 1)
        self.conv2 = nn.Conv2d(wider, wider, 3, 1, 1)
        self.shortcut = nn.Conv2d(channels, wider, 1, stride) if wider != channels else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(F.relu(self.norm1(x)))
        inner = self.conv2(F.relu(self.norm2(inner)))
        return inner + (x if self.shortcut is None else self.shortcut(x))


class PlainResnet(nn.Module):
    def __init__(self, width: int, depths: tuple[int, ...], normalized: bool):
        super().__init__()
        self.stem = nn.Conv2d(2, width, 3, 1, 1)
        blocks, channels = [], width
        for stage, depth in enumerate(depths):
            for block in range(depth):
                wider = width * 2**stage
                stride = 2 if stage and not block else 1
                blocks.append(PlainBlock(channels, wider, stride, normalized))
                channels = wider
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels) if normalized else nn.Identity()
        self.head = nn.Linear(channels, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.blocks(self.stem(images))))
        return self.head(x.mean(dim=(2, 3)))


def copy_maps(source: nn.Module, target: nn.Module) -> None:
    """Weights and biases of the linear maps, in the order that both have them."""
    pairs = zip(linear_maps(source).values(), linear_maps(target).values(), strict=True)
    with torch.no_grad():
        for a, b in pairs:
            b.weight.copy_(a.weight)
            b.bias.copy_(a.bias)


class TestResidual:
    @pytest.mark.parametrize("normalized", [False, True])
    @pytest.mark.parametrize(("depth", "depths"), [(3, (1, 1, 1)), (5, (2, 2, 1))])
    def test_equals_a_plain_module(
        self, normalized: bool, depth: int, depths: tuple[int, ...]
    ) -> None:
        own = built("resnet", "batch" if normalized else "none", depth=depth)
        plain = PlainResnet(8, depths, normalized).double()
        copy_maps(own, plain)
        loss, gradients = loss_and_gradients(own)
        expected, theirs = loss_and_gradients(plain)
        torch.testing.assert_close(loss, expected)
        own_maps, their_maps = linear_maps(own), linear_maps(plain)
        for a, b in zip(own_maps, their_maps, strict=True):
            torch.testing.assert_close(gradients[f"{a}.weight"], theirs[f"{b}.weight"])
        assert sum(p.numel() for p in own.parameters()) == sum(
            p.numel() for p in plain.parameters()
        )

    @pytest.mark.parametrize(("side", "last"), [(28, 4), (32, 4), (16, 2), (15, 4), (8, 2), (4, 1)])
    def test_sides_of_its_last_maps(self, side: int, last: int) -> None:
        network = built("resnet", shape=(1, side, side))
        maps = network[:-4](torch.zeros(1, 1, side, side).double())
        assert maps.shape == (1, 32, last, last)

    @pytest.mark.parametrize("gain", [0.8, 1.2])
    def test_every_block_multiplies_mean_squares(self, gain: float) -> None:
        # the pixel in the middle is as far from the zeros at the edge as three blocks see
        shape = (1, 15, 15)
        images = torch.randn(8, *shape, generator=torch.Generator().manual_seed(1)).double()
        squares = []
        for seed in range(48):
            network = built("resnet", shape=shape, seed=seed, gain=gain, depth=9, width=32)
            with torch.no_grad():
                x = network[0](images)
                stages = [x] + [x := block(x) for block in network[1:4]]
            squares.append([stage[..., 7, 7].square().mean().item() for stage in stages])
        means = torch.tensor(squares).mean(dim=0)
        growth = theoretical_residual_growth(gain)
        assert (means[1:] / means[:-1]).tolist() == pytest.approx([growth] * 3, rel=0.1)
        # the whole way is more certain than each of its parts
        assert (means[3] / means[0]).item() == pytest.approx(growth**3, rel=0.1)

    def test_a_shortcut_of_1_x_1_keeps_the_mean_square(self) -> None:
        weights = torch.cat(
            [
                built("resnet", seed=seed, gain=1.5, width=16)[2].shortcut.weight.flatten()
                for seed in range(8)
            ]
        )
        assert weights.var().item() == pytest.approx(1.5**2 / 16, rel=0.05)


class PlainTransformer(nn.Module):
    """Blocks of torch over rows; without normalization its layers are taken out."""

    def __init__(self, width: int, depth: int, normalized: bool):
        super().__init__()
        self.embedding = nn.Linear(2 * SIDE, width)
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, 4, 2 * width, 0.0, batch_first=True, norm_first=True
                )
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)
        if not normalized:
            self.norm = nn.Identity()
            for block in self.blocks:
                block.norm1 = block.norm2 = nn.Identity()
        place, wave = torch.arange(SIDE), torch.arange(width // 2)
        angle = place.unsqueeze(1) / 10_000 ** (2 * wave / width)
        self.code = torch.zeros(SIDE, width)
        self.code[:, 0::2], self.code[:, 1::2] = angle.sin(), angle.cos()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = images.transpose(1, 2).flatten(2)
        x = self.blocks(self.embedding(rows) + self.code)
        return self.head(self.norm(x).mean(dim=1))


class TestTransformer:
    @pytest.mark.parametrize("normalized", [False, True])
    def test_equals_the_blocks_of_torch(self, normalized: bool) -> None:
        own = built("transformer", "layer" if normalized else "none", initialization="torch")
        plain = PlainTransformer(8, 2, normalized).double()
        own_maps = linear_maps(own)
        with torch.no_grad():
            for name, part in (("1", plain.embedding), (list(own_maps)[-1], plain.head)):
                part.weight.copy_(own_maps[name].weight)
                part.bias.copy_(own_maps[name].bias)
            for block, attention, mlp in zip(plain.blocks, own[3:7:2], own[4:8:2], strict=True):
                three = [getattr(attention.branch[1], n) for n in ("query", "key", "value")]
                block.self_attn.in_proj_weight.copy_(torch.cat([m.weight for m in three]))
                block.self_attn.in_proj_bias.copy_(torch.cat([m.bias for m in three]))
                others = block.self_attn.out_proj, block.linear1, block.linear2
                ours = attention.branch[1].out, mlp.branch[1], mlp.branch[3]
                for theirs, mine in zip(others, ours, strict=True):
                    theirs.weight.copy_(mine.weight)
                    theirs.bias.copy_(mine.bias)
        loss, gradients = loss_and_gradients(own)
        expected, found = loss_and_gradients(plain)
        # the code of positions is given in single precision
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(
            gradients["1.weight"], found["embedding.weight"], rtol=1e-5, atol=1e-7
        )
        queries = torch.cat(
            [gradients[f"3.branch.1.{n}.weight"] for n in ("query", "key", "value")]
        )
        torch.testing.assert_close(
            queries, found["blocks.0.self_attn.in_proj_weight"], rtol=1e-5, atol=1e-7
        )
        torch.testing.assert_close(
            gradients["6.branch.3.weight"], found["blocks.1.linear2.weight"], rtol=1e-5, atol=1e-7
        )

    def test_normalized_queries_and_keys(self) -> None:
        attention = built("transformer_qk", "layer")[3].branch[1]
        x = torch.randn(5 * SIDE, 8, generator=torch.Generator().manual_seed(2)).double()

        def heads(part: nn.Module) -> torch.Tensor:
            return part(x).view(5, SIDE, 4, 2).transpose(1, 2)

        query, key = (F.layer_norm(heads(p), [2]) for p in (attention.query, attention.key))
        seen = F.scaled_dot_product_attention(query, key, heads(attention.value))
        expected = attention.out(seen.transpose(1, 2).reshape(5 * SIDE, 8))
        torch.testing.assert_close(attention(x), expected)

    @pytest.mark.parametrize(
        ("model", "bounded"), [("transformer", False), ("transformer_qk", True)]
    )
    def test_logits_grow_with_queries_unless_these_are_normalized(
        self, model: str, bounded: bool
    ) -> None:
        attention = built(model, "layer", width=16)[3].branch[1]
        x = torch.randn(SIDE, 16, generator=torch.Generator().manual_seed(2)).double()

        def largest() -> float:
            query, key = (
                norm(attention.split(part(x)))
                for norm, part in (
                    (attention.query_norm, attention.query),
                    (attention.key_norm, attention.key),
                )
            )
            return (query @ key.mT).abs().max().item() / 2

        before = largest()
        with torch.no_grad():
            attention.query.weight.mul_(100)
        # sqrt(d) for d numbers a head
        assert (largest() <= 2) == bounded
        assert bounded or largest() == pytest.approx(100 * before)

    def test_positions_are_told_apart(self) -> None:
        code = Positions(28, 48).code
        distances = torch.cdist(code, code) + 100 * torch.eye(28)
        assert code.square().mean().item() == pytest.approx(0.5)
        assert distances.min() > 0.5

    @pytest.mark.parametrize(("normalization", "square"), [("none", 9), ("layer", 1)])
    def test_what_an_mlp_adds_at_initialization(self, normalization: str, square: int) -> None:
        x = 3 * torch.randn(40, 48, generator=torch.Generator().manual_seed(2)).double()
        squares = []
        for seed in range(12):
            block = built("transformer", normalization, seed=seed, gain=2**0.25, width=48)[4]
            squares.append(block.branch(x).square().mean().item())
        # gain^4 times the mean square that the two linear maps take
        assert torch.tensor(squares).mean().item() == pytest.approx(2 * square, rel=0.1)

    def test_a_width_that_heads_do_not_divide_is_impossible(self, toy: Dataset) -> None:
        row = train(Trial(dataset=toy, model="transformer", width=10), device="cpu").trials.iloc[0]
        assert row["status"] == "skipped"
        assert "4 heads needs a width divisible by 4, but got 10" in row["status_reason"]


EVERY = [
    (model, normalization)
    for model in ("rnn", "resnet", "transformer", "transformer_qk")
    for normalization in NORMALIZATIONS
    if not (model != "resnet" and normalization in ("batch", "ghost_batch", "instance"))
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize(("model", "normalization"), EVERY)
def test_networks_together_equal_each_alone(
    model: str, normalization: str, trials: int, training: bool
) -> None:
    networks = [
        built(model, normalization, seed=seed, width=32).train(training) for seed in range(trials)
    ]
    tensors = [dict(n.named_parameters()) | dict(n.named_buffers()) for n in networks]
    together = {k: torch.stack([t[k].detach() for t in tensors]) for k in tensors[0]}
    leaves = {k: t.requires_grad_() for k, t in together.items() if t.is_floating_point()}
    images = torch.stack([IMAGES + k for k in range(trials)])
    # running statistics are followed in place
    buffers = {k: together[k].detach().clone() for k, _ in networks[0].named_buffers()}
    found = forward(networks[0], {**together, **buffers}, images)
    names = [name for name, _ in networks[0].named_parameters()]
    gradients = torch.autograd.grad(found.square().sum(), [leaves[name] for name in names])
    for k, network in enumerate(networks):
        expected = network(images[k])
        torch.testing.assert_close(found[k], expected)
        alone = torch.autograd.grad(expected.square().sum(), list(network.parameters()))
        torch.testing.assert_close([g[k] for g in gradients], list(alone))


@pytest.mark.parametrize(
    "more",
    [{"precision": "bfloat16"}, {"batch_policy": "norm_test"}, {"batch_policy": "noise_scale"}],
    ids=lambda more: "-".join(more.values()),
)
@pytest.mark.parametrize("model", ["rnn", "resnet", "transformer_qk"])
def test_trains_with_what_looks_at_more_than_a_batch_s_gradient(
    toy: Dataset, model: str, more: dict[str, str]
) -> None:
    common = {"model": model, "width": 8, "normalization": "rms", "learning_rate": 0.01}
    trials = [Trial(dataset=toy, updates=4, seed=seed, **common | more) for seed in range(2)]
    record = train(trials, device="cpu", checkpoints=4)
    assert record.trials["status"].isin(["stable", "stalled"]).all()
    assert record.history["validation_loss"].lt(10).all()


@pytest.mark.parametrize("model", ["rnn", "transformer_qk"])
def test_sharpness_is_the_largest_curvature(toy: Dataset, model: str) -> None:
    common = {"model": model, "width": 4, "precision": "float64", "init_gain": 0.5}
    trials = [Trial(dataset=toy, epochs=0, seed=seed, **common) for seed in range(2)]
    record = train(trials, device="cpu", checkpoints=4, sharpness=True)
    network = built(model, shape=(1, 4, 4), seed=1, gain=0.5, width=4)
    layout, buffers = Layout.of(network), dict(network.named_buffers())
    splits = load(toy)
    images = (splits.train_images.double() - splits.mean) / splits.std

    def loss(vector: torch.Tensor) -> torch.Tensor:
        logits = functional_call(network, {**layout.split(vector), **buffers}, (images,))
        return F.cross_entropy(logits, splits.train_labels)

    vector = layout.join(dict(network.named_parameters())).detach()
    hessian = torch.func.jacrev(torch.func.grad(loss))(vector)
    largest = torch.linalg.eigvalsh(hessian).abs().max().item()
    # thirty iterations come near, and not beyond
    assert 0.95 * largest < abs(record.history["sharpness"].iloc[1]) < 1.0001 * largest


class TestUnrectified:
    @pytest.mark.parametrize("initialization", [n for n, i in INITIALIZATIONS.items() if i.draw])
    def test_is_drawn_as_the_classifier_times_the_gain(self, initialization: str) -> None:
        first, second = nn.Linear(64, 64), nn.Linear(64, 64)
        network = nn.Sequential(unrectified(first), second, nn.Linear(64, 2))
        initialize(network, INITIALIZATIONS[initialization], 3.0, generator())
        drawn = INITIALIZATIONS[initialization].draw(first.weight, False, 1.0, generator())
        assert torch.equal(first.weight, 3 * drawn[0])
        assert torch.equal(first.bias, drawn[1])

    def test_he_gives_up_the_2_for_relu(self) -> None:
        first, second = nn.Linear(300, 300), nn.Linear(300, 300)
        network = nn.Sequential(unrectified(first), second, nn.Linear(300, 2))
        initialize(network, INITIALIZATIONS["he"], 1.5, generator())
        assert first.weight.var().item() == pytest.approx(1.5**2 / 300, rel=0.02)
        assert second.weight.var().item() == pytest.approx(2 * 1.5**2 / 300, rel=0.02)

    def test_a_shared_weight_is_drawn_once(self) -> None:
        first, second, other = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        second.weight = first.weight
        initialize(nn.Sequential(first, second, nn.Linear(4, 2)), HE, 1.0, generator())
        initialize(nn.Sequential(other, nn.Linear(4, 2)), HE, 1.0, generator())
        assert torch.equal(first.weight, other.weight)


HE = INITIALIZATIONS["he"]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_a_chain_may_hold_a_part_that_shares_tensors_within() -> None:
    recurrent = built("rnn")
    assert is_chain(recurrent)
    assert not is_chain(nn.Sequential(recurrent[0], recurrent))


@pytest.mark.parametrize("normalization", ["batch", "ghost_batch"])
@pytest.mark.parametrize("model", ["rnn", "transformer"])
def test_statistics_over_a_batch_are_impossible_and_say_why(model: str, normalization: str) -> None:
    with pytest.raises(ImpossiblePair, match=f"^{normalization} normalization has statistics over"):
        built(model, normalization)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # digits of 8 rows: the input, seven steps, the classifier
        ("rnn", 8 * 8 * 128 + 7 * 128**2 + 1_280),
        # a linear map for each of 8 tokens
        ("transformer", 8 * (8 * 48 + 2 * (4 * 48**2 + 2 * 48 * 96)) + 480),
    ],
)
def test_multiply_adds_are_those_of_all_steps_and_tokens(model: str, expected: int) -> None:
    assert multiply_adds(resolve(Trial(model=model))) == expected
    wider = dataclasses.replace(Trial(model=model), width=96)
    assert multiply_adds(resolve(wider)) != expected


@pytest.mark.parametrize(
    ("model", "together"), [("mlp", 32), ("rnn", 32), ("transformer", 8), ("transformer_qk", 8)]
)
def test_as_many_train_together_as_were_measured_to_pay(model: str, together: int) -> None:
    assert trained_together(resolve(Trial(model=model)), torch.device("cpu")) == together
