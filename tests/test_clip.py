"""Clipping in any loop: the same numbers as in the engine, and nothing else is touched."""

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmark import Trial, clip
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.names import UnknownName
from benchmark.records import Range
from benchmark.strategies.clipping import CLIPPINGS, Clipping

STEPS, BATCH = 130, 8
"""More than any warm-up but one, so that every rule acts."""
STEPS_OF = {"rewind": 240}
"""More where there is nothing to go back to before."""


ACTING = {"update_rms": 0.01, "rewind": 2.0}
"""Thresholds of rules that do not act at their defaults here."""


def batches(steps: int = STEPS) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (steps, B, 1, 8, 8), a few of them huge, and labels (steps, B)."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(steps, BATCH, 1, 8, 8, generator=generator, dtype=torch.float64)
    images[::17] *= 30
    return images, torch.randint(10, (steps, BATCH), generator=generator)


def plain_loop(
    model: nn.Module, optimizer: torch.optim.Optimizer, guard: clip.Guard, steps: int = STEPS
) -> None:
    for images, labels in zip(*batches(steps), strict=True):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        guard.observe(loss)
        optimizer.step()


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
}


@pytest.mark.parametrize("name", list(CLIPPINGS))
def test_a_loop_gets_the_engines_numbers(name: str) -> None:
    trial = resolve(
        Trial(
            clipping=name,
            clipping_threshold=ACTING.get(name),
            optimizer="momentum",
            learning_rate=0.05,
            precision="float64",
            init_gain=2.0,
            seed=1,
        )
    )
    program = Program(parts_of(trial), trial, torch.device("cpu"))
    population = program.start([trial])
    model = copy.deepcopy(program.model).double()
    weights = program.layout.split(population.parameters[0])
    model.load_state_dict({k: v.clone() for k, v in weights.items()}, strict=False)

    norms, flags = [], []
    steps = STEPS_OF.get(name, STEPS)
    images, labels = batches(steps)
    for k in range(steps):
        population, _, norm, clipped = program.step(
            population, images[k][None], labels[k][None], torch.ones((), dtype=torch.float64)
        )
        norms.append(norm.item())
        flags.append(bool(clipped))

    made = OPTIMIZERS["momentum"](model.parameters())
    guard = clip.attach(made, name, ACTING.get(name), model=model)
    plain_loop(model, made, guard, steps)
    own = program.layout.join(dict(model.named_parameters()))
    # rounding grows over so many steps
    torch.testing.assert_close(own.detach(), population.parameters[0], rtol=1e-6, atol=1e-7)
    assert guard.log["norm"].tolist() == pytest.approx(norms, rel=1e-6)
    assert guard.log["clipped"].tolist() == flags
    assert any(flags) or name == "none", "a rule that never acts shows nothing"


HUGE = 1e20
"""A gradient whose square overflows in single precision."""


def warm(name: str) -> int:
    """Steps before a rule leaves one out or goes back."""
    return 200 if name == "rewind" else 64


def gradients_of(size: int, first: int) -> torch.Tensor:
    """Gradients (N, D) that both types can hold: ``first`` ordinary ones, a huge one, another."""
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randn(first + 2, size, generator=generator)
    drawn[first] *= HUGE
    return drawn.bfloat16().float()


