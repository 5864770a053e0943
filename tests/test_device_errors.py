"""Errors that a GPU raises in a step, through the whole driver: fewer at once, or a new process."""

import dataclasses
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TOY
from pretended_gpu import pretended_gpu
from torture import differences

from benchmark import Study
from benchmark.driver import Options, run_study
from benchmark.driver.dispatch import LostExecutor
from benchmark.driver.units import Unit, make_units, train_unit
from benchmark.engine import resolve
from benchmark.engine.machine import fitting
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.results import load_study
from benchmark.strategies.optimizers import OPTIMIZERS

TOO_MUCH = [
    RuntimeError(
        "Expected canUse32BitIndexMath(input) && canUse32BitIndexMath(output) to be true, but got "
        "false.  (Could this error message be improved?)"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
]
"""The first is what kernels say of 2^31 numbers."""
BROKEN = [
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore"),
    RuntimeError("CUDA error: an illegal memory access was encountered\nmore"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
]
COMMON = {"dataset": TOY, "width": 8, "batch_size": 24, "epochs": 2, "precision": "float64"}


def names(error: Exception) -> str:
    return f"{type(error).__name__} {str(error)[:40]}"


@pytest.fixture(autouse=True)
def _nothing_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_LIMITS", {})


def study(**factors: Any) -> Study:
    return Study(
        name="tiny",
        question="Does it survive?",
        factors={**COMMON, "normalization": ("none", "layer"), **factors},
        seeds=range(3),
        checkpoints=4,
    )


def run(folder: Path, device: str, made: Study | None = None, **options: Any) -> None:
    options = {"executor": "here", **options}
    where = pretended_gpu() if device == "cuda" else nullcontext()
    with where:
        run_study(made or study(), Options(folder, device=device, progress=False, **options))


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study without an error, on the CPU and on the pretended GPU."""
    folder = tmp_path_factory.mktemp("peace")
    run(folder / "cpu", "cpu")
    run(folder / "cuda", "cuda")
    return folder


def steps_fail(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, above: int = 0, normalization: str = ""
) -> None:
    """Steps of more than so many trials at once, or of one normalization."""
    real = Program.step

    def step(program: Program, population: Population, *arguments: Any) -> Any:
        meant = normalization in ("", program.parts.normalization.name)
        if meant and len(population.parameters) > above:
            raise error
        return real(program, population, *arguments)

    monkeypatch.setattr(Program, "step", step)


def check_the_numbers(found: Any, wanted: Any) -> None:
    assert set(found["status"]) == {"stable"}
    assert set(found["device"]) == {"pretended GPU"}
    columns = [c for c in wanted.select_dtypes("number") if c != "seconds"]
    numbers = (t[columns].to_numpy(float, na_value=np.nan) for t in (found, wanted))
    np.testing.assert_allclose(*numbers, rtol=1e-6, atol=1e-9)


def unit(device: str) -> Unit:
    trials = [resolve(trial) for trial in study(normalization="none").trials()]
    how = {"checkpoints": 4, "layers": False, "sharpness": False, "device": device}
    (made,) = make_units("tiny", trials, **how)
    return made


@pytest.mark.parametrize("error", TOO_MUCH, ids=names)
def test_a_unit_that_is_too_much_is_trained_by_fewer_at_once(error, monkeypatch):
    wanted = train_unit(unit("cpu")).record().trials
    steps_fail(monkeypatch, error, above=1)
    with pretended_gpu():
        found = train_unit(unit("cuda")).record().trials
    check_the_numbers(found, wanted)


@pytest.mark.parametrize("error", TOO_MUCH, ids=names)
def test_so_are_those_of_a_study_and_no_row_is_failed(error, peace, tmp_path, monkeypatch):
    steps_fail(monkeypatch, error, above=1)
    run(tmp_path, "cuda")
    found, wanted = load_study(tmp_path, "tiny"), load_study(peace / "cpu", "tiny")
    assert found is not None
    assert wanted is not None
    assert len(found.trials) == 6
    check_the_numbers(found.trials, wanted.trials)


def test_single_trials_that_are_too_much_fail_alone_and_the_next_run_trains_them(
    peace, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        steps_fail(patch, TOO_MUCH[1], normalization="layer")
        run(tmp_path, "cuda")
    found = load_study(tmp_path, "tiny")
    assert found is not None
    said = found.trials.groupby("normalization")[["status", "status_reason"]].agg(set)
    assert said.loc["none", "status"] == {"stable"}
    assert said.loc["layer"].tolist() == [{"failed"}, {f"RuntimeError: {TOO_MUCH[1]}"}]
    # in another process, which has learned nothing of what fits
    fitting._LIMITS.clear()
    run(tmp_path, "cuda")
    assert not list(differences(peace / "cuda" / "tiny", tmp_path / "tiny"))


@pytest.mark.parametrize("error", BROKEN, ids=names)
def test_a_broken_device_ends_a_unit_in_the_error_that_executors_know(error, monkeypatch):
    steps_fail(monkeypatch, error)
    with pretended_gpu(), pytest.raises(torch.AcceleratorError) as raised:
        train_unit(unit("cuda"))
    assert str(raised.value) == str(error)


@pytest.mark.parametrize("error", BROKEN, ids=names)
def test_a_broken_device_ends_the_run_and_the_next_goes_on(error, peace, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        steps_fail(patch, error, normalization="layer")
        with pytest.raises(LostExecutor, match="the GPU failed, and this process with it") as lost:
            run(tmp_path, "cuda")
    assert "more" not in str(lost.value)
    landed = load_study(tmp_path, "tiny")
    assert landed is not None
    # none is failed, and what had landed is kept
    assert landed.trials["normalization"].tolist() == ["none"] * 3
    run(tmp_path, "cuda")
    assert not list(differences(peace / "cuda" / "tiny", tmp_path / "tiny"))


MARKS = "MARKS_OF_A_BROKEN_DEVICE"


def breaks_once(direction: torch.Tensor, memory: Any, context: Any) -> Any:
    """As a GPU that a process has broken, and no other."""
    marks = Path(os.environ[MARKS])
    first = not list(marks.iterdir())
    (marks / str(os.getpid())).touch()
    if first:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return direction, memory


BREAKING = dataclasses.replace(OPTIMIZERS["sgd"], name="breaking", direction=breaks_once)


def test_a_process_whose_device_is_broken_ends_and_its_unit_is_trained_by_another(
    tmp_path, monkeypatch, caplog
):
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv(MARKS, str(marks))
    made = study(optimizer=BREAKING, normalization="none")
    run(tmp_path / "found", "cpu", made, executor="processes", workers=1)
    assert "a worker died on 3 trials: AcceleratorError: CUDA error: an illegal" in caplog.text
    # the one that broke, and the one that took its place
    assert len(list(marks.iterdir())) == 2
    run(tmp_path / "peace", "cpu", made)
    assert not list(differences(tmp_path / "peace" / "tiny", tmp_path / "found" / "tiny"))
