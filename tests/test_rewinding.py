"""Going back to an earlier state: when, to which, and what goes back with it."""

import copy
import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TOY
from networks import DROPPING
from test_graphs import check_graphs
from torch import Tensor, nn

from benchmark import Trial, clip, train
from benchmark.contracts import BrokenContract, check
from benchmark.data import Dataset
from benchmark.engine.networks.one_by_one import RANDOM_STATE
from benchmark.engine.steps import graphs
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.records import Range
from benchmark.strategies.clipping import (
    CLIPPINGS,
    COMPARED,
    Clipped,
    Clipping,
    Context,
    State,
    rewinding,
    skipping,
)
from benchmark.strategies.optimizers import OPTIMIZERS

CALM, TROUBLE = 1.0, 100.0
ONE = torch.ones(())


def program_of(**chosen: Any) -> tuple[Program, Trial]:
    common: dict[str, Any] = {"dataset": TOY, "clipping": "rewind", "precision": "float64"}
    trial = resolve(Trial(**common | {"width": 16, "batch_size": 16} | chosen))
    return Program(parts_of(trial), trial, torch.device("cpu")), trial


def walk(losses: Sequence[float]) -> tuple[list[int], list[bool]]:
    """How many steps the state of one trial has behind it after each loss, and which were undone.

    Every gradient is one and so is the rate: a parameter tells how many were taken.
    """
    program, trial = program_of(optimizer="sgd", learning_rate=1.0)
    population = program.start([trial])
    first = population.parameters.clone()
    gradient = torch.ones_like(first)
    taken, undone = [], []
    for loss in losses:
        told = torch.tensor([loss], dtype=torch.float64)
        program._gradient = lambda *_, told=told: (told, gradient)  # type: ignore[method-assign]
        population, _, _, flags = program.step(population, first, first, ONE.double())
        steps = first - population.parameters
        assert (steps - steps[0, 0]).abs().max() < 1e-9, "all parameters go back together"
        taken.append(round(float(steps[0, 0])))
        undone.append(bool(flags))
    return taken, undone


@pytest.mark.parametrize(
    ("before", "back_to"),
    [(200, 100), (250, 100), (299, 100), (300, 200), (399, 200), (400, 300)],
)
def test_it_goes_back_at_least_a_hundred_steps_and_less_than_two(before: int, back_to: int) -> None:
    taken, undone = walk([*[CALM] * before, TROUBLE, CALM])
    assert taken[before - 1 :] == [before, back_to, back_to + 1]
    assert undone == [*[False] * before, True, False]


def test_nothing_is_undone_within_the_declared_warm_up() -> None:
    warm_up = CLIPPINGS["rewind"].warm_up
    taken, undone = walk([*[CALM] * (warm_up - 1), TROUBLE])
    assert (taken[-1], undone[-1]) == (warm_up, False)
    assert walk([*[CALM] * warm_up, TROUBLE])[1][-1]


def test_what_is_skipped_after_it_leaves_the_state_where_it_is() -> None:
    taken, undone = walk([*[CALM] * 250, *[TROUBLE] * 5, CALM])
    assert taken[250:] == [*[100] * 5, 101]
    assert undone[250:] == [*[True] * 5, False]


@pytest.mark.parametrize(
    ("later", "back_to"),
    # what was taken since the first return is forgotten, and two new snapshots have to be there
    [(1, 100), (99, 100), (100, 100), (199, 100), (200, 200), (299, 200), (300, 300)],
)
def test_trouble_that_comes_again(later: int, back_to: int) -> None:
    taken, undone = walk([*[CALM] * 250, TROUBLE, *[CALM] * later, TROUBLE])
    assert taken[-2:] == [100 + later, back_to]
    assert undone[-1]


def test_a_loss_that_moves_up_for_good_is_accepted_after_a_hundred_returns() -> None:
    taken, undone = walk([*[CALM] * 250, *[TROUBLE] * 400, 100 * TROUBLE])
    # and from then on it is the usual
    assert undone[250:] == [*[True] * 100, *[False] * 300, True]
    assert taken[-2] == 100 + 300