@functools.cache
def engine_meets_a_huge_gradient(name: str) -> tuple[Program, list[torch.Tensor], list[bool]]:
    """The engine's program, its parameters before, after the huge step and after the last, flags.

    The rate is 0 in the steps that only a rule's memory needs.
    """
    trial = resolve(Trial(clipping=name, optimizer="sgd", learning_rate=0.5, seed=1))
    program = Program(parts_of(trial), trial, torch.device("cpu"))
    population = program.start([trial])
    first = population.parameters[0].bfloat16().float()
    population.parameters[0] = first
    weights, flags = [first.clone()], []
    for k, gradient in enumerate(gradients_of(program.layout.size, warm(name))):
        program._gradient = lambda *_, gradient=gradient: (torch.ones(1), gradient[None])
        rate = torch.tensor(float(k >= warm(name)))
        population, _, _, clipped = program.step(population, *[torch.empty(0)] * 2, rate)
        weights += [population.parameters[0].clone()] * (k >= warm(name))
        flags.append(bool(clipped))
    return program, weights, flags


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize("name", list(CLIPPINGS))
def test_a_huge_gradient_is_clipped_as_in_the_engine(
    name: str, dtype: torch.dtype, rtol: float
) -> None:
    program, (before, *expected), flags = engine_meets_a_huge_gradient(name)
    model = copy.deepcopy(program.model).to(dtype)
    model.load_state_dict({k: v.to(dtype) for k, v in program.layout.split(before).items()})
    named = dict(model.named_parameters())
    # in another order than the engine's
    groups = [{"params": [p for n, p in named.items() if n.endswith(end)]} for end in ("s", "t")]
    optimizer = torch.optim.SGD(groups, lr=0.0)
    guard = clip.attach(optimizer, name, model=model)
    before_it = warm(name)
    for k, gradient in enumerate(gradients_of(program.layout.size, before_it)):
        for n, piece in program.layout.split(gradient).items():
            named[n].grad = piece.to(dtype)
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * (k >= before_it)
        guard.observe(1.0)
        optimizer.step()
        if k >= before_it:
            found = program.layout.join(named).detach().float()
            torch.testing.assert_close(found, expected[k - before_it], rtol=rtol, atol=rtol)
    assert all(group["params"] for group in groups)
    assert guard.log["norm"].iloc[before_it] > HUGE
    clipped = guard.log["clipped"].tolist()
    # an update at the rate 0 is none
    same = before_it * (name == "update_rms")
    assert clipped[same:] == flags[same:]
    assert clipped[before_it] or name == "none"


@pytest.mark.parametrize("name", ["global_norm", "per_layer_norm", "normalized"])
@pytest.mark.parametrize("size", [1e-25, 1e18, 3e38])
def test_norms_are_right_where_squares_are_not(name: str, size: float) -> None:
    weight = nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    guard = clip.attach(optimizer, name, threshold=0.01)
    weight.grad = torch.full_like(weight, size)
    optimizer.step()
    assert guard.log["norm"].tolist() == pytest.approx([2 * size])
    expected = 0.01 * min(1.0, 2 * size / (2 * size + 1e-8 * (name == "normalized")))
    if size > 1:
        assert weight.tolist() == pytest.approx([-expected / 2] * 4, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["update_rms", "global_norm", "per_layer_norm", "zclip"])
def test_a_guard_with_nothing_to_do_changes_no_bit(name: str, dtype: torch.dtype) -> None:
    models = [network().to(dtype) for _ in range(2)]
    optimizers = [torch.optim.SGD(m.parameters(), lr=1e-2, momentum=0.9) for m in models]
    guard = clip.attach(optimizers[0], name, CLIPPINGS[name].threshold.high)
    images, labels = batches(12)
    for k in range(12):
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[k].to(dtype) / 30), labels[k])
            loss.backward()
            optimizer.step()
    assert not guard.log["clipped"].any()
    assert torch.equal(weights_of(models[0]), weights_of(models[1]))


def test_of_an_update_only_the_tensors_that_are_clipped_are_changed() -> None:
    small, large = nn.Parameter(torch.full((3,), 0.3)), nn.Parameter(torch.full((3,), 0.3))
    optimizer = torch.optim.SGD([small, large], lr=0.1)
    clip.attach(optimizer, "update_rms", threshold=0.5)
    small.grad, large.grad = torch.full((3,), 0.3), torch.full((3,), 3.0)
    optimizer.step()
    moved = torch.full((3,), 0.3).add_(torch.full((3,), 0.3), alpha=-0.1)
    assert torch.equal(small.detach(), moved)
    assert large.tolist() == pytest.approx([0.3 - 0.1 * 0.5] * 3)


