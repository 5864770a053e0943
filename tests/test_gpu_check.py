"""The check of a machine with a GPU, as far as a machine without one can tell."""

import dataclasses
import importlib.util
import itertools
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from conftest import TOY
from pages import page, words
from pretended_gpu import pretended_gpu

from benchmark import Study, Trial, train
from benchmark.driver.executors import InThisProcess, WorkerPool
from benchmark.driver.grid import run_study
from benchmark.driver.options import Options
from benchmark.engine import REGISTRIES, Record
from benchmark.engine.machine import fitting
from benchmark.engine.settings import VARIABLE as GRAPHS
from benchmark.engine.steps.graphs import LEAST_STEPS
from benchmark.kernels import VARIABLE
from benchmark.parquet import read
from benchmark.schema import frame
from benchmark.statistics import kernels_compared, speed
from benchmark.timing import Lab, comparison, for_a_time, kernel_choice, plan_on_gpu, sharing
from benchmark.timing.on_gpu import (
    CHECKED_FIELDS,
    NETWORKS,
    Case,
    best_width,
    cases,
    compare,
    limits,
    widths,
)
from report import evidence

SCRIPT = Path(__file__).parents[1] / "studies" / "gpu_check.py"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_in_a_line_and_does_nothing(tmp_path):
    command = [sys.executable, str(SCRIPT), "--results", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.splitlines() == [
        "error: torch sees no GPU; --rehearse runs every stage on a CPU, tiny"
    ]
    assert not list(tmp_path.iterdir())


def test_every_member_of_every_registry_is_a_case_but_for_data_sets():
    """Also one that is registered later, by whatever name."""
    names = {case.name for case in cases()}
    assert {*CHECKED_FIELDS, "model", "dataset"} == set(REGISTRIES)
    strategies = [(field, name) for field in CHECKED_FIELDS for name in REGISTRIES[field]]
    wanted = {
        f"{model} {field}={name} K={count}"
        for (field, name), model, count in itertools.product(strategies, NETWORKS, (1, 3))
    }
    kinds = ("model={} K=1", "model={} K=3", "measurement=sharpness K=2")
    kinds += ("none K=33, twice", "none K=33, twice without graphs")
    wanted |= {f"{m} {kind.format(m)}" for m, kind in itertools.product(REGISTRIES["model"], kinds)}
    normalized = itertools.product(NETWORKS, REGISTRIES["normalization"], ("", " without graphs"))
    wanted |= {f"{model} {name} K=33, twice{how}" for model, name, how in normalized}
    # dense layers have no maps: skipped on both devices it would agree
    kinds = ("normalization=instance K=1", "normalization=instance K=3")
    kinds += ("instance K=33, twice", "instance K=33, twice without graphs")
    assert names == wanted - {f"mlp {kind}" for kind in kinds}


def test_cases_measure_sharpness_and_go_without_graphs_where_their_names_say_so():
    made = list(cases(TOY))
    assert all(case.sharpness == ("sharpness" in case.name) for case in made)
    assert all(case.again == ("twice" in case.name) for case in made)
    assert all(case.graphs == ("without graphs" not in case.name) for case in made)


@pytest.mark.parametrize(
    ("graphs", "choices"), [(True, ["always", "0"]), (False, ["0", "0"])], ids=["graphs", "eager"]
)
def test_what_has_to_repeat_itself_stays_on_its_device(graphs, choices):
    asked = []

    def trained(trials, **options) -> Record:
        asked.append((options["device"], os.environ[GRAPHS]))
        return train(trials, **options | {"device": "cpu"})

    row = compare(dataclasses.replace(case(again=True), graphs=graphs), "cuda", trained)
    assert row["agrees"]
    assert asked == [("cuda", choice) for choice in choices]


def test_a_sharpness_that_differs_is_found():
    turns = iter([1.0, 1.001])

    def trained(trials, **options) -> Record:
        record = train(trials, **options | {"device": "cpu"})
        history = record.history.assign(sharpness=record.history["sharpness"] * next(turns))
        return dataclasses.replace(record, history=history)

    plain = case()
    assert compare(plain, "cuda", trained)["agrees"]
    turns = iter([1.0, 1.001])
    row = compare(dataclasses.replace(plain, sharpness=True), "cuda", trained)
    assert row["differ"].startswith("history.sharpness: 0.001")


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


@pytest.fixture
def asked(check, tmp_path):
    """Options as `main` makes them where there is a GPU, on a CPU."""

    def made(*arguments: str, mps: bool = False):
        options = check.read_options([*arguments, "--results", str(tmp_path), "--scale", "smoke"])
        options.device, options.gpus, options.dataset, options.processes = "cpu", [], "digits", 1
        options.about, options.libraries = {"device": "a GPU", "commit": "0123456"}, {}
        options.mps, options.mps_word = (lambda: mps), (lambda: "yes" if mps else "no")
        return options

    return made


LATE = time.monotonic() + 3600


def test_what_no_gpu_has_been_asked_comes_first(check):
    assert list(check.STAGES)[:4] == ["baseline", "processes", "grid", "kernels"]
    assert list(check.STAGES)[-1] == "studies"
    assert set(check.SECONDS) | {"grid", "studies"} == set(check.STAGES)


@pytest.fixture
def here(check, monkeypatch):
    """Workers are this process: to start others takes longer than what they do."""
    for module in (check, sharing):
        monkeypatch.setattr(module, "open_pool", lambda *_: WorkerPool(InThisProcess(), lambda: 1))
        monkeypatch.setattr(module, "at_most", lambda _: 1)
    monkeypatch.setattr(
        check,
        "Workers",
        lambda *_: SimpleNamespace(submit=InThisProcess().submit, kill=lambda: None),
    )


def test_a_rehearsal_takes_every_stage_to_the_page(check, here, tmp_path, monkeypatch, capsys):
    """But for the two that begin commands, whose commands are tested as such."""
    monkeypatch.setattr(check, "REHEARSED", 0.5)
    monkeypatch.setattr("benchmark.timing.on_gpu.STEP_SECONDS", 0.01)
    stages = [name for name in check.STAGES if name not in ("grid", "studies")]
    status = check.main(["--rehearse", "--results", str(tmp_path), *stages])
    said = capsys.readouterr().out
    assert status == 0, said
    assert re.findall(r"^(\w+), at \d+ s$", said, flags=re.MULTILINE) == stages
    monkeypatch.setenv(evidence.VARIABLE, str(tmp_path))
    monkeypatch.setattr(evidence, "all_studies", list)
    text = page("gpu", tmp_path)
    assert re.findall("^## (.*)$", text, flags=re.MULTILINE) == [
        "Against a plain loop",
        "How many processes",
        "Which convolutions",
        "Are its numbers right?",
        "Steps as CUDA graphs",
        "Large groups",
        "How many networks together",
        "Limits",
    ]
    said = words(text)
    assert f"**They are**: all {len(check.one_of_each(list(cases())))} cases agree." in said
    assert "- Not measured yet: how long the whole grid takes." in said


def test_ghost_batches_are_checked_where_cnns_train_together(check):
    names = [case.name for case in cases(TOY) if check.is_ghost_batch(case)]
    repeated = "cnn ghost_batch K=33, twice"
    assert names == [
        "cnn normalization=ghost_batch K=3",
        repeated,
        f"{repeated} without graphs",
    ]


def noting(path: Path) -> list[str]:
    """A launcher that writes down what it is asked."""
    program = f"import sys; open({str(path)!r}, 'w').write(' '.join(sys.argv[1:]))"
    return [sys.executable, "-c", program]


@pytest.mark.parametrize("there", [True, False])
def test_studies_are_trained_at_once_and_share_the_gpu_where_they_can(
    check, asked, there, tmp_path, monkeypatch
):
    arguments = tmp_path / "arguments"
    monkeypatch.setattr(check, "launcher", lambda: noting(arguments))
    assert check.studies(asked("studies", mps=there), LATE)
    mps = " --mps" if there else ""
    assert arguments.read_text() == (
        f"{' '.join(check.STUDIES)} --at-once 4 --scale smoke --results {tmp_path} "
        f"--device cpu{mps}"
    )
    rows = pd.read_csv(tmp_path / "gpu" / "studies.csv")
    assert rows["study"].tolist() == [*check.STUDIES, "all"]
    assert set(rows["device"]) == {"a GPU"}


@pytest.mark.parametrize(("mps", "count"), [(False, 4), (True, 16)])
def test_the_grid_is_trained_by_the_number_of_processes_that_trained_most(
    check, asked, mps, count, tmp_path, monkeypatch
):
    hourly = {("no", 4): (90, 60), ("no", 16): (100, 50), ("yes", 4): (90, 60)}
    hourly |= {("yes", 16): (120, 70), ("yes", 2): (900, None)}
    rows = [
        {"mps": way, "processes": n, "model": model, "trials_an_hour": trials}
        for (way, n), each in hourly.items()
        for model, trials in zip(("mlp", "cnn"), each, strict=True)
        if trials
    ]
    (tmp_path / "gpu").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "gpu" / "processes.csv", index=False)
    arguments = tmp_path / "arguments"
    monkeypatch.setattr(check, "launcher", lambda: noting(arguments))
    # another call went before
    options = asked("grid", mps=mps)
    assert check.grid(options, LATE)
    assert check.grid(options, LATE)
    assert arguments.read_text().startswith(f"grid --workers {count} --scale smoke")
    table = pd.read_csv(tmp_path / "gpu" / "grid.csv")
    assert table["processes"].tolist() == [count, count]
    assert table["trials"].tolist() == [0, 0]


