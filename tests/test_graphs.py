"""Steps as graphs: the bits of the step itself, no wait within, and a way back where one fails."""

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import TOY
from pretended_gpu import Watch, pretended_gpu
from torch import Tensor, nn

from benchmark import Study, Trial, module_model, train
from benchmark.driver import Options, run_study
from benchmark.engine import REGISTRIES
from benchmark.engine.settings import VARIABLE
from benchmark.engine.steps import graphs
from benchmark.engine.steps.graphs import CAPTURED, FixedStep, Graphs, NotRepeated, why_eager
from benchmark.engine.steps.program import Program
from benchmark.engine.training import Record
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.kernels import VARIABLE as KERNELS
from benchmark.kernels import _kernels
from benchmark.models import MODELS
from benchmark.strategies.clipping import CLIPPINGS, chain
from benchmark.strategies.loss_scaling import LossScaling
from benchmark.strategies.optimizers import OPTIMIZERS
from benchmark.timing import graph_steps, on_gpu

NAMES = [
    (field, name)
    for field, registry in REGISTRIES.items()
    for name in registry
    if field not in ("dataset", "model") and (field, name) != ("initialization", "own")
]
ON_A_GPU = [
    *(
        ("mlp", field, name)
        for field, name in NAMES
        if field in {*graphs.IN_A_STEP, "batch_policy", "disturbance"}
        # an MLP has no maps
        and name != "instance"
    ),
    *(("cnn", "normalization", name) for name in REGISTRIES["normalization"]),
    *(("cnn", "clipping", name) for name in ("adaptive", "autoclip", "update_rms")),
]


@pytest.fixture(autouse=True)
def _torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # the CPU's compiled convolutions have tests of their own, and take seconds to compile
    monkeypatch.setenv(KERNELS, "torch")
    _kernels.cache_clear()
    graphs.OUTCOMES.clear()


