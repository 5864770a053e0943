"""The check of a machine with a GPU, as far as a machine without one can tell."""

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import TOY
from pretended_gpu import pretended_gpu

from benchmark import Trial, train
from benchmark.engine import REGISTRIES, Record, fitting
from benchmark.timing.on_gpu import (
    CHECKED_FIELDS,
    Case,
    best_width,
    cases,
    compare,
    limits,
    widths,
)

SCRIPT = Path(__file__).parents[1] / "studies" / "gpu_check.py"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_in_a_line_and_does_nothing(tmp_path):
    command = [sys.executable, str(SCRIPT), "--results", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.splitlines() == [
        "error: device 'cuda' was asked for, but torch sees no GPU; use --device cpu"
    ]
    assert not list(tmp_path.iterdir())


def test_every_strategy_is_a_case():
    names = [case.name for case in cases(TOY)]
    wanted = [(field, name) for field in CHECKED_FIELDS for name in REGISTRIES[field]]
    assert all(f"mlp {field}={name} K=3" in names for field, name in wanted)
    assert len(names) == 4 * len(wanted) + 2 * len(REGISTRIES["normalization"])


def case(again: bool = False, **fields) -> Case:
    common = {"dataset": TOY, "width": 8, "batch_size": 24, "epochs": 1, "precision": "float64"}
    return Case("it", (Trial(**common | fields),), again)


@pytest.mark.parametrize("again", [True, False])
def test_equal_numbers_agree(again):
    with pretended_gpu():
        row = compare(case(again), "cuda")
    assert row["agrees"], row["differ"]


@pytest.mark.parametrize(("again", "agrees"), [(True, False), (False, True)])
def test_rounding_is_no_difference_but_of_what_has_to_repeat_itself(again, agrees):
    turns = iter([1.0, 1.0 + 1e-9])

    def trained(trials, **options) -> Record:
        record = train(trials, **options | {"device": "cpu"})
        trials = record.trials.assign(test_loss=record.trials["test_loss"] * next(turns))
        return dataclasses.replace(record, trials=trials)

    row = compare(case(again), "cuda", trained)
    assert row["agrees"] == agrees
    assert agrees or row["differ"].startswith("trials.test_loss: 1e-09")


def test_an_error_is_a_row_that_says_so():
    def broken(*arguments, **options):
        raise RuntimeError("no kernel image\nmore")

    row = compare(case(), "cuda", broken)
    assert not row["agrees"]
    assert row["differ"] == "RuntimeError: no kernel image"


def test_limits_and_widths_are_rows(monkeypatch):
    monkeypatch.setattr(fitting, "_LIMITS", {})
    monkeypatch.setattr("benchmark.timing.on_gpu.LIMITS", (("small", 3, {"batch_size": 8}),))
    monkeypatch.setattr("benchmark.timing.on_gpu.STEP_SECONDS", 0.01)
    (row,) = limits(TOY, "cpu")
    assert (row["trials"], row["failed"]) == (3, 0)
    timed = pd.DataFrame(widths("digits", torch.device("cpu"), most=4))
    assert timed["together"].tolist() == [1, 4, 1, 4]
    assert (timed["milliseconds"] > 0).all()


def test_the_best_width_is_the_narrowest_near_the_least_time():
    times = [100.0, 30.0, 10.5, 10.0]
    rows = pd.DataFrame({"model": "mlp", "together": [1, 4, 16, 64], "microseconds_a_trial": times})
    assert best_width(rows) == {"mlp": 16}


@pytest.fixture
def check(monkeypatch):
    """The script's module, with one pretended GPU."""
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "gpus", lambda: ["cuda:0"])
    return module


def test_what_no_gpu_has_been_asked_comes_first(check):
    assert list(check.STAGES)[:3] == ["baseline", "processes", "ghost_batch"]
    assert list(check.STAGES)[-1] == "studies"


def test_ghost_batches_are_checked_where_cnns_train_together(check):
    names = [case.name for case in cases(TOY) if check.is_ghost_batch(case)]
    assert names == ["cnn normalization=ghost_batch K=3", "cnn ghost_batch K=33, twice"]


@pytest.mark.parametrize("there", [True, False])
def test_studies_are_trained_at_once_and_share_the_gpu_where_they_can(
    check, there, tmp_path, monkeypatch
):
    arguments = tmp_path / "arguments"
    program = f"import sys; open({str(arguments)!r}, 'w').write(' '.join(sys.argv[1:]))"
    monkeypatch.setattr(check, "launcher", lambda: [sys.executable, "-c", program])
    monkeypatch.setattr(check.shutil, "which", lambda name: "/mps" if there else None)
    options = check.read_options(["studies", "--results", str(tmp_path), "--scale", "smoke"])
    assert check.studies(options)
    mps = " --mps" if there else ""
    assert arguments.read_text() == (
        f"{' '.join(check.STUDIES)} --at-once 4{mps} --scale smoke --results {tmp_path} "
        "--device cuda"
    )
    rows = pd.read_csv(tmp_path / "gpu" / "studies.csv")
    assert rows["study"].tolist() == [*check.STUDIES, "all"]
