"""A Dask cluster trains as this machine does, loses workers, and may itself be lost."""

import asyncio
import errno
import logging
import re
import signal
import socket
import subprocess
import sys
import time
from asyncio import CancelledError as TaskCancelled
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

import pytest
from tiny import study
from torture import differences, parts

from benchmark.driver import Options, cluster, run_study
from benchmark.driver.cluster import (
    ClusterMismatch,
    DaskCluster,
    call_if_same,
    check_same,
    connect,
    versions,
)

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
    assert re.search(
        r"error: the executor [^\n]+\nwhat is finished is kept; "
        r"to continue: \S+ \S*tiny\.py --results",
        said,
    )
    assert "Traceback" not in said, said
    assert parts(folder) >= 2
    here = Options(tmp_path / "results", device="cpu", progress=False, executor="here")
    run_study(study("smoke"), here)
    assert not list(differences(local, folder))


def test_a_connection_lost_while_a_result_is_fetched_ends_the_call_in_one_line(
    running: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = connect(f"127.0.0.1:{running.port}")
    fetch = distributed.Client._gather_remote

    async def fetch_without_scheduler(client: Any, *arguments: Any) -> Any:
        running.kill(0)
        return await fetch(client, *arguments)

    wait_until(lambda: pool.slots() == 2)
    # a call's own error is told as it is, and is no sign of a lost connection
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pool.submit(open, "/nowhere").result(timeout=PATIENCE)
    assert pool.submit(max, 1, 2).result(timeout=PATIENCE) == 2
    monkeypatch.setattr(distributed.Client, "_gather_remote", fetch_without_scheduler)
    # which of the two depends on the connection that Dask sees broken first
    with pytest.raises((BrokenExecutor, CancelledError)):
        pool.submit(max, 1, 2).result(timeout=PATIENCE)
    pool.close()
    with pytest.raises(BrokenExecutor, match=r"^the connection to the Dask scheduler is lost$"):
        pool.submit(max, 1, 2)
    assert pool.slots() == 2
    assert not [record for record in caplog.records if record.exc_info]


class LosesResults:
    """A client whose every call ends in ``error`` as its result is fetched."""

    status = "finished"

    def __init__(self, error: BaseException) -> None:
        self.error, self.loop = error, self

    def submit(self, *call: Any, **settings: Any) -> "LosesResults":
        return self

    def done(self) -> bool:
        return True

    async def gather(self, remote: Any, *, asynchronous: bool) -> Any:
        raise self.error

    def add_callback(self, deliver: Callable[..., Any], *arguments: Any) -> None:
        asyncio.run(deliver(*arguments))


LOST = (
    pytest.param(distributed.comm.CommClosedError("in <TCP>"), id="comm"),
    pytest.param(ConnectionResetError(errno.ECONNRESET, "reset by peer"), id="reset"),
    pytest.param(TaskCancelled(), id="cancelled"),
)


@pytest.mark.parametrize("error", LOST)
def test_a_result_lost_with_the_connection_is_an_executor_that_dropped_its_work(
    error: BaseException,
) -> None:
    future = DaskCluster(LosesResults(error)).submit(max, 1, 2)

    with pytest.raises(BrokenExecutor) as raised:
        future.result(timeout=0)
    assert str(raised.value) == (
        "the executor dropped its work: the connection to the Dask scheduler is lost"
    )


def test_a_result_that_cannot_be_read_is_told_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="custom"):
        DaskCluster(LosesResults(ModuleNotFoundError("custom"))).submit(max, 1).result(timeout=0)


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def while_handling(error: Exception, other: BaseException) -> Exception:
    error.__context__ = other
    return error


@pytest.mark.parametrize(
    "name", ["tornado.application", "asyncio", "distributed.client", "distributed.batched"]
)
@pytest.mark.parametrize(
    ("error", "logged"),
    [
        *(pytest.param(*param.values, False, id=param.id) for param in LOST),
        (OSError("Timed out trying to connect"), True),
        (caused(OSError("Timed out"), distributed.comm.CommClosedError("in <TCP>")), False),
        (while_handling(KeyError("worker"), distributed.comm.CommClosedError("in <TCP>")), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (ValueError("no"), True),
        (None, True),
    ],
)
def test_only_what_follows_from_a_lost_connection_is_not_logged(
    name: str, error: BaseException | None, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.silence_lost_connections()
    logging.getLogger(name).error("Exception in callback", exc_info=error)

    assert bool(caplog.records) is logged


def test_a_client_that_is_given_up_is_no_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    cluster.silence_lost_connections()
    client = logging.getLogger("distributed.client")
    client.error("Failed to reconnect to scheduler after %.2f seconds, closing client", 20)
    client.error("Scheduler exception: %s", "no memory")

    assert caplog.messages == ["Scheduler exception: no memory"]


class Unconnected:
    """A client that looks for its scheduler, in vain."""

    status = "connecting"

    def nthreads(self) -> dict[str, int]:
        raise AssertionError("asked for what only the scheduler knows")


def test_slots_do_not_wait_for_a_scheduler_that_is_lost() -> None:
    assert DaskCluster(Unconnected()).slots() == 0


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