@pytest.fixture
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is captured is carried out in Python, through the same memory."""
    monkeypatch.setattr(graphs, "why_eager", lambda program: None)
    monkeypatch.setattr(graphs, "beside", lambda device: nullcontext())
    monkeypatch.setattr(graphs, "_refusing_waits", nullcontext)
    monkeypatch.setattr(graphs, "captured", lambda body, pool: body)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)


def some(count: int, **chosen: Any) -> list[Trial]:
    common: dict[str, Any] = {"dataset": TOY, "model": "mlp", "width": 16, "batch_size": 24}
    common |= {"learning_rate": 0.1, "epochs": 3} | chosen
    return [Trial(**common, seed=seed) for seed in range(count)]


def trained(trials: list[Trial], choice: str, device: str = "cuda") -> tuple[Record, Watch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, choice)
        if device == "cpu":
            return train(trials, device=device, checkpoints=4), Watch()
        with pretended_gpu() as watch:
            return train(trials, device=device, checkpoints=4), watch


def check_equal(found: Record, wanted: Record) -> None:
    """Every number, bit for bit."""
    for table in ("trials", "history"):
        pair = [getattr(r, table).drop(columns="seconds", errors="ignore") for r in (found, wanted)]
        pd.testing.assert_frame_equal(*pair, check_exact=True)


def check_graphs(trials: list[Trial]) -> Watch:
    """The same bits with graphs and without, and no step that could not be captured."""
    found, watch = trained(trials, "always")
    assert set(graphs.OUTCOMES) == {CAPTURED}
    assert watch.captures == graphs.OUTCOMES[CAPTURED] > 0
    wanted, plain = trained(trials, "0")
    assert plain.captures == plain.replays == 0
    check_equal(found, wanted)
    return watch


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("field", "name"), NAMES)
def test_the_captured_step_has_the_bits_of_the_step(field, name, count, on_a_cpu):
    if (field, name) == ("normalization", "instance"):
        pytest.skip("an MLP has no maps")
    trials = some(count, **{field: name})
    found, _ = trained(trials, "always", "cpu")
    assert graphs.OUTCOMES[CAPTURED] > 0
    check_equal(found, trained(trials, "0", "cpu")[0])


@pytest.mark.parametrize(("model", "field", "name"), ON_A_GPU)
def test_graphs_have_the_bits_of_steps(model, field, name):
    check_graphs(some(3 if model == "mlp" else 2, model=model, **{field: name}))


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_single_trial(model):
    trials = some(1, model=model, clipping="zclip", optimizer="adamw", normalization="batch")
    watch = check_graphs(trials)
    # 12 steps, and those by which the graph is looked at
    assert (watch.captures, watch.replays) == (1, 12 + graphs.WARM_UP)


@pytest.mark.parametrize("model", sorted(set(MODELS) - {"mlp", "cnn"}))
def test_every_network(model):
    check_graphs(some(2, model=model, width=None, epochs=1))


def test_steps_by_graphs_do_not_wait():
    (_, short), (_, long) = (trained(some(2, epochs=e), "always") for e in (1, 4))
    assert long.replays > short.replays
    assert long.waits == short.waits


def test_disturbed_steps_are_no_part_of_a_graph():
    watch = check_graphs(some(2, disturbance="bad_batch"))
    assert watch.replays == 12 - 5 + graphs.WARM_UP


def test_trials_that_leave_take_another_graph():
    first, second, third = some(3)
    watch = check_graphs([first, dataclasses.replace(second, learning_rate=1e30), third])
    assert watch.captures == 2


def test_trials_with_fewer_steps_stand_aside():
    # batches of 24 and, from half way on, of sizes by each trial's noise
    watch = check_graphs(some(3, batch_policy="cabs", epochs=4))
    assert watch.captures > 1


@pytest.mark.parametrize(("kept", "captures"), [(8, 3), (1, 4)])
def test_the_least_used_graph_goes_first(kept, captures, monkeypatch):
    # one size comes back
    monkeypatch.setattr(graphs, "KEPT_GRAPHS", kept)
    assert check_graphs(some(2, batch_policy="doubling")).captures == captures


@pytest.mark.parametrize(
    ("steps", "captures"), [(graphs.LEAST_STEPS - 1, 0), (graphs.LEAST_STEPS, 1)]
)
def test_only_enough_steps_are_worth_a_capture(steps, captures):
    trials = some(1, epochs=None, updates=steps)
    assert trained(trials, "1")[1].captures == captures


@pytest.mark.parametrize(("name", "value"), [("SHARE", 2**40), ("LARGEST_STATE", 10)])
def test_large_steps_are_not_captured(name, value, monkeypatch):
    monkeypatch.setattr(graphs, name, value)
    trials = some(1, epochs=None, updates=60)
    assert trained(trials, "1")[1].captures == 0
    assert trained(trials, "always")[1].captures == 1


def test_steps_of_one_size_add_up_where_a_policy_may_change_it(monkeypatch):
    monkeypatch.setattr(graphs, "LEAST_STEPS", 10)
    # 12 steps between decisions of 4: worth it with the third
    trials = some(1, batch_policy="grow_instead_of_decay", epochs=4)
    assert trained(trials, "1")[1].captures == 1


def test_a_cpu_has_none():
    trained(some(1), "always", "cpu")
    assert not graphs.OUTCOMES


def test_another_choice_is_refused_in_a_line(monkeypatch):
    monkeypatch.setenv(VARIABLE, "yes")
    with pytest.raises(
        ValueError, match="BENCHMARK_GRAPHS must be one of 0, 1, always, but got 'y"
    ):
        train(some(1), device="cpu")


def test_and_before_a_study_has_a_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, "yes")
    study = Study(name="s", question="?", factors={"dataset": TOY, "epochs": 1}, seeds=(0,))
    with pytest.raises(ValueError, match="BENCHMARK_GRAPHS must be one of 0, 1, always"):
        run_study(study, Options(tmp_path / "r", device="cpu", progress=False, executor="here"))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("field", "name"), [(f, n) for f in graphs.IN_A_STEP for n in REGISTRIES[f]]
)
def test_all_that_is_built_in_is_known_to_be_functions_of_tensors(field, name):
    assert graphs._ours(REGISTRIES[field][name])


def program_of(trial: Trial, device: torch.device) -> Program:
    resolved = resolve(trial)
    return Program(parts_of(resolved), resolved, device)


def halve(gradient: Tensor, memory: Any, context: Any) -> Any:
    return gradient / 2, memory


HALVING = dataclasses.replace(OPTIMIZERS["sgd"], name="halving", direction=halve)


SCALING = dataclasses.replace(
    CLIPPINGS["none"],
    name="scaling",
    clip=lambda g, state, threshold, context: (g / 2, state, g[0] > 0),
)
CUSTOM = [HALVING, SCALING, chain(CLIPPINGS["autoclip"], SCALING, name="scaled")]


@pytest.mark.parametrize("part", CUSTOM, ids=lambda part: part.name)
def test_custom_strategies_are_not_captured(part, monkeypatch):
    field = "optimizer" if part is HALVING else "clipping"
    trials = some(2, **{field: part})
    assert trained(trials, "always")[1].captures == 0
    # also where a user has named it
    monkeypatch.setitem(REGISTRIES[field], part.name, part)
    with pretended_gpu():
        reason = why_eager(program_of(trials[0], torch.device("cuda", 0)))
    assert reason == f"{field} {part.name!r} is custom"


def test_a_custom_network_is_not_captured():
    model = module_model(
        "linear", lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    )
    trials = some(2, model=model, width=None, initialization="own")
    assert trained(trials, "always")[1].captures == 0


def test_a_chain_of_what_is_built_in_is_captured():
    check_graphs(some(2, clipping=chain(CLIPPINGS["autoclip"], CLIPPINGS["value"], name="both")))


# What a capture has to survive, planted on purpose.


def planted(monkeypatch: pytest.MonkeyPatch, direction: Callable[..., Any], **more: Any) -> Trial:
    """A trial whose optimizer is taken for one of the package's."""
    monkeypatch.setattr(graphs, "why_eager", lambda program: None)
    form: dict[str, Any] = {"name": "planted", "direction": direction, **more}
    optimizer = dataclasses.replace(OPTIMIZERS["sgd"], **form)
    (trial,) = some(1, optimizer=optimizer)
    return trial