def test_a_rate_that_ends_in_a_spike_each_time_does_not_go_on_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a spike 30 steps after each return, from the same snapshot
    monkeypatch.setattr(rewinding, "MOST_RETURNS", 10)
    taken, undone = walk([*[CALM] * 250, *[*[CALM] * 30, TROUBLE] * 16])
    assert undone.index(True) == 280
    assert sum(undone) == 10
    assert taken[-1] == 100 + 6 * 31


def test_the_window_is_that_of_the_snapshot() -> None:
    # a level that falls: what was usual at the snapshot is an outlier among the last 128
    levels = [3.0] * 150 + [1.0] * 190
    _, undone = walk([*levels, TROUBLE, *[3.0] * 20])
    assert undone[len(levels) :] == [True, *[False] * 20]


def test_counts_by_hand() -> None:
    counts = {"steps": torch.tensor([99, 100, 250, 250]), "returns": torch.tensor([100, 100, 3, 3])}
    flagged = torch.tensor([True, True, True, False])
    finite = torch.tensor([True, False, True, True])
    returns, kept, after = rewinding.course(flagged, finite, counts)
    assert returns.tolist() == [False, True, True, False]
    assert kept.tolist() == [True, False, False, False]
    assert after["steps"].tolist() == [100, 0, 0, 251]
    assert after["returns"].tolist() == [100, 101, 4, 3]


def batches(width: int, steps: int) -> tuple[Tensor, Tensor]:
    """Images (steps, K, 16, 1, 4, 4) and labels (steps, K, 16), random."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(steps, width, 16, 1, 4, 4, generator=generator, dtype=torch.float64)
    return images, torch.randint(0, 3, (steps, width, 16), generator=generator)


def stepped(
    program: Program, population: Population, steps: int, spiking: Sequence[int] = ()
) -> tuple[list[Population], list[list[bool]]]:
    """Each state, and who was undone; of those ``spiking`` the last loss is a thousand times it."""
    gradient, seen, flags = program._gradient, [], []
    images, labels = batches(len(population.parameters), steps)
    for k in range(steps):
        # running statistics are updated in place
        kept = {name: v.clone() for name, v in population.buffers.items()}
        population = dataclasses.replace(population, buffers=kept)
        if k == steps - 1:
            program._gradient = functools.partial(spike, gradient, spiking)  # type: ignore[method-assign]
        population, *_, flagged = program.step(population, images[k], labels[k], ONE.double())
        seen.append(population)
        flags.append(flagged.tolist())
    program._gradient = gradient  # type: ignore[method-assign]
    return seen, flags


def spike(gradient: Any, who: Sequence[int], *given: Any) -> tuple[Tensor, Tensor]:
    loss, found = gradient(*given)
    factor = torch.ones_like(loss)
    factor[list(who)] = 1000.0
    return loss * factor, found


@pytest.mark.parametrize("normalization", ["none", "batch"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "schedule_free_sgd"])
def test_all_goes_back_of_one_trial_and_nothing_of_the_other(
    optimizer: str, normalization: str
) -> None:
    program, trial = program_of(
        optimizer=optimizer, normalization=normalization, learning_rate=0.01
    )
    start = program.start([dataclasses.replace(trial, seed=seed) for seed in range(2)])
    seen, flags = stepped(program, start, 251, [1])
    assert flags == [*[[False, False]] * 250, [False, True]]
    before, then, after = seen[249], seen[99], seen[250]
    for field in ("parameters", "clipping", "optimizer", "buffers"):
        pairs = [getattr(p, field) for p in (after, then, before)]
        named = [p if isinstance(p, dict) else {"": p} for p in pairs]
        for name, value in named[0].items():
            assert torch.equal(value[1], named[1][name][1]), f"{field} {name}"
        if field != "buffers":
            assert any(not torch.equal(v[0], named[2][k][0]) for k, v in named[0].items())
    assert bool(after.buffers) == (normalization == "batch")
    # and the memory of its own is what goes on
    again, _ = stepped(program, after, 1)
    assert torch.equal(again[0].snapshots["older.parameters"][1], then.parameters[1])


def stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots every four steps, and a rule that knows after eight what is usual."""
    monkeypatch.setattr(rewinding, "SNAPSHOT_EVERY", 4)
    monkeypatch.setattr(rewinding, "FIRST_RETURN", 8)
    monkeypatch.setattr(skipping, "FIRST_STEPS", 8)


