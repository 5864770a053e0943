"""The side-by-side comparison of speed: that all arms do the same work, and what timings come to.

No time is ever asserted: only what is done, counted, written and printed.
"""

import dataclasses
import io
import itertools
import math
import os
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from pages import page, words

from benchmark.data import load
from benchmark.engine import resolve
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.resolve import parts_of
from benchmark.kernels import VARIABLE, kernels
from benchmark.parquet import read, write
from benchmark.records import Trial
from benchmark.results import ResultsError, studies_in
from benchmark.schema import MEASUREMENTS, frame
from benchmark.statistics import speed
from benchmark.strategies.clipping import CLIPPINGS
from benchmark.timing import comparison, driving, guards, peers, plan_of
from benchmark.timing.arithmetic import multiply, operations, products_of
from benchmark.timing.baseline import network, with_loader, with_tensors
from benchmark.timing.comparison import trained
from benchmark.timing.driving import Untrained, grid, seconds_to_first_unit
from benchmark.timing.plans import Piece
from benchmark.timing.strategies import BASELINES, time_levels

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = runpy.run_path(str(ROOT / "studies" / "throughput.py"))


@pytest.fixture(scope="module")
def workloads():
    """The smoke plan's, on made-up images whatever this machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.timing.plans.fashion", lambda: None)
        return {w.name: w for w in plan_of("smoke").workloads}


# the script, once, at smoke scale


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Exit status, file and output of the script."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BENCHMARK_DATA", raising=False)
        arguments = ["--scale", "smoke", "--results", str(results), "--device", "cpu"]
        # not the builtin, which numba looks up where it compiles first
        with redirect_stdout(io.StringIO()) as said:
            status = SCRIPT["main"]([*arguments, "--workers", "2"])
    return status, results / "throughput" / "measurements.parquet", said.getvalue()


@pytest.fixture(scope="module")
def timings(run):
    return read("measurements", run[1])[0]


def test_the_script_runs_and_all_arms_agree(run):
    status, _, said = run
    assert status == 0
    assert "All arms agree in accuracy within noise" in said


def test_every_arm_trains_every_workload_alone_and_at_once(timings):
    rows = timings[timings["what"] == "trials"]
    ways = rows.groupby(["arm", "trials_together", "processes"])["workload"].nunique()
    expected = {("baseline", 1), ("tensors", 1), ("engine", 1), ("engine", 2)}
    everywhere = {(*way, n) for way in expected for n in (1, 2)}
    assert {way for way, workloads in ways.items() if workloads == 5} == everywhere
    # in as many processes as the engine, at one width of one workload: they have to be compiled
    beside = {("jax", 2, 2)} if peers.jax_is_installed() else set()
    beside |= {("torch_kernels", 1, 2)} if kernels() != "torch" else set()
    assert set(ways.index) - everywhere == beside


def test_every_timing_took_time_and_memory(timings):
    assert (timings["seconds"] > 0).all()
    assert (timings.loc[timings["what"] == "trials", "cpu_seconds"] > 0).all()
    assert (timings.loc[timings["what"] == "trials", "peak_bytes"] > 2**20).all()


def test_every_strategy_is_timed_or_impossible(timings):
    rows = timings[timings["what"] == "strategies"]
    by = rows.groupby("factor")["arm"].unique().map(set)
    assert set(by.index) == set(BASELINES)
    assert not {BASELINES[factor] in arms for factor, arms in by.items()} & {True}
    assert {"zclip", "skip_step", "adagc", "update_rms"} <= by["clipping"]
    assert {"batch", "instance", "weight_norm"} <= by["normalization"]
    assert {"full", "norm_test", "cabs", "dive"} <= by["batch_policy"]


def test_every_clipping_is_timed_as_a_guard(timings):
    rows = timings[timings["what"] == "guards"]
    assert set(rows["arm"]) == {"bare", *CLIPPINGS}
    assert set(rows["workload"]) == {"mlp_digits", "mlp_fashion"}
    assert (rows["baseline_cpu_seconds"] > 0).all()


def test_a_loop_with_a_guard_trains_and_is_clipped(workloads):
    trial = workloads["mlp_digits"].trial
    made = []
    with pytest.MonkeyPatch.context() as patch:
        real = guards.clip.attach
        patch.setattr(guards.clip, "attach", lambda *a, **k: made.append(real(*a, **k)))
        assert guards.loop(trial, "cpu", guard="normalized")(3) == 3
    assert made[0].log["norm_after"].tolist() == pytest.approx([1.0] * 3, rel=1e-4)


def test_the_file_says_what_made_it_and_is_no_study(run):
    _, metadata = read("measurements", run[1])
    assert {"commit", "torch", "device", "command", "created"} <= set(metadata)
    with pytest.raises(ResultsError, match="holds no study"):
        studies_in(run[1].parents[1])


@pytest.mark.parametrize(
    "text",
    [
        *("(a) DataLoader", "(d) engine, K = 2", "Targets", "made-up images", "zclip", "driver"),
        *("Beside the engine, in as many processes", "plain loop over tensors"),
    ],
)
def test_the_tables_are_printed(run, text):
    assert text in run[2]


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (
            1e-3,
            "Faster than this engine**, in processor time per trial",
        ),
        (1e3, "No other program that was timed takes significantly less processor time per trial"),
    ],
)
def test_the_page_says_first_where_a_peer_is_ahead(factor, said, run, tmp_path, monkeypatch):
    timings, metadata = read("measurements", run[1])
    # for certain, whatever this machine is busy with
    slower = timings["arm"].isin(["jax", "baseline"])
    timings.loc[slower, "cpu_seconds"] *= 1e3
    timings.loc[timings["arm"].eq("tensors"), "cpu_seconds"] *= factor
    write("measurements", timings, tmp_path / "throughput" / "measurements.parquet", metadata)
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path))
    text = words(page("throughput", tmp_path))
    assert said in text
    assert text.index(said) < text.index("## Trials an hour")
    assert "nan" not in text.lower().split()
    assert "(a) DataLoader" in text
    assert "are met" in text
    assert text.index("What a clipping costs in a loop in torch") < text.index(said)
    assert all(f"| {title} |" in text for title in ("clipping", "normalization", "optimizer"))


def test_without_the_file_the_page_is_left_with_its_title(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path))
    assert page("throughput", tmp_path).split("\n", 1)[1].isspace()
    assert page("not_run", tmp_path).count("python -m benchmark run throughput") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scale", "smok"], "'smoke'"),
        (["--workers", "0"], "--workers: must be a whole number >= 1, but got '0'"),
        (["--device", "gpu"], "'gpu'"),
    ],
)
def test_bad_input_is_one_line(arguments, said, capsys):
    try:
        status = SCRIPT["main"](arguments)
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2
    assert said in error
    assert error.count("\n") == 1


def test_without_jax_one_line_says_so_and_its_arm_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    asked = []
    monkeypatch.setitem(SCRIPT["main"].__globals__, "measure", stopped(asked))
    assert SCRIPT["main"](["--scale", "smoke", "--device", "cpu", "--workers", "1"]) == 2
    assert capsys.readouterr().out.count(peers.NO_JAX) == 1
    ((plan, lab),) = asked
    arms = {c.arm for w in plan.workloads for c in comparison._conditions(plan, w, lab)}
    assert {"engine", "baseline", "tensors"} <= arms <= {*speed.ARMS} - {"jax"}


def stopped(asked):
    """A measurement that notes what it was asked, and ends there."""

    def measure(*arguments):
        asked.append(arguments)
        raise ValueError("no timing here")

    return measure


def test_a_gpu_is_refused_in_a_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(SCRIPT["main"].__globals__, "choose_device", torch.device)
    assert SCRIPT["main"](["--device", "cuda", "--results", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "gpu_check baseline" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arm", ["baseline", "tensors"])
def test_loops_round_products_as_the_engine_does(arm, monkeypatch):
    seen = []

    def loop(*arguments):
        seen.append(torch.backends.cudnn.conv.fp32_precision)
        return [1.0]

    monkeypatch.setattr(comparison, "with_loader", loop)
    monkeypatch.setattr(comparison, "with_tensors", loop)
    condition = comparison.Condition(arm)
    before = torch.backends.cudnn.conv.fp32_precision
    assert comparison._accuracies(Trial(), [0], condition, "cpu") == [1.0]
    assert seen == ["ieee"] != [before]


@pytest.mark.parametrize(("device", "width"), [("cpu", 1), ("cuda", 16)])
def test_on_a_gpu_as_many_train_before_as_are_timed(device, width, workloads):
    asked = []

    def at_once(call, each, executor):
        asked.append([arguments[2] for arguments in each])

    lab = SimpleNamespace(
        at_once=at_once, processes=2, device=device, executor=None, plain=None, peers=None
    )
    wide = comparison.Condition("engine", 16, 2)
    comparison._warm_up(workloads["mlp_digits"], [wide], lab)
    assert asked == [[range(width)] * 2]


def test_every_workload_is_timed_in_each_repeat(workloads):
    plan = dataclasses.replace(plan_of("smoke"), workloads=tuple(workloads.values()), repeats=2)
    lab = SimpleNamespace(processes=1, device="cuda")
    jobs = list(comparison.arm_jobs(plan, lab))
    measured = [job.args for job in jobs if job.func is comparison._measure]
    order = [(repeat, workload.name) for workload, _, _, repeat in measured]
    assert list(dict.fromkeys(order)) == list(itertools.product(range(2), workloads))


@pytest.mark.parametrize("scale", ["quick", "standard", "paper", "full"])
def test_jax_stands_beside_the_engine_on_every_workload(scale):
    workloads = plan_of(scale).workloads
    assert {"mlp_fashion", "cnn_fashion", "mlp_digits", "mlp_base"} <= {w.name for w in workloads}
    assert {w.name for w in workloads} <= set(speed.WORKLOADS)
    assert all(w.jax for w in workloads)
    assert all(w.torch_kernels for w in workloads)
    assert plan_of(scale).repeats >= 5


@pytest.mark.parametrize("before", [None, "torch"])
def test_the_engine_is_timed_without_compiled_kernels_and_gets_them_back(before, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    if before:
        monkeypatch.setenv(VARIABLE, before)
    with comparison._kernels("torch"):
        assert kernels() == "torch"
    assert os.environ.get(VARIABLE) == before


# the same work


@pytest.mark.parametrize("name", ["mlp_digits", "cnn_digits", "mlp_fashion"])
def test_the_baseline_s_network_starts_as_the_engine_s(name, workloads):
    trial = resolve(workloads[name].trial)
    program = Program(parts_of(trial), trial, torch.device("cpu"))
    module = network(trial, trial.seed)

    parameters = program.layout.join(dict(module.named_parameters()))

    assert torch.equal(parameters, program.start([trial]).parameters[0])


def test_tensors_in_the_engine_s_order_train_to_the_same_accuracy(workloads, monkeypatch):
    # the arms differ in nothing but the order of examples: given the engine's, they are equal
    from benchmark.engine.runs.order import data_order

    trial = workloads["mlp_digits"].trial
    examples = workloads["mlp_digits"].piece.train
    order = data_order(7, examples, 0, examples)
    monkeypatch.setattr(torch, "randperm", lambda n, generator=None: order[:n])

    (plain,) = with_tensors(trial, [7], "cpu")
    (engine,) = trained(trial, [7], 1, "cpu")

    assert plain == pytest.approx(engine, abs=1.5 / workloads["mlp_digits"].piece.evaluated)


def test_the_loader_gives_what_the_tensors_are(workloads, monkeypatch):
    trial = workloads["mlp_digits"].trial
    examples = workloads["mlp_digits"].piece.train
    order = torch.arange(examples)
    monkeypatch.setattr(torch, "randperm", lambda n, generator=None: order[:n])

    assert with_loader(trial, [3], "cpu") == pytest.approx(
        with_tensors(trial, [3], "cpu"), abs=1.5 / workloads["mlp_digits"].piece.evaluated
    )


def test_made_up_images_are_the_same_each_time_and_can_be_learned(workloads):
    piece = Piece(None, 512, 200)
    first, second = piece(), piece()
    assert torch.equal(first.train_images, second.train_images)
    assert first.train_images.dtype == torch.uint8
    accuracies = with_tensors(workloads["mlp_fashion"].with_examples(5120, 200), [0], "cpu")
    assert accuracies[0] > 0.4


def test_a_piece_is_the_first_examples_of_its_data_set():
    whole, part = load("digits"), Piece("digits", 100, 20)()
    assert torch.equal(part.train_images, whole.train_images[:100])
    assert len(part.validation_labels) == len(part.test_labels) == 20
    assert part.mean == whole.mean


# counted operations


def test_operations_of_a_perceptron_are_those_one_counts_by_hand(workloads):
    trial = workloads["mlp_digits"].trial
    forward = 2 * (64 * 256 + 256 * 10)
    # backward: the weights' gradients of both layers, and the inputs' of the second
    backward = 2 * (64 * 256 + 2 * 256 * 10)

    assert operations(trial, 64, 0) == 64 * (forward + backward)
    assert operations(trial, 0, 5) == 5 * forward


@pytest.mark.parametrize("name", ["mlp_digits", "cnn_digits", "cnn_fashion"])
def test_the_products_are_as_many_operations_as_a_step(name, workloads):
    trial = workloads[name].trial
    by_hand = sum(2 * m * k * n for m, k, n in products_of(trial))
    assert by_hand == operations(trial, trial.batch_size, 0)


def test_matrices_are_multiplied_as_often_as_asked():
    count, cost = multiply([(4, 5, 6), (2, 3, 4)], "cpu", 1e4)
    once = 2 * (4 * 5 * 6 + 2 * 3 * 4)
    assert count % once == 0
    assert count == pytest.approx(1e4, abs=once)
    assert cost.seconds > 0


# strategies, driver, start-up


def test_impossible_levels_are_left_out(workloads):
    rows = time_levels("normalization", workloads["mlp_digits"].trial, 1, "cpu", 1, 0.0)
    arms = {row["arm"] for row in rows}
    assert "instance" not in arms
    assert {"batch", "layer"} <= arms
    assert all(row["steps"] == row["baseline_steps"] > 0 for row in rows)


def test_a_policy_s_steps_are_those_it_takes(workloads):
    trial = workloads["mlp_digits"].with_examples(128, 16)
    rows = {r["arm"]: r for r in time_levels("batch_policy", trial, 1, "cpu", 1, 0.0)}
    assert rows["full"]["steps"] == 1
    assert rows["full"]["baseline_steps"] == rows["accumulate"]["steps"] == 128 // trial.batch_size


@pytest.mark.parametrize("cells", [20, 40, 1000])
def test_the_driver_s_grid_has_so_many_cells_in_units_of_ten(cells):
    from benchmark.driver.units import make_units

    trials = [resolve(trial) for trial in grid(cells).trials()]
    assert len({trial.cell for trial in trials}) == cells
    units = make_units("grid", trials, checkpoints=4, layers=False, sharpness=False, device="cpu")
    assert {len(unit.trials) for unit in units} == {10}


@pytest.mark.parametrize("cells", [10_000, 100_000])
def test_the_driver_s_largest_grids_are_networks_that_exist(cells):
    levels = {k: list(v) for k, v in grid(cells).blocks()[0].items() if not isinstance(v, str)}
    assert math.prod(map(len, levels.values())) == cells
    resolve(Trial(model="mlp_deep", **{name: values[-1] for name, values in levels.items()}))


def test_nothing_is_trained_where_the_driver_is_timed(monkeypatch):
    monkeypatch.setattr("benchmark.driver.units.train", lambda *_, **__: pytest.fail("trained"))
    (row,) = driving._drive(20, 0)
    assert row["trials"] == 20
    assert row["seconds"] > 0


def test_the_making_of_rows_is_not_the_driver_s_time():
    from benchmark.driver.units import Unit, train_unit

    untrained = Untrained()
    trials = tuple(resolve(trial) for trial in grid(20).trials())
    future = untrained.submit(train_unit, Unit("s", trials, 4, False, False, "cpu"))
    record = future.result().record()
    assert set(record.trials["status"]) == {"stable"}
    assert len(record.history) == 20 * 5
    assert untrained.seconds > 0


def landing(folder, seconds):
    code = (
        f"import time, pathlib as p; time.sleep({seconds}); q = p.Path({str(folder)!r}) / 'parts'"
    )
    code += "; q.mkdir(parents=True); (q / 'a.trials.parquet').touch(); time.sleep(60)"
    return [sys.executable, "-c", code]


def test_the_start_up_ends_with_the_first_unit(tmp_path):
    assert seconds_to_first_unit(landing(tmp_path / "grid", 0.2), tmp_path / "grid") > 0.2


def test_a_script_that_fails_says_why(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with pytest.raises(RuntimeError, match="no such thing"):
        seconds_to_first_unit(command, tmp_path)


# statistics


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2.0], (2, 2, 2)),
        ([1.0, 3.0, 2.0], (2, 1, 3)),
        # 1 - 2 (1 + 9) / 2^9 = 96% for the second from either end
        (range(1, 10), (5, 2, 8)),
        # 1 - 2 / 2^8 with the ends alone; with the second from either end 1 - 2 (1 + 8) / 2^8 = 93%
        (range(1, 9), (4.5, 1, 8)),
        ([1.0, math.nan, 2.0, 3.0], (2, 1, 3)),
    ],
)
def test_the_interval_of_a_median_on_numbers_one_can_check(values, expected):
    assert speed.median_interval(values) == expected


def test_the_interval_of_a_median_holds_it_as_often_as_it_says():
    draws = np.random.default_rng(0).exponential(size=(2000, 15))
    held = [low <= math.log(2) <= high for _, low, high in map(speed.median_interval, draws)]
    assert np.mean(held) >= 0.945


def trial_row(arm, seconds, **more):
    plain = {"what": "trials", "workload": "mlp_digits", "arm": arm, "trials_together": 1}
    plain |= {"processes": 1, "threads": 1, "repeat": 0, "trials": 1, "operations": 4e9}
    plain |= {"accuracy": 0.9, "evaluated": 100, "peak_bytes": 1, "device": "cpu"}
    return plain | {"seconds": seconds, "cpu_seconds": seconds} | more


def machine_row(rate, arm="square", **more):
    plain = {"what": "machine", "workload": "mlp_digits", "arm": arm, "processes": 1, "repeat": 0}
    return plain | {"operations": rate, "seconds": 1.0, "cpu_seconds": 1.0} | more


def summary_of(*rows):
    return speed.throughput(frame("measurements", list(rows)))


def test_ratios_and_shares_on_numbers_one_can_check():
    found = summary_of(
        trial_row("baseline", 8.0),
        trial_row("baseline", 8.0, processes=2, trials=2),
        trial_row("tensors", 4.0),
        trial_row("engine", 4.0, trials=4, operations=16e9, processes=2, cpu_seconds=8.0),
        machine_row(8e9),
        machine_row(16e9, processes=2),
        machine_row(4e9, "products"),
        machine_row(8e9, "products", processes=2),
    )
    (row,) = found[found["arm"] == "engine"].to_dict("records")
    assert row["seconds"] == 1.0
    assert row["an_hour"] == 3600
    assert row["times"] == 8.0
    assert row["times_alike"] == 4.0
    assert row["times_tensors"] == 4.0
    assert row["cpu_times"] == 4.0
    assert row["share"] == 0.25
    assert row["own_share"] == 0.5
    assert row["cpu_share"] == pytest.approx((16e9 / 8) / 16e9)


def test_the_baseline_is_the_faster_of_one_thread_and_several():
    found = summary_of(
        trial_row("baseline", 8.0),
        trial_row("baseline", 6.0, threads=2, cpu_seconds=12.0),
        trial_row("tensors", 4.0),
        trial_row("engine", 2.0),
        machine_row(8e9),
        machine_row(8e9, "products"),
    )
    (row,) = found[found["arm"] == "engine"].to_dict("records")
    assert row["times"] == 3.0
    assert row["times_alike"] == 4.0


def test_ratios_pair_the_repeats():
    # the second repeat was taken under twice the load
    rows = [
        row
        for repeat, load_factor in enumerate((1.0, 2.0, 1.0))
        for row in (
            trial_row("baseline", 6.0 * load_factor, repeat=repeat),
            trial_row("tensors", 3.0 * load_factor, repeat=repeat),
            trial_row("engine", 2.0 * load_factor, repeat=repeat),
            machine_row(8e9, repeat=repeat),
            machine_row(8e9, "products", repeat=repeat),
        )
    ]
    found = summary_of(*rows)
    (row,) = found[found["arm"] == "engine"].to_dict("records")
    assert (row["times"], row["times_low"], row["times_high"]) == (3, 3, 3)


def test_arms_are_compared_at_their_best_widths_in_as_many_processes():
    rows = []
    for repeat, load_factor in enumerate((1.0, 2.0, 1.0)):
        both = {"processes": 2, "repeat": repeat, "trials": 2}
        rows += [
            # the engine in one process and JAX alone do worse, and do not count
            trial_row("engine", 1.0, repeat=repeat),
            trial_row("engine", 4.0 * load_factor, **both),
            trial_row("engine", 2.0 * load_factor, **both, trials_together=8),
            trial_row("jax", 3.0 * load_factor, **both),
            trial_row("jax", 1.0 * load_factor, **both, trials_together=4, cpu_seconds=1.5),
            trial_row("tensors", 3.0 * load_factor, **both),
            trial_row("baseline", 8.0 * load_factor, **both),
        ]
    found = speed.relative(frame("measurements", rows))
    assert found["arm"].tolist() == ["engine", "jax", "tensors", "baseline"]
    assert found["trials_together"].tolist() == [8, 4, 1, 1]
    assert found["cpu"].tolist() == [1.0, 0.75, 1.5, 4.0]
    assert found["cpu_low"].tolist() == [1.0, 0.375, 1.5, 4.0]
    assert found["hourly"].tolist() == pytest.approx([1.0, 2.0, 2 / 3, 0.25])
    assert (found["repeats"] == 3).all()
    assert speed.ahead(found)["arm"].tolist() == ["jax"]


@pytest.mark.parametrize(
    ("arm", "high", "leads"),
    [
        ("jax", 0.9, True),
        ("jax", 1.1, False),
        ("torch_kernels", 0.9, False),
        ("tensors", 0.9, True),
    ],
)
def test_a_peer_is_ahead_where_its_interval_is(arm, high, leads):
    found = speed.ahead(pd.DataFrame({"arm": [arm], "cpu": [0.8], "cpu_high": [high]}))
    assert len(found) == leads


def agreement_of(engine):
    rows = [
        trial_row("baseline", 1.0, accuracy=accuracy, repeat=i)
        for i, accuracy in enumerate((0.90, 0.92, 0.88))
    ]
    rows += [
        trial_row(
            "engine", 1.0, trials=4, trials_together=4, accuracy=engine, accuracy_deviation=0.02
        )
    ]
    found = speed.agreement(frame("measurements", rows))
    return found[found["arm"] == "engine"].iloc[0]


def test_the_error_of_a_difference_is_pooled_from_the_spread_over_trials():
    # sums of squares 8e-4 of 3 trials and 3 * 4e-4 of 4: variance 4e-4
    row = agreement_of(0.90)
    assert row["error"] == pytest.approx(0.02 * math.sqrt(1 / 3 + 1 / 4))
    assert row["difference"] == pytest.approx(0)


@pytest.mark.parametrize(
    ("accuracy", "agrees"), [(0.90, True), (0.96, True), (0.82, False), (0.99, False)]
)
def test_arms_agree_within_noise_only(accuracy, agrees):
    assert agreement_of(accuracy)["agrees"] == agrees


def test_an_overhead_is_of_a_step_and_of_the_same_examples():
    row = {"what": "strategies", "workload": "mlp_digits", "factor": "batch_policy", "arm": "full"}
    row |= {"trials_together": 1, "repeat": 0, "trials": 1, "steps": 2, "baseline_steps": 8}
    row |= {"seconds": 1.0, "cpu_seconds": 3.0, "baseline_seconds": 1.0, "baseline_cpu_seconds": 2}
    (found,) = speed.overheads(frame("measurements", [row]), "strategies").to_dict("records")
    assert found["examples"] == pytest.approx(0.5)
    assert found["step"] == pytest.approx(5.0)


def test_the_schema_names_every_column_once(timings):
    assert list(timings.columns) == list(MEASUREMENTS)
    assert pd.api.types.is_float_dtype(timings["seconds"])


def test_fashion_is_asked_of_the_environment(monkeypatch, tmp_path):
    from benchmark.timing import plans

    monkeypatch.setattr(plans, "cache_folder", lambda: tmp_path / "none")
    monkeypatch.delenv("BENCHMARK_DATA", raising=False)
    assert plans.fashion() is None
    monkeypatch.setitem(os.environ, "BENCHMARK_DATA", str(tmp_path))
    assert plans.fashion() == "fashion-mnist"
