"""A study that is killed goes on with the same command, and ends with the same rows."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import study
from torture import Run, differences, parts

from benchmark.driver import Options, run_study
from benchmark.results import load_study

SCRIPT = Path(__file__).with_name("tiny.py")
PATIENCE = 300.0


def command(results: Path, *more: str) -> list[str]:
    options = ["--results", str(results), "--workers", "2", "--device", "cpu"]
    return [sys.executable, str(SCRIPT), *options, *more]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's folder after a run in peace."""
    path = tmp_path_factory.mktemp("peace")
    run_study(study("smoke"), Options(path, device="cpu", progress=False, executor="here"))
    return path / "tiny"


@pytest.fixture
def started() -> Iterator[list[Run]]:
    """Runs that a test starts; none outlives it."""
    runs: list[Run] = []
    yield runs
    for run in runs:
        if not run.over:
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def test_a_study_that_is_killed_again_and_again_ends_with_the_same_rows(
    undisturbed: Path, tmp_path: Path, started: list[Run]
) -> None:
    folder = tmp_path / "tiny"
    rng = random.Random(1)

    driver_killed = Run.start(command(tmp_path))
    started.append(driver_killed)
    wait_until(lambda: parts(folder) >= 2 or driver_killed.over)
    assert not driver_killed.over
    driver_killed.kill("driver", rng)
    assert driver_killed.is_gone()
    landed = parts(folder)

    worker_killed = Run.start(command(tmp_path))
    started.append(worker_killed)
    wait_until(lambda: parts(folder) >= landed + 2 or worker_killed.over)
    assert worker_killed.kill("worker", rng) == "worker"
    wait_until(lambda: parts(folder) >= landed + 6 or worker_killed.over)
    worker_killed.kill("everything", rng)
    assert worker_killed.is_gone()
    assert (folder / "parts").exists()

    last = subprocess.run(command(tmp_path), capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert not list(differences(undisturbed, folder))


def test_the_first_interrupt_lands_what_is_in_flight_and_says_how_to_go_on(
    undisturbed: Path, tmp_path: Path, started: list[Run]
) -> None:
    log = tmp_path / "log"
    storage = f"sqlite:///{tmp_path}/studies.db?password=hunter2"
    with log.open("w") as file:
        process = subprocess.Popen(
            command(tmp_path, "--scale", "full", "--storage", storage),
            start_new_session=True,
            stderr=file,
        )
    run = Run(process)
    started.append(run)
    folder = tmp_path / "tiny"
    wait_until(lambda: parts(folder) >= 2 or run.over)
    # as a terminal does: to every process of the group
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert run.is_gone()
    said = log.read_text()

    assert "units in flight have 120 s to finish; Ctrl-C again stops at once" in said
    # the interpreter as it was typed
    assert re.search(rf"to continue: \S+ {SCRIPT} --results {tmp_path} --workers 2", said)
    assert "Traceback" not in said
    assert "hunter2" not in said
    results = load_study(tmp_path, "tiny")
    assert results is not None
    assert 0 < len(results.trials) < len(results.plan)
    assert not any(b"hunter2" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert not (folder / ".lock").exists()


def test_a_termination_stops_at_once_and_leaves_nothing_behind(
    tmp_path: Path, started: list[Run]
) -> None:
    run = Run.start(command(tmp_path, "--scale", "full"))
    started.append(run)
    wait_until(lambda: parts(tmp_path / "tiny") >= 1 or run.over)
    run.process.terminate()

    assert run.process.wait(PATIENCE) == 143
    assert run.is_gone()
    assert not list((tmp_path / "tiny").rglob(".*"))


def test_torture_tells_rows_that_differ(undisturbed: Path, tmp_path: Path) -> None:
    other = study("smoke").only({"seed": ["0"]})
    run_study(other, Options(tmp_path, device="cpu", progress=False, executor="here"))
    (tmp_path / "tiny" / "orphan").touch()
    found = list(differences(undisturbed, tmp_path / "tiny"))

    assert [text.split()[0] for text in found] == [
        "files",
        "plan:",
        "trials:",
        "history:",
        "layers:",
    ]