OFTEN = dataclasses.replace(
    CLIPPINGS["rewind"], name="often", threshold=Range(-2.0, 10.0, default=-1.0, log=False)
)
"""A rule that takes one step in seven or so for trouble, of losses that fall."""
SHORT: dict[str, Any] = {"clipping": OFTEN, "updates": 36}


@pytest.mark.parametrize(
    "arm",
    [
        {"optimizer": "adam"},
        {"optimizer": "momentum", "normalization": "batch"},
        {"model": "cnn", "normalization": "batch"},
        {"batch_policy": "doubling", "batch_size": 8},
        {"schedule": "cosine"},
    ],
    ids=lambda arm: "-".join(map(str, arm.values())),
)
def test_together_as_alone(
    toy: Dataset, arm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stretched(monkeypatch)
    common: dict[str, Any] = {"dataset": toy, "width": 16, "batch_size": 16, **SHORT, **arm}
    trials = [
        Trial(**common, precision="float64", learning_rate=rate, seed=seed)
        for seed, rate in enumerate((0.01, 0.05, 0.2))
    ]
    together, alone = (
        train(trials, device="cpu", checkpoints=4, together=width) for width in (3, 1)
    )
    assert alone.trials["clipped_fraction"].between(0.05, 0.5).all()
    for table in ("trials", "history"):
        pair = [getattr(r, table).select_dtypes("number") for r in (together, alone)]
        columns = [c for c in pair[0] if c not in ("seconds", "trials_together")]
        numbers = (t[columns].to_numpy(float, na_value=np.nan) for t in pair)
        np.testing.assert_allclose(*numbers, rtol=1e-7, err_msg=table)


@pytest.mark.parametrize(("model", "count"), [("mlp", 3), ("cnn", 1)])
def test_a_graph_goes_back_as_the_step_does(
    model: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretched(monkeypatch)
    graphs.OUTCOMES.clear()
    chosen: dict[str, Any] = {"model": model, "normalization": "batch", **SHORT}
    common: dict[str, Any] = {"dataset": TOY, "width": 16, "batch_size": 24, "learning_rate": 0.1}
    trials = [Trial(**common | chosen, seed=seed) for seed in range(count)]
    check_graphs(trials)
    record = train(trials, device="cpu", checkpoints=4)
    assert record.trials["clipped_fraction"].gt(0).all()


def test_a_row_says_how_often_and_from_when_on(toy: Dataset) -> None:
    trial = Trial(
        dataset=toy, clipping="rewind", updates=500, disturbance="bad_batch", learning_rate=0.01
    )
    row = train([trial], device="cpu", checkpoints=4).trials.iloc[0]
    assert row["warm_up_steps"] == 200
    assert row["clipped_fraction"] * 500 >= 1
    assert row["status"] == "stable"


def test_random_numbers_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stretched(monkeypatch)
    program, trial = program_of(**DROPPING)
    start = program.start([trial])
    seen, flags = stepped(program, start, 21, [0])
    assert flags[-1] == [True]
    drawn = [population.buffers[RANDOM_STATE] for population in seen]
    assert all(not torch.equal(drawn[-1], earlier) for earlier in drawn[:-1])


def test_an_overflow_of_a_scaled_loss_is_no_reason_to_go_back() -> None:
    program, trial = program_of(precision="float16_dynamic", optimizer="sgd", learning_rate=1e-3)
    population = program.start([trial])
    ones = torch.ones_like(population.parameters)

    def step(value: float) -> bool:
        nonlocal population
        program._gradient = lambda *_: (torch.ones(1), value * ones)  # type: ignore[method-assign]
        population, _, _, flags = program.step(population, ones, ones, ONE)
        return bool(flags)

    assert not any(step(1.0) for _ in range(250))
    before = population
    assert not step(math.inf)
    assert torch.equal(population.parameters, before.parameters)
    assert all(torch.equal(population.snapshots[k], v) for k, v in before.snapshots.items())
    assert step(1e3)
    assert torch.equal(population.parameters, before.snapshots["older.parameters"])


@pytest.mark.parametrize("name", [name for name in CLIPPINGS if name != "rewind"])
def test_no_other_clipping_keeps_snapshots(name: str) -> None:
    program, trial = program_of(clipping=name)
    assert program.start([trial]).snapshots == {}


def test_studies_of_other_questions_do_not_compare_it() -> None:
    assert "rewind" not in COMPARED
    assert {"none", "global_norm", "skip_step"} <= set(COMPARED)


def always_at_the_tenth(g: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    steps = state["steps"] + 1
    return g, {"steps": steps}, steps % 10 == 0


def no_steps(layout: Any, like: Tensor) -> State:
    return {"steps": torch.zeros((), dtype=torch.long, device=like.device)}


def test_a_custom_rule_goes_back_too_and_to_its_own_memory() -> None:
    rule = Clipping(
        "tenth", always_at_the_tenth, None, "-", "-", init=no_steps, stage="rewind", warm_up=200
    )
    program, trial = program_of(clipping=rule, learning_rate=0.01)
    seen, flags = stepped(program, program.start([trial]), 221)
    # flagged at every tenth step, but undone from the 201st on; then from the tenth on of 100
    assert [k + 1 for k, (flag,) in enumerate(flags) if flag] == [210, 220]
    assert torch.equal(seen[209].parameters, seen[99].parameters)
    assert seen[209].clipping["steps"].tolist() == [100]


# ------------------------------------------------------------------------------- in any loop


def counting(*sizes: int, **options: Any) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    """Parameters that tell how many steps of gradient one they have behind them."""
    weights = [nn.Parameter(torch.zeros(size)) for size in sizes]
    groups = [{"params": [w]} for w in weights]
    return weights, torch.optim.SGD(groups, lr=1.0, **options)


def take(
    weights: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    guard: clip.Guard,
    losses: Sequence[float],
    size: float = 1.0,
) -> None:
    for loss in losses:
        for w in weights:
            w.grad = torch.full_like(w, size)
        guard.observe(loss)
        optimizer.step()


def test_a_loop_goes_back_in_place() -> None:
    weights, optimizer = counting(2, 3)
    guard = clip.attach(optimizer, "rewind")
    places = [w.data_ptr() for w in weights]
    take(weights, optimizer, guard, [CALM] * 250)
    take(weights, optimizer, guard, [TROUBLE])
    assert [set(w.tolist()) for w in weights] == [{-100.0}, {-100.0}]
    assert [w.data_ptr() for w in weights] == places
    # the gradients are there for whoever reads them after the step
    assert all((w.grad == 1).all() for w in weights if w.grad is not None)
    take(weights, optimizer, guard, [CALM])
    assert set(weights[0].tolist()) == {-101.0}
    rows = guard.log.iloc[-3:]
    assert rows["clipped"].tolist() == [False, True, False]
    assert rows["norm_after"].tolist() == pytest.approx([5**0.5, 0.0, 5**0.5])


@pytest.mark.parametrize("losses", [[CALM] * 250, []], ids=["later", "at once"])
@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_what_is_not_finite_goes_back_from_the_first_step_on(bad: str, losses: list[float]) -> None:
    weights, optimizer = counting(2)
    guard = clip.attach(optimizer, "rewind")
    take(weights, optimizer, guard, [*losses, CALM, CALM])
    told, size = (math.nan, 1.0) if bad == "loss" else (CALM, math.inf)
    take(weights, optimizer, guard, [told] * 150, size)
    assert weights[0].tolist() == ([-100.0] * 2 if losses else [0.0] * 2)
    assert guard.log["clipped"].iloc[-150:].all(), "however often: there is nothing to be taken"


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True),
        lambda p: torch.optim.Adam(p, lr=0.05, fused=True),
        lambda p: torch.optim.Adagrad(p, lr=0.05),
    ],
    ids=["momentum", "amsgrad", "fused", "adagrad"],
)
def test_a_loop_puts_back_the_optimizers_state_and_the_models_buffers(make: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = make(model.parameters())
    guard = clip.attach(optimizer, "rewind", model=model)
    generator = torch.Generator().manual_seed(1)

    def step(scale: float) -> None:
        optimizer.zero_grad()
        images = torch.randn(16, 4, generator=generator)
        loss = scale * model(images).square().mean()
        loss.backward()
        guard.observe(loss)
        optimizer.step()

    for _ in range(100):
        step(1.0)
    then = copy.deepcopy((model.state_dict(), optimizer.state_dict()["state"]))
    for _ in range(150):
        step(1.0)
    places = [v.data_ptr() for s in optimizer.state.values() for v in s.values()]
    step(1e6)
    now = model.state_dict(), optimizer.state_dict()["state"]
    torch.testing.assert_close(now, then, rtol=0, atol=0)
    assert [v.data_ptr() for s in optimizer.state.values() for v in s.values()] == places
    # what is gone back to is not what is trained on
    step(1.0)
    step(1e6)
    now = model.state_dict(), optimizer.state_dict()["state"]
    torch.testing.assert_close(now, then, rtol=0, atol=0)


def test_without_the_model_its_buffers_go_on() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    clip.attach(optimizer, "rewind")
    model(torch.ones(4, 2)).sum().mul(math.nan).backward()
    optimizer.step()
    assert int(model[1].num_batches_tracked) == 1  # type: ignore[arg-type]
    assert all(p.isfinite().all() for p in model.parameters())


def test_parameters_that_come_later_go_back_to_what_they_were_then() -> None:
    weights, optimizer = counting(2, momentum=0.5)
    guard = clip.attach(optimizer, "rewind")
    for k in range(220):
        # what is added shall be within the usual
        take(weights, optimizer, guard, [CALM], size=1.0 + 4 * (k % 2))
    late = nn.Parameter(torch.full((3,), 7.0))
    optimizer.add_param_group({"params": [late]})
    take([*weights, late], optimizer, guard, [CALM] * 5)
    assert (late < 7).all()
    assert "momentum_buffer" in optimizer.state[late]
    take([*weights, late], optimizer, guard, [TROUBLE])
    assert late.tolist() == [7.0] * 3
    assert "momentum_buffer" not in optimizer.state[late]


def test_a_frozen_parameter_goes_back_with_the_others() -> None:
    weights, optimizer = counting(1, 1)
    guard = clip.attach(optimizer, "rewind")
    take(weights, optimizer, guard, [CALM] * 230)
    weights[1].requires_grad_(False)
    weights[1].grad = None
    take(weights[:1], optimizer, guard, [CALM] * 20)
    take(weights[:1], optimizer, guard, [TROUBLE])
    assert [w.item() for w in weights] == [-100.0, -100.0]


@pytest.mark.parametrize("fused", [False, True])
def test_what_a_scaler_skips_is_no_reason_to_go_back(fused: bool) -> None:
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=fused)
    guard = clip.attach(optimizer, "rewind")
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)

    def step(factor: float) -> None:
        optimizer.zero_grad()
        scaler.scale((factor * weight).sum()).backward()
        guard.observe(CALM)
        scaler.step(optimizer)
        scaler.update()

    for _ in range(250):
        step(1.0)
    step(math.inf)
    assert weight.tolist() == [-250.0] * 2
    step(1e4)
    assert weight.tolist() == [-100.0] * 2