def reads_a_number(direction: Tensor, memory: Any, context: Any) -> Any:
    return direction * min(1.0, 1.0 / direction.norm().item()), memory


def asks_the_host(direction: Tensor, memory: Any, context: Any) -> Any:
    return direction - direction.cpu().mean().to(direction.device), memory


def looks_for_places(direction: Tensor, memory: Any, context: Any) -> Any:
    return direction * len(direction.nonzero()) / len(direction), memory


WAITING = [reads_a_number, asks_the_host, looks_for_places]


@pytest.mark.parametrize("bug", WAITING)
def test_a_step_that_waits_is_not_captured_and_trains_as_before(bug, monkeypatch, caplog):
    trial = planted(monkeypatch, bug)
    with caplog.at_level(logging.WARNING):
        found, watch = trained([trial], "always")
    assert watch.captures == watch.replays == 0
    (reason,) = graphs.OUTCOMES
    assert reason.startswith("RuntimeError: ")
    assert len(caplog.records) == 1
    assert "not as graphs" in caplog.text
    check_equal(found, trained([trial], "0")[0])


@pytest.mark.parametrize("bug", WAITING)
@pytest.mark.parametrize("looked", [True, False])
def test_the_check_of_graphs_catches_a_planted_wait(bug, looked, monkeypatch):
    trial = planted(monkeypatch, bug)
    if not looked:
        monkeypatch.setattr(graphs, "_refusing_waits", nullcontext)
    with pytest.raises(AssertionError):
        check_graphs([trial])
    (reason,) = graphs.OUTCOMES
    assert ("a synchronizing CUDA operation" if looked else "stream is capturing") in reason