def test_arms_are_written_one_by_one(check, asked, tmp_path, monkeypatch):
    """What was timed is there, whatever becomes of the rest."""
    real = check.arm_jobs
    monkeypatch.setattr(check, "open_pool", lambda *_: WorkerPool(InThisProcess(), lambda: 1))
    monkeypatch.setattr(
        check,
        "Workers",
        lambda *_: SimpleNamespace(submit=InThisProcess().submit, kill=lambda: None),
    )

    def breaking(plan, lab):
        # what is warmed up, and the machine, the two loops and the engine alone of the first
        yield from itertools.islice(real(plan, lab), 6)
        yield broken

    def broken():
        raise RuntimeError("the GPU fell off the bus")

    monkeypatch.setattr(check, "arm_jobs", breaking)
    options = asked("baseline")
    options.minutes = None
    assert not check.ends_well("baseline", options, math.inf)
    rows, metadata = read("measurements", tmp_path / "gpu" / "throughput" / "measurements.parquet")
    assert rows.loc[rows["what"] == "trials", "arm"].tolist() == ["baseline", "tensors", "engine"]
    assert (metadata["device"], metadata["mps"]) == ("a GPU", "no")


def test_a_stage_that_fails_does_not_stop_the_next(check, asked, monkeypatch, capsys):
    def fails(options, end):
        raise KeyError("no kernel")

    monkeypatch.setattr(check, "STAGES", {"limits": fails, "widths": lambda *_: True})
    monkeypatch.setattr(check, "choose_device", torch.device)
    monkeypatch.setattr(check, "libraries", lambda _: {})
    monkeypatch.setattr(check, "describe_device", lambda _: "a GPU")
    assert check.main(["limits", "widths"]) == 1
    said = capsys.readouterr()
    assert "error: limits: 'no kernel'" in said.out
    assert "widths, at " in said.out
    assert said.out.splitlines()[-1] == "look at: limits"