def test_it_acts_before_a_guard_that_leaves_steps_out() -> None:
    weights, optimizer = counting(2)
    first = clip.attach(optimizer, "rewind")
    second = clip.attach(optimizer, "skip_step")
    second.observe(CALM)
    take(weights, optimizer, first, [CALM] * 250)
    take(weights, optimizer, first, [TROUBLE])
    assert (first.steps, second.steps) == (251, 250)
    first.detach()
    with pytest.raises(ValueError, match="'rewind' must be attached before 'skip_step'"):
        clip.attach(optimizer, "rewind")


def test_detached_it_goes_back_no_more() -> None:
    weights, optimizer = counting(2)
    guard = clip.attach(optimizer, "rewind")
    take(weights, optimizer, guard, [CALM] * 250)
    guard.detach()
    take(weights, optimizer, guard, [TROUBLE])
    assert weights[0].tolist() == [-251.0] * 2


def saved() -> tuple[clip.Guard, dict[str, Any]]:
    """A new guard, and a checkpoint of another after 250 steps."""
    weights, optimizer = counting(2, 3, momentum=0.5)
    guard = clip.attach(optimizer, "rewind")
    take(weights, optimizer, guard, [CALM] * 250)
    return clip.attach(counting(2, 3, momentum=0.5)[1], "rewind"), guard.state_dict()