def added(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> None:
    optimizer.add_param_group({"params": [weight], "lr": 1.0})


def unfrozen(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> None:
    weight.requires_grad_(True)


def changing(name: str, change: Callable) -> tuple[torch.optim.Optimizer, nn.Parameter, clip.Guard]:
    """An optimizer after one step, whose second parameter comes after it."""
    old, new = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))
    if change is unfrozen:
        new.requires_grad_(False)
    optimizer = torch.optim.SGD([old] if change is added else [new, old], lr=1.0)
    guard = clip.attach(optimizer, name, CLIPPINGS[name].threshold.low)
    old.grad = torch.full((4,), 10.0)
    optimizer.step()
    change(optimizer, new)
    old.grad, new.grad = torch.full((4,), 10.0), torch.full((4,), 10.0)
    return optimizer, new, guard


@pytest.mark.parametrize("change", [added, unfrozen])
@pytest.mark.parametrize(
    "name", ["value", "global_norm", "per_layer_norm", "update_rms", "normalized", "autoclip"]
)
def test_parameters_that_come_later_are_measured_and_clipped(name: str, change: Callable) -> None:
    optimizer, new, guard = changing(name, change)
    optimizer.step()
    norms = guard.log["norm"].tolist()
    assert norms == pytest.approx([20.0, 20.0 * 2**0.5])
    # each of its four numbers would move by ten; autoclip's limit is the first norm
    limit = 20.0 if name == "autoclip" else CLIPPINGS[name].threshold.low * 2
    assert 0 < new.detach().norm().item() <= 1.001 * limit


@pytest.mark.parametrize("name", ["global_norm", "update_rms"])
def test_a_parameter_frozen_after_its_gradient_is_clipped_with_the_others(name: str) -> None:
    optimizer, new, guard = changing(name, added)
    new.requires_grad_(False)
    optimizer.step()
    assert new.abs().max().item() < 0.1
    # and one without a gradient is no longer part of the whole
    new.grad = None
    optimizer.param_groups[0]["params"][0].grad = torch.full((4,), 10.0)
    optimizer.step()
    assert guard.log["norm"].tolist() == pytest.approx([20.0, 20.0 * 2**0.5, 20.0])


@pytest.mark.parametrize("change", [added, unfrozen])
def test_a_rule_that_remembers_each_tensor_refuses_others(change: Callable) -> None:
    optimizer, new, _ = changing("adagc", change)
    with pytest.raises(ValueError, match=r"'adagc' .* 1 became 2, or others: `detach`") as caught:
        optimizer.step()
    assert "\n" not in str(caught.value)
    assert (new == 0).all(), "no step is taken"


def test_a_guard_is_taken_off_at_the_end_of_a_with_statement() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    weight.grad = torch.full((1,), 4.0)
    with clip.attach(optimizer, "value", 0.5) as guard:
        optimizer.step()
    weight.grad = torch.full((1,), 4.0)
    optimizer.step()
    assert weight.item() == -4.5
    assert repr(guard) == "Guard('value', threshold=0.5, steps=1)"


PAIRS_REFUSED = {
    "twice": ("global_norm", "global_norm", "acts on the gradient .*`benchmark.chain`"),
    "one kind": ("zclip", "value", "has 'zclip' attached, which acts on the gradient as 'value'"),
    "skipping last": ("global_norm", "skip_step", "'skip_step' must be attached before 'global_n"),
    "gradient last": ("update_rms", "value", "'value' must be attached before 'update_rms'"),
}


@pytest.mark.parametrize(("one", "other", "rule"), PAIRS_REFUSED.values(), ids=PAIRS_REFUSED)
def test_a_guard_that_would_see_what_another_left_is_refused(
    one: str, other: str, rule: str
) -> None:
    optimizer = OPTIMIZERS["sgd"](network().parameters())
    guard = clip.attach(optimizer, one)
    with pytest.raises(ValueError, match=rule) as caught:
        clip.attach(optimizer, other)
    assert "\n" not in str(caught.value)
    guard.detach()
    assert clip.attach(optimizer, other).clipping.name == other