@pytest.mark.parametrize(
    ("minutes", "left", "given"), [(9, 500, 90), (9, 60, 60), (None, 1e9, None)]
)
def test_a_stage_ends_in_its_own_time_and_in_that_of_all(check, asked, minutes, left, given):
    options, ends = asked("widths"), []
    options.minutes = minutes
    check.STAGES["widths"] = lambda _, end: not ends.append(end - time.monotonic())
    last = math.inf if minutes is None else time.monotonic() + left
    assert check.ends_well("widths", options, last)
    assert ends == [pytest.approx(given or math.inf, abs=5)]


def test_no_stage_begins_that_has_no_time(check, asked, capsys):
    options = asked("widths")
    options.minutes = 9
    check.STAGES["widths"] = None
    assert check.ends_well("widths", options, time.monotonic() + 5)
    assert "no time left" in capsys.readouterr().out


def test_rows_that_came_in_time_are_kept(check, asked, tmp_path):
    rows = check.keep(asked("limits"), "limits", ({"i": i} for i in range(9)), end=0.0)
    assert len(rows) == len(pd.read_csv(tmp_path / "gpu" / "limits.csv")) == 1


@pytest.mark.parametrize(("listens", "status"), [(True, -signal.SIGINT), (False, 1)])
def test_a_run_that_hangs_is_ended(listens, status, tmp_path):
    script = tmp_path / "hangs.py"
    script.write_text(
        "import signal, sys, threading, time\n"
        f"sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "import gpu_check\n"
        "gpu_check.GRACE = 0.5\n"
        # a shell's background jobs ignore it from the start
        f"signal.signal(signal.SIGINT, signal.{'default_int_handler' if listens else 'SIG_IGN'})\n"
        "gpu_check.ends_in_time(time.monotonic() + 0.1)\n"
        "threading.Event().wait(300)\n"
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert run.returncode == status
    assert run.stdout.splitlines() == ["", "out of time"]


def test_who_ends_the_check_ends_what_it_has_begun(check, monkeypatch, capsys):
    ended = []

    def begins(options, end):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            ended.append("workers and MPS")

    monkeypatch.setattr(check, "STAGES", {"limits": begins, "widths": lambda *_: True})
    monkeypatch.setattr(check, "choose_device", torch.device)
    monkeypatch.setattr(check, "libraries", lambda _: {})
    monkeypatch.setattr(check, "describe_device", lambda _: "a GPU")
    before = signal.getsignal(signal.SIGTERM)
    assert check.main(["limits", "widths"]) == 130
    assert ended == ["workers and MPS"]
    assert "widths" not in capsys.readouterr().out.partition("limits, at")[2]
    assert signal.getsignal(signal.SIGTERM) == before


LANDS = "signal.signal(2, lambda *_: sys.exit(130)); "
IGNORES = "signal.signal(2, signal.SIG_IGN); "


@pytest.mark.parametrize(
    ("program", "status"), [("sys.exit(3)", 3), (LANDS, 130), (IGNORES, -15)], ids=str
)
def test_a_command_is_asked_to_stop_and_then_told(program, status, monkeypatch):
    monkeypatch.setattr(for_a_time, "WATCHED", 0.2)
    sleep = "" if "exit(3)" in program else "time.sleep(60)"
    command = [sys.executable, "-c", f"import signal, sys, time; {program}{sleep}"]
    looks = []
    found, taken = for_a_time.run_for(command, 4.0, looks.append)
    assert found == status
    assert looks == sorted(looks)
    assert looks[-1] == taken
    assert taken < 20


def test_progress_counts_what_has_landed_and_what_was_there(tmp_path):
    factors = {"dataset": "digits", "normalization": ("none", "layer"), "updates": 4, "width": 8}
    study = Study(name="tiny", question="?", factors=factors, checkpoints=4, seeds=range(2))
    options = Options(tmp_path, device="cpu", progress=False, executor="here")
    empty = for_a_time.Progress(tmp_path, "tiny", 4)
    run_study(study, options)
    assert empty.row(2.0) | {"began": ""} == {
        **{"began": "", "seconds": 2.0, "trials": 4, "trained": 4, "of": 4},
        "work": pytest.approx(1.0),
    }
    again = for_a_time.Progress(tmp_path, "tiny", 4)
    assert again.row(0.0)["trained"] == 0


@pytest.mark.parametrize("count", [1, 3])
def test_every_number_of_processes_trains_the_same_units(count, monkeypatch):
    trained = []
    monkeypatch.setattr(sharing, "trained", lambda trial, seeds, *_: trained.append(list(seeds)))
    monkeypatch.setattr(sharing, "at_most", lambda count: count)
    opened = []

    def open_pool(choice, workers, gpus):
        opened.append((choice, workers, gpus))
        return WorkerPool(InThisProcess(), lambda: 1)

    monkeypatch.setattr(sharing, "open_pool", open_pool)
    rows = list(
        sharing.by_processes("smoke", ["cuda:0"], "cpu", until=LATE, counts=[count], units=4)
    )
    assert opened == [("processes", count, ["cuda:0"])]
    # before that each process has had a unit of each network
    mlp, cnn = trained[2 * count : 3 * count], trained[3 * count :]
    assert sorted(itertools.chain(*mlp)) == sorted(itertools.chain(*cnn)) == list(range(8))
    assert {len(part) for part in mlp} == ({8} if count == 1 else {2, 4})
    assert [(r["model"], r["processes"], r["trials"]) for r in rows] == [
        ("mlp", count, 8),
        ("cnn", count, 8),
    ]


def test_numbers_of_processes_end_in_time(monkeypatch):
    monkeypatch.setattr(sharing, "trained", lambda *_: None)
    monkeypatch.setattr(sharing, "at_most", lambda count: count)
    monkeypatch.setattr(sharing, "open_pool", lambda *_: WorkerPool(InThisProcess(), lambda: 1))
    rows = list(sharing.by_processes("smoke", [], "cpu", until=0.0, counts=[2, 1]))
    assert [row["processes"] for row in rows] == [2, 2]


@pytest.fixture
def trained_ways(monkeypatch):
    """What `by_kernels` trains in two processes: (what, seeds, together, the variable)."""
    found = []

    def trained(trial, seeds, together, device):
        what = (trial.model, trial.normalization, trial.dataset.name)
        found.append((what, list(seeds), together, os.environ[VARIABLE]))
        return [0.5] * len(seeds)

    monkeypatch.setattr(kernel_choice, "trained", trained)
    monkeypatch.setattr(kernel_choice, "load", lambda _: None)
    return found


def test_both_kernels_train_the_same_trials_in_as_many_processes(trained_ways):
    lab = Lab(InThisProcess(), InThisProcess(), InThisProcess(), 2, "cpu")
    rows = frame("measurements", list(itertools.chain(*kernel_choice.by_kernels("full", lab, 2))))
    ways = rows.groupby("arm")[["workload", "factor", "trials_together", "processes", "repeat"]]
    engine, by_torch = ways.get_group("engine"), ways.get_group("torch_kernels")
    assert engine.to_numpy().tolist() == by_torch.to_numpy().tolist()
    assert (rows["trials"] == rows["trials_together"] * rows["processes"]).all()
    # which is first takes turns
    first = rows.iloc[::2].groupby("repeat")["arm"].unique().map(list).to_dict()
    assert first == {0: ["engine"], 1: ["torch_kernels"]}
    seeds = {choice: [c[:3] for c in trained_ways if c[3] == choice] for choice in ("", "torch")}
    assert sorted(map(repr, seeds[""])) == sorted(map(repr, seeds["torch"]))


def test_kernels_are_chosen_for_every_model_that_has_convolutions():
    there = {condition.model for condition in kernel_choice.conditions(8)}
    assert there == {"cnn", "cnn_2c2d", "cnn_deep", "resnet", "mlp"}
    ways = {(c.together, c.processes) for c in kernel_choice.conditions(8)}
    assert ways == {(16, 8), (16, 1), (1, 1)}


def test_a_pair_that_is_cut_off_is_no_repeat():
    way = {"what": "kernels", "workload": "cnn", "factor": "none", "trials_together": 4}
    way |= {"processes": 1, "trials": 4, "steps": 100, "accuracy": 0.5, "seconds": 1.0}
    arms = [("engine", 0), ("torch_kernels", 0), ("engine", 1)]
    rows = pd.DataFrame([way | {"arm": arm, "repeat": repeat} for arm, repeat in arms])
    assert kernels_compared(rows)["repeats"].tolist() == [1]
    assert kernels_compared(frame("measurements", [])).empty


@pytest.mark.parametrize("arm", ["baseline", "tensors", "engine"])
@pytest.mark.parametrize("workload", plan_on_gpu("smoke").workloads, ids=lambda w: w.name)
def test_every_arm_keeps_to_the_gpu(arm, workload, monkeypatch):
    # the CPU's compiled convolutions take seconds to compile
    monkeypatch.setenv(VARIABLE, "torch")
    way = comparison.Condition(arm, 2)
    with pretended_gpu() as watch:
        found = comparison._accuracies(workload.trial, [0, 1], way, "cuda:0")
    assert watch.launches > 0
    on_cpu = comparison._accuracies(workload.trial, [0, 1], way, "cpu")
    # an example may change sides
    assert found == pytest.approx(on_cpu, abs=1.5 / workload.piece.evaluated)


def test_a_gpu_is_timed_with_more_together_than_a_cpu():
    plan = plan_on_gpu("full")
    assert max(plan.workload("mlp_fashion").together) > 64
    assert {w.name for w in plan.workloads} == set(speed.TIMES_TENSORS)
    steps = {w.piece.train / w.trial.batch_size for w in plan.workloads}
    # longer than launches and clocks that rise, and yet a CPU does not wait for minutes
    assert (plan.operations, plan.own_operations) == (1e13, 1e12)
    assert plan_on_gpu("smoke").operations < 1e9
    # all arms take whole batches, and enough of them for a graph
    assert all(s == int(s) >= LEAST_STEPS for s in steps)
