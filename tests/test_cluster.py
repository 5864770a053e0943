"""A Dask cluster trains as this machine does, loses workers, and may itself be lost."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import study
from torture import differences, parts

from benchmark.driver import Options, cluster, run_study
from benchmark.driver.cluster import ClusterMismatch, call_if_same, check_same, connect, versions

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

TESTS = Path(__file__).parent
PATIENCE = 300.0


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Cluster:
    """A scheduler and two workers of one thread each, processes of their own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        self.processes = [self._start("scheduler", *address)]
        wait_until(lambda: listens(self.port))
        worker = ["worker", f"tcp://127.0.0.1:{self.port}", "--nthreads", "1", "--no-dashboard"]
        self.processes += [self._start(*worker, "--no-nanny") for _ in range(2)]

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
        log = (self.folder / f"{arguments[0]}.log").open("ab")
        with log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def kill(self, number: int) -> None:
        """Kill the scheduler (0) or a worker."""
        self.processes[number].send_signal(signal.SIGKILL)
        self.processes[number].wait()

    def end(self) -> None:
        for number in range(len(self.processes)):
            self.kill(number)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Cluster]:
    started = Cluster(tmp_path)
    yield started
    started.end()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("local")
    run_study(study("smoke"), Options(path, device="cpu", progress=False, executor="here"))
    return path / "tiny"


def start(running: Cluster, results: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(TESTS / "tiny.py"), "--results", str(results), "--device", "cpu"]
    command += ["--executor", f"dask://127.0.0.1:{running.port}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_cluster_that_loses_a_worker_gives_the_rows_of_a_local_run(
    running: Cluster, local: Path, tmp_path: Path
) -> None:
    driver = start(running, tmp_path / "results")
    folder = tmp_path / "results" / "tiny"
    wait_until(lambda: parts(folder) >= 2 or driver.poll() is not None)
    running.kill(2)
    landed = parts(folder)
    said, _ = driver.communicate(timeout=PATIENCE)

    assert driver.returncode == 0, said
    assert 2 <= landed < 18
    assert not list(differences(local, folder))


def test_a_lost_cluster_costs_nothing_that_had_landed(
    running: Cluster, local: Path, tmp_path: Path
) -> None:
    driver = start(running, tmp_path / "results")
    folder = tmp_path / "results" / "tiny"
    wait_until(lambda: parts(folder) >= 2 or driver.poll() is not None)
    running.kill(0)
    said, _ = driver.communicate(timeout=PATIENCE)

    assert driver.returncode == 1, said
    assert re.search(r"to continue: \S+ \S*tiny\.py --results", said)
    assert "Traceback" not in said, said
    assert parts(folder) >= 2
    here = Options(tmp_path / "results", device="cpu", progress=False, executor="here")
    run_study(study("smoke"), here)
    assert not list(differences(local, folder))


def test_no_scheduler_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    options = Options(tmp_path / "new", device="cpu", executor="dask://127.0.0.1:9")

    with pytest.raises(ValueError, match=r"no Dask scheduler answers at '127\.0\.0\.1:9'"):
        run_study(study("smoke"), options)
    assert not (tmp_path / "new").exists()


def test_a_missing_dask_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(ValueError, match="needs the extra 'cluster': pip install"):
        connect("127.0.0.1:9")


@pytest.mark.parametrize("what", cluster.SHARED)
def test_a_worker_with_other_versions_is_named(what: str) -> None:
    here = versions()

    check_same(here, versions(), "w")
    with pytest.raises(ClusterMismatch, match=f"worker w has {what} another, and the driver has"):
        check_same(here, here | {what: "another"}, "w")


def test_a_worker_that_came_later_is_checked_at_each_call() -> None:
    assert call_if_same(versions(), max, 1, 2) == 2
    with pytest.raises(ClusterMismatch, match="that came later has torch"):
        call_if_same(versions() | {"torch": "1"}, max, 1, 2)