def test_guards_of_each_kind_act_in_turn() -> None:
    weight = nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    kinds = {"skip_step": 6.0, "global_norm": 1.0, "update_rms": 0.1}
    guards = [clip.attach(optimizer, name, value) for name, value in kinds.items()]
    weight.grad = torch.ones(4)
    optimizer.step()
    assert weight.tolist() == pytest.approx([-0.1] * 4)
    assert guards[0].log["norm_after"].tolist() == [2.0]
    weight.grad = torch.full((4,), math.inf)
    optimizer.step()
    assert weight.tolist() == pytest.approx([-0.1] * 4)
    # nothing is left to clip of a step that is left out
    assert [guard.steps for guard in guards] == [2, 1, 1]


def logged(steps: int, **options: Any) -> clip.Guard:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    guard = clip.attach(optimizer, "none", **options)
    for k in range(steps):
        weight.grad = torch.full((1,), float(k))
        optimizer.step()
    return guard


@pytest.mark.parametrize("most", [0, 10, 300])
def test_the_log_has_as_many_of_the_latest_steps_as_were_asked_for(most: int) -> None:
    guard = logged(900, log=most)
    assert guard.log["step"].tolist() == list(range(901 - most, 901))
    assert guard.log["norm"].tolist() == list(range(900 - most, 900))
    assert guard._log.size <= 32 * (most + 512)


def test_the_log_takes_32_bytes_a_step() -> None:
    guard = logged(512)
    assert guard._log.size == 32 * 512


@pytest.mark.parametrize("log", [-1, 1.5, True, "all"])
def test_a_log_of_what_is_no_number_of_steps_is_refused(log: Any) -> None:
    with pytest.raises(ValueError, match="`log` must be a whole number >= 0 or None, but got"):
        logged(0, log=log)


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).double()


def weights_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_step_that_is_left_out_leaves_the_optimizers_state_alone() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    guard = clip.attach(optimizer, "skip_step", threshold=3.0)
    plain_loop(model, optimizer, guard, 70)
    before = weights_of(model), copy.deepcopy(optimizer.state_dict())
    gradients = [p.grad * 1e6 for p in model.parameters()]
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        p.grad = gradient
    optimizer.step()
    assert guard.log["clipped"].iloc[-1]
    assert guard.log["norm_after"].iloc[-1] == 0
    assert (weights_of(model) == before[0]).all()
    torch.testing.assert_close(optimizer.state_dict(), before[1], rtol=0, atol=0)
    # the gradients are there again for whoever reads them after the step
    assert all((p.grad == g).all() for p, g in zip(model.parameters(), gradients, strict=True))


@pytest.mark.parametrize("name", ["zclip", "adagc", "autoclip", "skip_step", "rewind"])
def test_a_checkpoint_goes_on_with_the_same_numbers(name: str) -> None:
    whole, first = network(), network()
    optimizers = [OPTIMIZERS["momentum"](m.parameters()) for m in (whole, first)]
    guards = [clip.attach(o, name, ACTING.get(name)) for o in optimizers]
    steps = STEPS_OF.get(name, STEPS)
    images, labels = batches(steps)

    def train(model, optimizer, guard, steps):
        for k in steps:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[k]), labels[k])
            loss.backward()
            guard.observe(loss)
            optimizer.step()

    train(whole, optimizers[0], guards[0], range(steps))
    train(first, optimizers[1], guards[1], range(steps - 20))
    second = network(9)
    second.load_state_dict(first.state_dict())
    optimizer = OPTIMIZERS["momentum"](second.parameters())
    optimizer.load_state_dict(optimizers[1].state_dict())
    guard = clip.attach(optimizer, name, ACTING.get(name))
    guard.load_state_dict(guards[1].state_dict())
    train(second, optimizer, guard, range(steps - 20, steps))
    assert (weights_of(second) == weights_of(whole)).all()
    assert guard.log["step"].tolist() == list(range(steps - 19, steps + 1))
    assert guard.log["clipped"].any() or name not in STEPS_OF, "nothing was gone back to"


