"""What does not fit goes through the network in fewer trials or examples at once."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TOY
from pretended_gpu import pretended_gpu
from torch import Tensor

from benchmark import Trial, train
from benchmark.engine.machine import fitting
from benchmark.engine.machine.fitting import Limit, in_parts, is_too_much
from benchmark.engine.runs import segment
from benchmark.engine.steps import program
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.kernels import VARIABLE, _kernels
from benchmark.layout import Layout
from benchmark.strategies.batch_policies import BatchPolicy, Decision, Observation, full_batch

TOO_MUCH = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError(
        "Expected canUse32BitIndexMath(input) && canUse32BitIndexMath(output) to be true, but got "
        "false.  (Could this error message be improved?)"
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.fixture(autouse=True)
def _nothing_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_LIMITS", {})
    monkeypatch.setenv(VARIABLE, "torch")
    _kernels.cache_clear()


@pytest.mark.parametrize("error", TOO_MUCH, ids=lambda e: str(e)[:30])
def test_what_fewer_at_once_would_not_have_met(error):
    assert is_too_much(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED"),
        ValueError("out of memory"),
    ],
)
def test_other_errors_stay_errors(error):
    assert not is_too_much(error)


def test_parts_are_halved_until_they_fit_and_the_width_is_kept():
    tried = []

    def work(places):
        tried.append(len(places))
        if len(places) > 3:
            raise TOO_MUCH[0]
        return list(places)

    bound = Limit(None, cuts=False)
    done = in_parts(bound, 10, 5, work)
    assert [place for part, _ in done for place in part] == list(range(10))
    assert [result for _, found in done for result in found] == list(range(10))
    assert tried == [10, 5, 2, 2, 1, 2, 2, 1]
    assert [len(part) for part, _ in in_parts(bound, 4, 5, work)] == [2, 2]


@pytest.mark.parametrize(("cuts", "tried"), [(False, 1), (True, 4)])
def test_a_single_trial_is_cut_over_examples_or_fails(cuts, tried):
    bounds = []

    def work(places):
        bounds.append(bound.most)
        raise TOO_MUCH[1]

    bound = Limit(None, cuts=cuts)
    with pytest.raises(RuntimeError, match="CUBLAS"):
        in_parts(bound, 1, 8, work)
    assert bounds == [None, 4, 2, 1][:tried]


def some(count: int, **chosen: Any) -> list[Trial]:
    common: dict[str, Any] = {"dataset": TOY, "model": "cnn", "width": 8, "batch_size": 24}
    common |= {"learning_rate": 0.1, "precision": "float64", "epochs": 2} | chosen
    return [Trial(**common, seed=seed) for seed in range(count)]


class Breaking:
    """A program whose steps, or evaluations, fail where they are too large."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str, most: int, error: Exception):
        self.sizes: list[tuple[int, int]] = []
        self.failed = 0
        real = getattr(Program, method)

        def limited(program: Program, population: Population, *arguments: Any) -> Any:
            trials = len(population.parameters)
            labels = arguments[1]
            examples = labels.shape[1] if method == "step" else min(arguments[2], len(labels))
            self.sizes.append((trials, examples))
            if trials * examples > most:
                self.failed += 1
                raise error
            return real(program, population, *arguments)

        monkeypatch.setattr(Program, method, limited)


def compare(found: Any, wanted: Any) -> None:
    columns = [c for c in wanted.select_dtypes("number") if c != "seconds"]
    numbers = (t[columns].to_numpy(float, na_value=np.nan) for t in (found, wanted))
    np.testing.assert_allclose(*numbers, rtol=1e-9, atol=1e-12)
    if "status" in wanted:
        assert found["status"].tolist() == wanted["status"].tolist()


@pytest.mark.parametrize("error", TOO_MUCH, ids=lambda e: str(e)[:30])
@pytest.mark.parametrize(("method", "most"), [("step", 2 * 24), ("evaluate", 100)])
def test_a_planted_error_ends_in_fewer_at_once_and_no_failed_row(method, most, error, monkeypatch):
    wanted = train(some(5), device="cpu", checkpoints=4).trials
    plan = Breaking(monkeypatch, method, most, error)
    with pretended_gpu():
        found = train(some(5), device="cuda", checkpoints=4).trials
        assert plan.failed > 0
        compare(found, wanted)
        # the next unit of the shape starts with what fitted
        failed = plan.failed
        train(some(5), device="cuda", checkpoints=4)
    assert plan.failed == failed