def test_a_checkpoint_has_the_snapshots() -> None:
    guard, state = saved()
    guard.load_state_dict(state)
    weights = [w for group in guard._optimizer.param_groups for w in group["params"]]
    take(weights, guard._optimizer, guard, [TROUBLE])
    # with the velocity 2, nearly, from the tenth step on: 100 steps are -198
    assert [w[0].item() for w in weights] == pytest.approx([-198.0] * 2)
    velocity = [s["momentum_buffer"][0].item() for s in guard._optimizer.state.values()]
    assert velocity == pytest.approx([2.0] * 2)


SPOILT: dict[str, tuple[Any, str]] = {
    "none": (lambda s: None, "'snapshots' of the checkpoint must be a mapping with .*'older'"),
    "a part": (lambda s: {k: v for k, v in s.items() if k != "newer"}, "mapping with"),
    "counts": (lambda s: s | {"steps": torch.tensor(-1)}, "'steps' of the checkpoint must not be"),
    "a snapshot": (lambda s: s | {"older": 3}, "'older' of the checkpoint must be a mapping .* 3"),
    "a shape": (
        lambda s: s | {"older": s["older"] | {"parameters": {0: torch.zeros(9)}}},
        r"0 must be a tensor that this loop has, which has the shape \(2,\)",
    ),
    "a stranger": (
        lambda s: s | {"newer": s["newer"] | {"parameters": {7: torch.zeros(2)}}},
        "7 must be a tensor that this loop has, which has no such tensor",
    ),
    "the rule's": (
        lambda s: s | {"older": s["older"] | {"clipping": {"window": torch.zeros(2)}}},
        "`state` of the checkpoint must have",
    ),
}


@pytest.mark.parametrize(("spoil", "rule"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_checkpoint_is_refused_and_changes_nothing(spoil: Any, rule: str) -> None:
    guard, state = saved()
    with pytest.raises(ValueError, match=rule) as caught:
        guard.load_state_dict(state | {"snapshots": spoil(state["snapshots"])})
    assert "\n" not in str(caught.value)
    assert (guard.steps, guard._past, guard._state) == (0, None, {})


def smaller(g: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    return g / 2, state, context.norm > 1


def test_the_contract_holds_a_rule_that_goes_back_to_the_gradient_as_it_is() -> None:
    mine = dataclasses.replace(CLIPPINGS["rewind"], name="mine")
    check(mine)
    with pytest.raises(BrokenContract, match="since its stage is 'rewind'"):
        check(dataclasses.replace(mine, clip=smaller, scales=False))


def test_every_optimizers_state_is_in_a_snapshot() -> None:
    for name in OPTIMIZERS:
        program, trial = program_of(optimizer=name)
        population = program.start([trial])
        kept = {k for k in population.snapshots if k.startswith("older.optimizer.")}
        assert kept == {f"older.optimizer.{k}" for k in population.optimizer}