def test_a_checkpoint_of_another_clipping_is_refused() -> None:
    guards = [
        clip.attach(OPTIMIZERS["sgd"](network().parameters()), name)
        for name in ("zclip", "global_norm")
    ]
    with pytest.raises(ValueError, match="clipping='zclip', but this guard has 'global_norm'"):
        guards[1].load_state_dict(guards[0].state_dict())


def stepped(name: str) -> clip.Guard:
    model = network()
    guard = clip.attach(OPTIMIZERS["sgd"](model.parameters()), name)
    plain_loop(model, guard._optimizer, guard, 2)
    return guard


SPOILT: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str]] = {
    "none": ("zclip", lambda state: None, "`state` must be what `state_dict` of a guard gives"),
    "a model's": ("zclip", lambda state: network().state_dict(), "but lacks clipping, threshold"),
    "no state": ("zclip", lambda state: without(state, "state"), "but lacks state: it has"),
    "steps": ("zclip", lambda state: state | {"steps": -1}, "`steps` must be a whole number >= 0"),
    "true": ("zclip", lambda state: state | {"steps": True}, "whole number >= 0, but got True"),
    "an array": ("zclip", lambda state: state | {"threshold": np.ones(2)}, "a finite number, but"),
    "long": ("zclip", lambda state: state | {"clipping": 10**400}, "`clipping` must be text"),
    "empty": ("zclip", lambda state: state | {"state": {}}, r"have \['count', 'mean', .*has \[\]"),
    "a list": ("zclip", lambda state: state | {"state": []}, "`state` must be a mapping of names"),
    "a key less": ("zclip", lambda state: spoilt(state, mean=None), "but has "),
    "a number": ("zclip", lambda state: spoilt(state, mean=1.0), "shape .. and .* but is 1.0"),
    "a count": ("zclip", lambda state: spoilt(state, count=torch.tensor(-1)), "not be negative"),
    "a shape": (
        "skip_step",
        lambda state: spoilt(state, window=torch.zeros(2)),
        r"'window' of the checkpoint must be a tensor of the shape \(2, 128\)",
    ),
}


def without(state: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in state.items() if k != key}


