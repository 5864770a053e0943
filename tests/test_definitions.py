"""A study script as users run it: its mistakes, trials that fail, notebooks, recorded commands."""

import dataclasses
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TOY
from hypothesis import given, settings
from test_input import VALUES

from benchmark import Clipping, RelativeRates, Search, Study, Trial
from benchmark.driver import commandline, execution, executors
from benchmark.driver.running import resolve_all
from benchmark.driver.search import check_space
from benchmark.project import EXAMPLES
from benchmark.provenance import command
from benchmark.records import CONFIGURATION
from benchmark.results import load_study

ROOT = Path(__file__).resolve().parents[1]
LAUNCHER = "/usr/lib/python3/dist-packages/ipykernel_launcher.py"


def study(**fields: Any) -> Study:
    factors = {"dataset": TOY, "batch_size": 16, "epochs": 1}
    return Study(**{"name": "s", "question": "?", "factors": factors, "checkpoints": 4} | fields)


def run(make: Callable[[str], Any], folder: Path, *arguments: str) -> int:
    options = ["--results", str(folder), "--executor", "here", "--device", "cpu"]
    return commandline.run(make, [*options, *arguments])


# mistakes in the definition


def no_such_scale(scale: str) -> Study:
    return study(seeds={"quick": (0,)}[scale])