def test_after_a_broken_capture_other_units_are_captured(monkeypatch):
    trial = planted(monkeypatch, reads_a_number)
    monkeypatch.setattr(graphs, "_refusing_waits", nullcontext)
    monkeypatch.setenv(VARIABLE, "always")
    with pretended_gpu():
        train(trial, device="cuda", checkpoints=4)
        (broken,) = graphs.OUTCOMES
        train(some(2), device="cuda", checkpoints=4)
    assert "stream is capturing" in broken
    assert set(graphs.OUTCOMES) == {broken, CAPTURED}


def test_a_step_that_counts_in_python_is_found_out(monkeypatch):
    calls = itertools.count(1)

    def counts(direction: Tensor, memory: Any, context: Any) -> Any:
        return direction * next(calls), memory

    trial = planted(monkeypatch, counts)
    assert trained([trial], "always")[1].replays == graphs.WARM_UP
    assert list(graphs.OUTCOMES) == [
        "NotRepeated: a captured step does not give the bits of the step"
    ]


def swaps(direction: Tensor, memory: Any, context: Any) -> Any:
    first, second = memory["first"], memory["second"]
    return direction + 0.1 * first - 0.2 * second, {"first": second, "second": first}


def two(layout: Any, like: Tensor) -> Any:
    return {"first": torch.ones_like(like), "second": torch.full_like(like, 2.0)}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("copied", [True, False])
def test_a_state_that_takes_anothers_place(count, copied, monkeypatch, on_a_cpu):
    trial = planted(monkeypatch, swaps, init=two)
    if not copied:
        # the two are overwritten by each other, which is found out
        monkeypatch.setattr(graphs, "_place", lambda tensor: object())
    trials = [dataclasses.replace(trial, seed=seed) for seed in range(count)]
    found, _ = trained(trials, "always", "cpu")
    assert (set(graphs.OUTCOMES) == {CAPTURED}) == copied
    check_equal(found, trained(trials, "0", "cpu")[0])


def grows(direction: Tensor, memory: Any, context: Any) -> Any:
    return direction, {"first": memory["first"].double()}


def one(layout: Any, like: Tensor) -> Any:
    return {"first": torch.ones_like(like)}


def test_a_state_that_changes_its_type_is_not_captured(monkeypatch):
    trial = planted(monkeypatch, grows, init=one)
    found, watch = trained([trial], "always")
    assert watch.replays == 0
    assert [reason.partition(":")[0] for reason in graphs.OUTCOMES] == ["NotRepeated"]
    check_equal(found, trained([trial], "0")[0])


@contextmanager
def no_memory(*arguments: Any, **options: Any) -> Iterator[None]:
    try:
        yield
    finally:
        # as the end of a capture that an error broke
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


def out_of_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("lacking", [True, False])
def test_a_capture_that_breaks_leaves_steps_that_go_on(lacking, monkeypatch, caplog):
    trials = some(3, batch_policy="doubling")
    wanted, _ = trained(trials, "0")
    real = graphs.captured

    def broken(body: Callable[[], None], pool: Any) -> Callable[[], None]:
        monkeypatch.setattr(torch.cuda, "graph", no_memory)
        return real(out_of_memory if lacking else body, pool)

    monkeypatch.setattr(graphs, "captured", broken)
    found, watch = trained(trials, "always")
    assert watch.replays == 0
    # memory may do for another shape; whatever else broke does so again
    assert sum(graphs.OUTCOMES.values()) == (3 if lacking else 1)
    assert len(caplog.records) == (0 if lacking else 1)
    check_equal(found, wanted)