def spoilt(state: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The checkpoint with other values of its state, or without those that are None."""
    inner = {k: v for k, v in (state["state"] | values).items() if v is not None}
    return state | {"state": inner}


@pytest.mark.parametrize(("name", "spoil", "rule"), SPOILT.values(), ids=SPOILT.keys())
def test_a_spoilt_checkpoint_is_refused_and_changes_nothing(
    name: str, spoil: Callable[[dict[str, Any]], Any], rule: str
) -> None:
    guard = stepped(name)
    before = guard.state_dict()
    with pytest.raises(ValueError, match=rule) as caught:
        guard.load_state_dict(spoil(stepped(name).state_dict()))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert without(guard.state_dict(), "state") == without(before, "state")
    torch.testing.assert_close(guard.state_dict()["state"], before["state"], rtol=0, atol=0)
    assert len(guard.log) == 2


def test_a_checkpoint_from_before_the_first_step_is_taken() -> None:
    guard = stepped("zclip")
    guard.load_state_dict(
        clip.attach(OPTIMIZERS["sgd"](network().parameters()), "zclip").state_dict()
    )
    assert (guard.steps, guard.state_dict()["state"]) == (0, {})


@pytest.mark.parametrize("loss", [torch.ones(32), np.ones((2, 2)), torch.ones(0)])
def test_a_loss_of_every_example_is_refused(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"of the shape \(.*\): mean or sum it"):
        stepped("skip_step").observe(loss)


@pytest.mark.parametrize(
    "loss", ["a", b"x", None, {}, [1.0], object(), 1j, True, torch.tensor(True), pd.Series([[]])]
)
def test_what_is_no_loss_is_refused_in_one_line(loss: Any) -> None:
    with pytest.raises(ValueError, match="`loss` must be a single number, but got") as caught:
        stepped("skip_step").observe(loss)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loss", [1, np.float32(1.0), torch.ones(1), torch.tensor(1)])
def test_any_single_number_is_a_loss(loss: Any) -> None:
    model = network()
    guard = clip.attach(OPTIMIZERS["sgd"](model.parameters()), "skip_step")
    images, labels = batches(1)
    nn.functional.cross_entropy(model(images[0]), labels[0]).backward()
    guard.observe(loss)
    guard._optimizer.step()
    assert guard.log["loss"].tolist() == [1.0]


def test_what_a_custom_rule_gives_back_is_checked_in_a_loop_too() -> None:
    wrong = Clipping("wrong", lambda g, s, t, c: g, None, "-", "-")
    model = network()
    clip.attach(optimizer := OPTIMIZERS["sgd"](model.parameters()), wrong)
    images, labels = batches(1)
    nn.functional.cross_entropy(model(images[0]), labels[0]).backward()
    with pytest.raises(ValueError, match=r"clipping 'wrong': clip must return \(gradient, state"):
        optimizer.step()


def test_a_closure_is_clipped_after_it_made_the_gradient() -> None:
    models = network(), network()
    optimizers = [OPTIMIZERS["momentum"](m.parameters()) for m in models]
    guards = [clip.attach(o, "global_norm", threshold=0.1) for o in optimizers]
    plain_loop(models[0], optimizers[0], guards[0], 5)
    for images, labels in zip(*batches(5), strict=True):

        def closure(images=images, labels=labels):
            optimizers[1].zero_grad()
            loss = nn.functional.cross_entropy(models[1](images), labels)
            loss.backward()
            return loss

        optimizers[1].step(closure)
    assert (weights_of(models[0]) == weights_of(models[1])).all()
    assert guards[0].log.equals(guards[1].log)
    assert guards[1].log["loss"].notna().all()


def test_parameter_groups_are_clipped_together_each_at_its_own_rate() -> None:
    model = network()
    layers = [model[1].parameters(), model[3].parameters()]
    optimizer = torch.optim.SGD(
        [{"params": p, "lr": lr} for p, lr in zip(layers, (0.1, 0.0), strict=True)]
    )
    guard = clip.attach(optimizer, "update_rms", threshold=0.001)
    before = weights_of(model)
    plain_loop(model, optimizer, guard, 1)
    moved = (weights_of(model) - before).split([64 * 16, 16, 170])
    # no tensor moves by more than the rate times the threshold, root mean square
    rms = [float(part.square().mean().sqrt()) for part in moved]
    assert rms == pytest.approx([1e-4, 1e-4, 0.0])


def test_a_parameter_without_a_gradient_stays_without_one() -> None:
    model = network()
    model[1].bias.requires_grad_(False)
    unused = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = OPTIMIZERS["momentum"]([*model.parameters(), unused])
    guard = clip.attach(optimizer, "global_norm", threshold=1e-2)
    plain_loop(model, optimizer, guard, 3)
    assert unused.grad is None
    assert (unused == 1).all()
    used = [p.grad for p in model.parameters() if p.grad is not None]
    assert float(torch.cat([g.flatten() for g in used]).norm()) == pytest.approx(1e-2)


def test_what_a_scaler_unscales_is_clipped_unscaled() -> None:
    models = network().float(), network().float()
    optimizers = [OPTIMIZERS["sgd"](m.parameters()) for m in models]
    guards = [clip.attach(o, "global_norm", threshold=0.1) for o in optimizers]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for images, labels in zip(*batches(4), strict=True):
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images.float()), labels)
            if optimizer is optimizers[1]:
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            else:
                loss.backward()
                optimizer.step()
    norms = [guard.log["norm"].tolist() for guard in guards]
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)
    torch.testing.assert_close(weights_of(models[1]), weights_of(models[0]))


def test_half_precision_gradients_have_a_finite_norm() -> None:
    weight = nn.Parameter(torch.zeros(10_000, dtype=torch.float16))
    weight.grad = torch.full_like(weight, 1000.0)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    guard = clip.attach(optimizer, "global_norm", threshold=1.0)
    optimizer.step()
    assert guard.log["norm"].tolist() == [pytest.approx(1e5, rel=1e-4)]
    assert weight.tolist() == pytest.approx([-0.01] * 10_000, rel=1e-3)


def test_detached_it_acts_no_more() -> None:
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    guard = clip.attach(optimizer, "global_norm", threshold=1e-2)
    plain_loop(model, optimizer, guard, 2)
    guard.detach()
    plain_loop(model, optimizer, guard, 2)
    assert len(guard.log) == 2
    assert guard.log["threshold"].tolist() == [1e-2, 1e-2]


def test_the_log_is_whole_however_long() -> None:
    guard = logged(600)
    assert guard.log["step"].tolist() == list(range(1, 601))
    assert guard.log["norm"].tolist() == list(range(600))


def test_the_log_has_the_loss_where_it_was_told() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    guard = clip.attach(optimizer, "global_norm")
    loss = model(torch.ones(4, 1, 8, 8, dtype=torch.float64)).square().mean()
    loss.backward()
    optimizer.step()
    guard.observe(loss)
    optimizer.step()
    assert guard.log["loss"].tolist() == pytest.approx([math.nan, loss.item()], nan_ok=True)


def test_a_custom_clipping_is_attached_as_it_is() -> None:
    def halve(gradient, state, threshold, context):
        return gradient * threshold, state, context.norm > 0

    halving = Clipping("halving", halve, Range(0.1, 1.0, default=0.5), "-", "-")
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    clip.attach(optimizer, halving)
    optimizer.step()
    assert weight.tolist() == [-0.5, -0.5]


def sparse() -> None:
    embedding = nn.Embedding(4, 2, sparse=True)
    optimizer = torch.optim.SGD(embedding.parameters(), lr=1.0)
    clip.attach(optimizer, "global_norm")
    embedding(torch.tensor([1])).sum().backward()
    optimizer.step()


def attached(clipping: str, threshold: float | None = None) -> clip.Guard:
    return clip.attach(OPTIMIZERS["sgd"](network().parameters()), clipping, threshold)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: attached("globl_norm"), UnknownName, "global_norm"),
        (lambda: attached("global_norm", -1.0), ValueError, r"in 0.01..100, but got -1"),
        (lambda: attached("global_norm", math.nan), ValueError, "but got nan"),
        (lambda: attached("global_norm", "a"), ValueError, r"in 0.01..100, but got 'a'"),
        (lambda: attached("global_norm", [1.0]), ValueError, r"in 0.01..100, but got \[1.0\]"),
        (lambda: attached("global_norm", True), ValueError, r"in 0.01..100, but got True"),
        (lambda: attached(3), ValueError, "`clipping` must be a name .* but got 3"),
        (lambda: clip.attach(network(), "value"), ValueError, "`optimizer` must be one of torch's"),
        (
            lambda: clip.attach(torch.optim.SGD(network().parameters()), "adaptive", model="x"),
            ValueError,
            "`model` must be a torch module, but got 'x'",
        ),
        (lambda: attached("none", 1.0), ValueError, "'none' takes no threshold, but got 1.0"),
        (lambda: attached("adaptive"), ValueError, "pass model="),
        (
            lambda: clip.attach(torch.optim.LBFGS(network().parameters()), "value"),
            ValueError,
            "LBFGS evaluates its closure several times",
        ),
        (
            lambda: clip.attach(
                torch.optim.SGD(network().parameters()), "adaptive", model=network()
            ),
            ValueError,
            "4 of the optimizer's parameters are not the model's",
        ),
        (sparse, ValueError, "sparse gradients cannot be clipped"),
    ],
    ids=[
        *("name", "range", "nan", "text", "list", "flag", "no clipping", "no optimizer"),
        *("no model", "no threshold", "head", "closure", "another model", "sparse"),
    ],
)
def test_what_cannot_be_clipped_is_refused_in_one_line(call, error, message) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