MISTAKES: dict[str, tuple[Callable[[str], Any], str]] = {
    "a factor": (lambda scale: study(factors={"clippng": "none"}), "unknown factor 'clippng'"),
    "a level": (lambda scale: study(factors={"learning_rate": "fast"}), "`learning_rate` must be"),
    "a strategy": (lambda scale: study(factors={"clipping": "globl_norm"}), "'global_norm'"),
    "an object": (lambda scale: study(factors={"clipping": TOY}), "`clipping` must be a name or"),
    "checkpoints": (lambda scale: study(checkpoints=6), "`checkpoints` must be a multiple of 4"),
    "seeds": (lambda scale: study(seeds=3), "`seeds` must be a sequence"),
    "the name": (lambda scale: study(name="../../x"), "`name` must be 1 to 64 letters"),
    "a field": (lambda scale: study(factor={}), "unexpected keyword argument 'factor'"),
    "a missing field": (lambda scale: Study(name="x"), "missing 2 required keyword-only"),
    "a trial": (lambda scale: Trial(lr=0.1), "unexpected keyword argument 'lr'"),
    "a rate": (lambda scale: RelativeRates(low=0.2, high=1), "`low` must be a half-decade"),
    "a number": (5, "`make` must be a Study, a Search or a function of the scale, but got 5"),
    "nothing": (lambda scale: None, "a study must be a Study or a Search, but got None"),
    "a seed that overflows": (
        lambda scale: study(seeds=(2**64,)),
        "`seeds[0]` must be a whole number",
    ),
    "a large batch": (lambda scale: study(factors={"batch_size": 10**20}), "`batch_size` must be"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_definition_is_one_line(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = MISTAKES[mistake]
    assert run(make, tmp_path / "results" / "deep") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_a_scale_that_the_script_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(no_such_scale, tmp_path / "r", "--scale", "standard") == 2
    assert capsys.readouterr().err == "error: this study has no scale 'standard'\n"
    assert not (tmp_path / "r").exists()


def test_an_error_of_the_scripts_program_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        run(lambda scale: study(seeds=range(1 + scale)), tmp_path)  # type: ignore[operator]
    with pytest.raises(KeyError, match="mlp"):
        run(lambda scale: {}["mlp"], tmp_path)


class Trained(Exception):
    """Raised instead of training: the definition was accepted."""


def no_training(chosen: Study | Search, options: Any) -> Any:
    if isinstance(chosen, Study):
        resolve_all(list(chosen.trials()))
    else:
        check_space(chosen, [Trial()])
    raise Trained


@pytest.mark.parametrize("field", CONFIGURATION)
@given(value=VALUES)
@settings(max_examples=15)
def test_any_level_is_accepted_or_refused_before_there_is_a_file(
    field: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "never"
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "run_study", no_training)
        patch.setattr(commandline, "refuse", lambda error: lines.append(str(error)) or 2)
        try:
            status = run(lambda scale: study(factors={field: value}), folder)
        except Trained:
            assert not lines
        else:
            assert status == 2
            assert len(lines) == 1
            assert "\n" not in lines[0]
    assert not folder.exists()


# trials that fail


def average(gradient: Any, state: Any, threshold: Any, context: Any) -> Any:
    raise KeyError("average")


def sum_of(gradient: Any, state: Any, threshold: Any, context: Any) -> Any:
    raise RuntimeError("out of luck")


AVERAGE = Clipping("average", average, None, reference="-", summary="-")
SUM = dataclasses.replace(AVERAGE, name="sum", clip=sum_of)


NO_STATE = "ValueError: a rule reads 'average' of its state, which has []: its `init` must make it"


@pytest.mark.parametrize(
    ("clipping", "seeds", "words"),
    [
        (AVERAGE, 1, f"1 trial failed: {NO_STATE}. The same command retries it."),
        (AVERAGE, 2, f"2 trials failed: {NO_STATE}. The same command retries them."),
        (
            {AVERAGE: (0, 1), SUM: (0,)},
            1,
            f"3 trials failed, 2 of them with: {NO_STATE}. The same command retries them.",
        ),
    ],
)
def test_trials_that_fail_are_counted_with_the_most_frequent_reason(
    clipping: Any, seeds: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = clipping if isinstance(clipping, dict) else {clipping: range(seeds)}
    common = {"dataset": TOY, "batch_size": 16, "epochs": 1}
    factors = [common | {"clipping": c, "seed": tuple(s)} for c, s in chosen.items()]
    factors.append(common | {"clipping": "none"})
    assert run(lambda scale: study(factors=factors), tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[-1] == words
    found = load_study(tmp_path, "s")
    assert found is not None
    assert found.trials["status"].ne("failed").sum() == 1


# processes


@pytest.mark.parametrize(
    ("asked", "cores", "memory", "started", "reason"),
    [
        (1000, 4, 64.0, 4, "1000 workers are too many for 4 cores; started: 4"),
        (8, 8, 2.0, 2, "8 workers are too many for 2.0 GiB of free memory; started: 2"),
        (2, 8, 0.1, 1, "2 workers are too many for 0.1 GiB of free memory; started: 1"),
        (4, 4, 64.0, 4, None),
        (1, 1, 0.1, 1, None),
        (4, 4, float("inf"), 4, None),
    ],
)
def test_workers_are_bounded_by_cores_and_memory(
    asked: int,
    cores: int,
    memory: float,
    started: int,
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(executors, "cores", lambda: cores)
    monkeypatch.setattr(executors, "available_memory", lambda: memory * 2**30)
    with caplog.at_level(logging.WARNING):
        pool = executors.open_pool("processes", asked)
    pool.stop()
    assert pool.slots() == started
    assert [record.getMessage() for record in caplog.records] == ([reason] if reason else [])


def test_the_available_memory_is_some_of_the_machines() -> None:
    assert 2**20 < executors.available_memory() < 2**50


def test_a_tilde_after_an_equals_sign_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    options = ["--results=~/x", "--executor", "here", "--device", "cpu"]
    assert commandline.run(lambda scale: study(), options) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_home_folder_that_is_not_known_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert commandline.run(lambda scale: study(), ["--results=~nobody-at-all/x"]) == 2
    assert "'~nobody-at-all/x'" in capsys.readouterr().err


# commands


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["studies/grid.py", "--scale", "smoke"], "python -m benchmark run grid --scale smoke"),
        (["/x/y/studies/grid.py"], "python -m benchmark run grid"),
        (["/x/y/studies/mine.py", "--only", "a b"], "python /x/y/studies/mine.py --only 'a b'"),
        (["/x/y/grid.py"], "python /x/y/grid.py"),
        ([str(EXAMPLES / "custom_strategies.py")], "python -m benchmark run custom_strategies"),
        ([str(Path.home() / "my work" / "x.py")], "python ~/'my work/x.py'"),
        (["/elsewhere/my work/x.py"], "python '/elsewhere/my work/x.py'"),
        ([LAUNCHER, "-f", "kernel.json"], "run(study) in a notebook"),
    ],
)
def test_a_recorded_command_can_be_pasted_in_any_folder(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    assert command().startswith(words)


def test_a_relative_script_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["examples/own.py", "--scale", "smoke"])
    assert command() == f"python {tmp_path}/examples/own.py --scale smoke"
    monkeypatch.setattr(sys, "orig_argv", ["python3", *sys.argv])
    assert command(typed=True) == "python3 examples/own.py --scale smoke"


SCRIPT = """
import sys
from benchmark.provenance import command
if "--again" not in sys.argv:
    sys.argv.append("--again")
    print(command())
else:
    print("ran as", sys.argv[1:])
"""


def test_the_recorded_command_of_a_script_runs_as_it_stands(tmp_path: Path) -> None:
    script = tmp_path / "my study.py"
    script.write_text(SCRIPT)

    def output(shell: str) -> str:
        started = shlex.quote(sys.executable) + shell.removeprefix("python")
        environment = f"PYTHONPATH={shlex.quote(str(ROOT))} "
        return subprocess.run(
            environment + started, shell=True, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.strip()

    first = output(f"python {shlex.quote(str(script))} --only 'a=b c'")
    assert output(first) == "ran as ['--only', 'a=b c', '--again']"


def test_a_module_is_recorded_as_one(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text("from benchmark.provenance import command; print(command())")
    done = subprocess.run(
        [sys.executable, "-m", "shown", "x y"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "python -m shown 'x y'\n"


def test_a_notebook_runs_a_study_with_the_defaults_and_says_how_to_choose(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "argv", [LAUNCHER, "-f", str(tmp_path / "kernel-1.json")])
    monkeypatch.setattr(execution, "run_study", no_training)
    with pytest.raises(Trained):
        commandline.run(lambda scale: study())
    assert "run(study, ['--scale', 'smoke'])" in caplog.text
    assert "unrecognized" not in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["--colour"], 2)])
def test_run_returns_its_status_whatever_the_arguments(arguments: list[str], status: int) -> None:
    assert commandline.run(lambda scale: study(), arguments) == status
