"""How the program was called: usage, and what continues a run, name what works where one stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import calling
from benchmark.driver.commandline import make_parser
from benchmark.project import STUDIES
from benchmark.provenance import command
from benchmark.results import write
from benchmark.schema import SCHEMA_VERSION, frame

GRID = str(STUDIES / "grid.py")


@pytest.fixture
def called(monkeypatch):
    """As if this had been typed; the script that runs by name comes first in ``argv``."""

    def call(typed: str, *, script: str | None = None, found: str | None = None) -> None:
        words = typed.split()
        arguments = words[words.index("run") + 2 :] if "run" in words else words[2:]
        monkeypatch.setattr(sys, "orig_argv", words)
        monkeypatch.setattr(sys, "argv", [script or words[1], *arguments])
        monkeypatch.setattr(calling.shutil, "which", lambda name: found)

    return call


@pytest.mark.parametrize(
    ("typed", "found", "program"),
    [
        # a console script's interpreter is that of its first line
        ("/v/bin/python /v/bin/benchmark run grid --only a=b", "/v/bin/benchmark", "benchmark"),
        ("/v/bin/python ../v/bin/benchmark run grid", "/usr/bin/benchmark", "../v/bin/benchmark"),
        ("/v/bin/python /v/bin/benchmark run grid", None, "/v/bin/benchmark"),
        ("python3 -m benchmark run grid --scale smoke", None, "python3 -m benchmark"),
        (".venv/bin/python -X dev -m benchmark run grid", None, ".venv/bin/python -m benchmark"),
        ("python -um benchmark run grid search", None, "python -m benchmark"),
        # what starts a study of several
        ("/v/bin/python -c code run grid --workers 1", None, "/v/bin/python -m benchmark"),
    ],
)
def test_a_study_by_name_names_what_was_typed(typed, found, program, called):
    called(typed, script=GRID, found=found)
    _, arguments = typed.split(" run ")
    assert calling.program() == program
    assert calling.script_program() == f"{program} run grid"
    assert command(typed=True) == f"{program} run {arguments}"
    assert make_parser("?").format_usage().startswith(f"usage: {program} run grid")
    assert calling.here("python -m benchmark run deep") == f"{program} run deep"
    # what a file records is the same wherever it was typed
    assert command().startswith("python -m benchmark run grid")


def test_a_script_names_its_python(called):
    called(".venv/bin/python studies/grid.py --scale smoke")
    assert calling.script_program() == ".venv/bin/python studies/grid.py"
    assert command(typed=True) == ".venv/bin/python studies/grid.py --scale smoke"
    assert calling.program() == ".venv/bin/python -m benchmark"
    assert (
        calling.here("python ~/own.py --scale quick") == ".venv/bin/python ~/own.py --scale quick"
    )
    assert calling.here("pythonic") == "pythonic"


def test_a_console_that_runs_a_script_is_not_the_command(called, monkeypatch):
    called("/usr/bin/python3 /usr/bin/ipython", script="own/mine.py")
    assert calling.typed() is None
    assert command(typed=True) == "/usr/bin/python3 own/mine.py"


def test_passwords_are_not_shown(called):
    called("python -m benchmark run grid --storage postgresql://me:hunter2@db/x", script=GRID)
    assert command(typed=True).endswith("run grid --storage 'postgresql://me:***@db/x'")


def test_status_says_what_goes_on_from_where_it_was_asked(tmp_path):
    metadata = {"schema_version": SCHEMA_VERSION, "expected": 1}
    metadata["command"] = "python -m benchmark run grid --scale smoke"
    folder = tmp_path / "grid"
    write("plan", frame("plan", []), folder / "plan.parquet", metadata)
    asked = [sys.executable, "-m", "benchmark", "status", str(tmp_path)]
    done = subprocess.run(asked, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert f"goes on with: {sys.executable} -m benchmark run grid --scale smoke" in done.stdout
    asked[3:] = ["--help"]
    done = subprocess.run(asked, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert re.match(rf"usage: {re.escape(sys.executable)} -m benchmark ", done.stdout)