def test_steps_that_do_not_fit_give_their_graphs_back_and_go_on_by_fewer(monkeypatch):
    trials = some(4)
    wanted, _ = trained([*trials], "0")
    cleared, real, launch = [], Graphs.clear, FixedStep.step

    def clear(self: Graphs) -> None:
        cleared.append(len(self._graphs))
        real(self)

    def breaks(self: FixedStep, index: Tensor, factor: Tensor) -> None:
        if len(index) == 4:
            out_of_memory()
        launch(self, index, factor)

    monkeypatch.setattr(Graphs, "clear", clear)
    monkeypatch.setattr(FixedStep, "step", breaks)
    monkeypatch.setattr("benchmark.engine.machine.fitting._LIMITS", {})
    found, watch = trained(trials, "always")
    assert cleared[0] == 1
    assert watch.captures == 2
    assert not (found.trials["status"] == "failed").any()
    assert found.trials["validation_accuracy"].tolist() == pytest.approx(
        wanted.trials["validation_accuracy"].tolist()
    )


def test_a_capture_trains_nothing(monkeypatch):
    gpu = torch.device("cuda", 0)
    with pretended_gpu() as watch:
        program = program_of(some(1, optimizer="adam", normalization="batch")[0], gpu)
        population = program.start([resolve(t) for t in some(2)])
        before = {k: t.held.clone() for k, t in graphs.tensors_of(population).items()}
        state = watch.generator.get_state()
        images = torch.rand(2, 24, 1, 4, 4).to(gpu)
        batch = images, (torch.arange(48) % 3).view(2, 24).to(gpu)
        index = torch.zeros(2, 24, dtype=torch.long).to(gpu)
        made = FixedStep(program, lambda index: batch, population, index, torch.ones(2).to(gpu))
        made.capture(None)
        made.begin(population)
        begun = {k: t.held for k, t in graphs.tensors_of(made.population).items()}
        after = {k: t.held for k, t in graphs.tensors_of(population).items()}
        assert torch.equal(watch.generator.get_state(), state)
    assert all(
        torch.equal(before[k], after[k]) and torch.equal(before[k], begun[k]) for k in before
    )


def test_a_step_of_another_form_is_no_step_of_a_graph():
    program = program_of(some(1)[0], torch.device("cpu"))
    population = program.start([resolve(t) for t in some(2)])
    index = torch.zeros(2, 24, dtype=torch.long)
    made = FixedStep(program, lambda index: (index, index), population, index, torch.ones(2))
    with pytest.raises(NotRepeated, match="parameters"):
        made.begin(population.take([0]))


# The stage of studies/gpu_check.py.


def test_the_stage_says_whether_bits_are_equal_and_what_is_gained(monkeypatch):
    monkeypatch.setattr(graph_steps, "WIDTHS", (1, 2))
    monkeypatch.setattr(graph_steps, "TRIAL_STEPS", 40)
    monkeypatch.setattr(on_gpu, "STEP_SECONDS", 0.01)
    with pretended_gpu():
        rows = pd.DataFrame(graph_steps.graphs("digits", "cuda"))
    assert rows["model"].tolist() == ["mlp", "cnn"] * 2
    assert rows["equal"].all()
    # of the unit, and of the step that is timed
    assert (rows["graphs"] == 2).all()
    assert not rows["uncaptured"].any()
    assert (rows["updates"] == [40, 40, 20, 20]).all()
    assert (rows["ratio"] > 0).all()


def test_the_stage_ends_in_its_time():
    assert not list(graph_steps.graphs(TOY, "cpu", seconds=-1.0))


def test_a_step_that_overflows_is_skipped_in_a_graph():
    scaling = LossScaling(2.0**127, backoff=0.5, growth=2.0, growth_interval=3)
    precision = dataclasses.replace(
        REGISTRIES["precision"]["float32"], name="scaled", loss_scaling=scaling
    )
    # weights so large that the scaled gradient is beyond single precision
    trials = some(3, precision=precision, init_gain=1000.0, learning_rate=1e-9)
    check_graphs(trials)
    record, _ = trained(trials, "always")
    assert record.trials["skipped_fraction"].between(0.1, 0.9).all()