class Lacking:
    """A method of `Program` that has no memory for more trials than ``most``, at its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str, most: int, error: Exception):
        self.widths: list[int] = []
        self.failed = 0
        real = getattr(Program, method)

        def limited(program: Program, trials: Any, *arguments: Any) -> Any:
            self.widths.append(len(getattr(trials, "parameters", trials)))
            done = real(program, trials, *arguments)
            if self.widths[-1] > most:
                self.failed += 1
                raise error
            return done

        monkeypatch.setattr(Program, method, limited)


@pytest.mark.parametrize(
    ("method", "error", "policy"),
    [
        ("start", TOO_MUCH[0], "fixed"),
        ("sharpness", TOO_MUCH[1], "fixed"),
        ("layers", TOO_MUCH[2], "fixed"),
        ("sample_gradients", TOO_MUCH[3], "fixed"),
        ("sample_gradients", TOO_MUCH[4], "norm_test"),
    ],
)
def test_what_is_too_much_beside_steps_is_done_by_fewer(method, error, policy, monkeypatch):
    # samples after so few steps, where no policy asks
    monkeypatch.setattr(segment, "STEPS_PER_SAMPLE", 2)
    monkeypatch.setattr(program, "POWER_ITERATIONS", 3)
    asked = {method: True} if method in ("sharpness", "layers") else {}
    trials = some(5, batch_policy=policy, model="mlp", clipping="zclip")
    wanted = train(trials, device="cpu", checkpoints=4, **asked)
    lacking = Lacking(monkeypatch, method, 2, error)
    with pretended_gpu():
        found = train(trials, device="cuda", checkpoints=4, **asked)
    assert max(lacking.widths) == 5
    assert 0 < lacking.failed <= 2
    # of trials that do not start as many as do are trained together
    together = found.trials["trials_together"]
    assert set(together) == ({1, 2} if method == "start" else {5})
    found.trials["trials_together"] = wanted.trials["trials_together"]
    compare(found.trials, wanted.trials)
    compare(found.history, wanted.history)
    compare(found.layers, wanted.layers)


def test_late_trouble_goes_on_from_the_last_checkpoint(monkeypatch):
    wanted = train(some(4, normalization="batch", epochs=8), device="cpu", checkpoints=4).trials
    widths, real = [], Program.step

    def breaks_once(program: Program, population: Population, *arguments: Any) -> Any:
        widths.append(len(population.parameters))
        if len(widths) == 30:
            raise TOO_MUCH[0]
        return real(program, population, *arguments)

    monkeypatch.setattr(Program, "step", breaks_once)
    found = train(some(4, normalization="batch", epochs=8), device="cpu", checkpoints=4).trials
    # 32 steps, 8 a checkpoint: the last eight again, by two
    assert widths == [4] * 30 + [2] * 16
    compare(found, wanted)


def test_the_largest_map_bounds_what_is_trained_at_once(monkeypatch):
    # the maps of the first convolution have 8 x 4 x 4 numbers an example
    monkeypatch.setattr(fitting, "LARGEST_MAP", 2 * 24 * 128)
    monkeypatch.setattr(fitting, "LARGEST_EVALUATED", 50 * 128)
    steps = Breaking(monkeypatch, "step", 10**9, TOO_MUCH[0])
    evaluations = Breaking(monkeypatch, "evaluate", 10**9, TOO_MUCH[0])
    wanted = train(some(5), device="cpu", checkpoints=4).trials
    steps.sizes.clear()
    evaluations.sizes.clear()
    with pretended_gpu():
        found = train(some(5), device="cuda", checkpoints=4).trials
    compare(found, wanted)
    assert {trials for trials, _ in steps.sizes} == {1, 2}
    assert max(trials * examples for trials, examples in evaluations.sizes) <= 50


def test_memory_bounds_it_too(monkeypatch):
    steps = Breaking(monkeypatch, "step", 10**9, TOO_MUCH[0])
    with pretended_gpu():
        # of 16 maps in double precision
        fitting_bytes = 3 * 24 * 128 * 8 * fitting.MAPS
        monkeypatch.setattr(fitting, "memory", lambda device: fitting_bytes)
        train(some(7), device="cuda", checkpoints=4)
    assert {trials for trials, _ in steps.sizes} == {1, 3}


@pytest.mark.parametrize(("normalization", "cut"), [("none", True), ("batch", False)])
def test_one_trial_that_is_too_large_is_cut_over_examples(normalization, cut, monkeypatch):
    trials = some(1, batch_policy="full", normalization=normalization)
    wanted = train(trials, device="cpu", checkpoints=4).trials
    passes, real = [], Program._gradient_at_once

    def seen(program: Program, parameters: Tensor, buffers: Any, *batch: Tensor) -> Any:
        passes.append(batch[1].numel())
        return real(program, parameters, buffers, *batch)

    monkeypatch.setattr(Program, "_gradient_at_once", seen)
    monkeypatch.setattr(fitting, "LARGEST_MAP", 40 * 128)
    with pretended_gpu():
        found = train(trials, device="cuda", checkpoints=4).trials
    compare(found, wanted)
    # 96 examples: what batch normalization sees at once is part of what it is
    assert {32} == set(passes) if cut else 96 in passes


WHOLE = BatchPolicy("whole", None, "-", "n at once", first=full_batch, samples=True)
EACH = dataclasses.replace(WHOLE, name="each", per_example=True)


@pytest.mark.parametrize(
    ("chosen", "known"),
    [
        ({"batch_policy": WHOLE}, True),
        ({"batch_policy": WHOLE, "model": "mlp"}, False),
        ({"batch_policy": EACH, "model": "mlp"}, False),
        # by 12 examples in a step, and by 24 in a sample
        ({"batch_policy": "accumulate", "batch_policy_parameter": 8, "batch_size": 96}, False),
    ],
    ids=["in turn", "side by side", "each alone", "accumulated"],
)
def test_gradients_are_sampled_on_no_more_examples_than_fit(chosen, known, monkeypatch):
    """Of one trial, of which no fewer can be trained."""
    monkeypatch.setattr(segment, "STEPS_PER_SAMPLE", 2)
    trials = some(1, epochs=None, updates=8, **chosen)
    wanted = train(trials, device="cpu", checkpoints=4)
    most, passes, real = 20, [], Program._gradient_at_once

    def at_once(program: Program, parameters: Tensor, buffers: Any, *batch: Any) -> Any:
        take(batch[1].numel())
        return real(program, parameters, buffers, *batch)

    def take(examples: int) -> None:
        passes.append(examples)
        if examples > most:
            raise TOO_MUCH[0]

    join = Layout.join

    def joined(layout: Layout, named: Any, batch_dims: int = 0) -> Tensor:
        whole = join(layout, named, batch_dims)
        if batch_dims == 2:
            take(whole.shape[0] * whole.shape[1])
        return whole

    monkeypatch.setattr(Program, "_gradient_at_once", at_once)
    monkeypatch.setattr(Layout, "join", joined)
    if known:
        monkeypatch.setattr(fitting, "LARGEST_MAP", most * 128)
    with pretended_gpu():
        found = train(trials, device="cuda", checkpoints=4)
    assert (max(passes) <= most) == known
    assert found.history["noise_scale"].notna().any()
    compare(found.trials, wanted.trials)
    compare(found.history, wanted.history)


def grow_for_a_while(seen: Observation, parameter: float) -> Decision:
    """Twice the batch in the second quarter, at large rates."""
    return Decision(16 if seen.learning_rate > 0.05 and seen.progress < 0.5 else 8)


@pytest.mark.parametrize("chosen", [{}, {"disturbance": "corrupt_example"}, {"model": "mlp"}])
def test_trials_of_one_batch_size_go_together_wherever_they_stand(chosen, monkeypatch):
    """Each has its own place in the data, rates, disturbance and number of steps."""
    policy = BatchPolicy("back", None, "-", "larger for a while", decide=grow_for_a_while)
    common = {"batch_policy": policy, "batch_size": 8, "epochs": 4.3, "schedule": "cosine"}
    trials = [t for rate in (0.02, 0.1) for t in some(2, learning_rate=rate, **common, **chosen)]
    alone = [train(trial, device="cpu", checkpoints=4).trials for trial in trials]
    steps = Breaking(monkeypatch, "step", 10**9, TOO_MUCH[0])
    found = train(trials, device="cpu", checkpoints=4).trials
    assert found["steps"].nunique() > 1
    compare(*(t.drop(columns="trials_together") for t in (found, pd.concat(alone))))
    # all but the second quarter, and a last step of the third
    assert [width for width, _ in steps.sizes].count(4) == 13 + 12 + 12
