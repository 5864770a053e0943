"""A Dask cluster trains as this machine does, loses workers, and may itself be lost."""

import asyncio
import errno
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
from asyncio import CancelledError as TaskCancelled
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

import pytest
from tiny import study
from torture import differences, parts

from benchmark import Study
from benchmark.__main__ import main
from benchmark.driver import Options, cluster, estimating, run_study
from benchmark.driver.cluster import (
    ClusterMismatch,
    DaskCluster,
    call_if_same,
    check_same,
    connect,
    versions,
)
from benchmark.driver.dispatch import LostExecutor
from benchmark.driver.dry_runs import dry_run
from benchmark.driver.verifying import verify
from benchmark.results import load_study

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
    """A scheduler and workers of one thread each, processes of their own.

    Each of ``gpus`` is a worker with a pretended GPU and that version of CUDA; without, there are
    two without a GPU.
    """

    def __init__(self, folder: Path, gpus: Sequence[str] = ()) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        self.processes = [self._start("scheduler", *address)]
        wait_until(lambda: listens(self.port))
        worker = ["worker", f"tcp://127.0.0.1:{self.port}", "--nthreads", "1", "--no-dashboard"]
        worker += ["--no-nanny"]
        if not gpus:
            self.processes += [self._start(*worker) for _ in range(2)]
        for cuda in gpus:
            preload = ["--preload", str(TESTS / "gpu_worker.py")]
            self.processes.append(self._start(*worker, *preload, PRETENDED_CUDA=cuda))

    @property
    def executor(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
        log = (self.folder / f"{arguments[0]}.log").open("ab")
        with log:
            return subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env={**os.environ, **environment}
            )

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
    command += ["--executor", running.executor]
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
    call = pickle.dumps((max, (1, 2), {}))
    assert call_if_same(versions(), call) == 2
    with pytest.raises(ClusterMismatch, match="has torch"):
        call_if_same(versions() | {"torch": "1"}, call)


@pytest.mark.parametrize("lacks", [b"cnowhere\nstrategy\n.", b"cmath\nstrategy\n."])
def test_a_worker_that_lacks_a_module_of_the_call_is_another_one(lacks: bytes) -> None:
    with pytest.raises(ClusterMismatch, match="lacks what a trial is made of"):
        call_if_same(versions(), lacks)


def test_a_mismatch_is_the_same_on_the_other_side() -> None:
    received = pickle.loads(pickle.dumps(ClusterMismatch("other torch", "tcp://b")))
    assert (str(received), received.worker) == ("other torch", "tcp://b")


class WithStaleWorkers(LosesResults):
    """A client whose calls go to the first of its workers, of which all but ``fresh`` refuse."""

    def __init__(self, workers: list[str], *, leave: bool = True) -> None:
        self.workers, self.leave, self.loop = workers, leave, self

    async def gather(self, remote: Any, *, asynchronous: bool) -> Any:
        if self.workers[0] != "fresh":
            raise ClusterMismatch(f"worker {self.workers[0]} has code B", self.workers[0])
        return 2

    async def retire_workers(self, workers: list[str], *, asynchronous: bool) -> None:
        if self.leave:
            self.workers = [worker for worker in self.workers if worker not in workers]


def test_a_worker_with_other_versions_is_sent_away_and_its_call_made_by_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = WithStaleWorkers(["stale", "older", "fresh"])
    assert DaskCluster(client).submit(max, 1, 2).result(timeout=0) == 2
    assert client.workers == ["fresh"]
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "worker stale has code B",
        "worker older has code B",
    ]


def test_a_worker_with_other_versions_that_does_not_go_ends_the_run_and_fails_no_trial(
    tmp_path: Path,
) -> None:
    client = WithStaleWorkers(["stale", "fresh"], leave=False)
    executor = DaskCluster(client)
    options = Options(tmp_path, device="cpu", progress=False, executor=executor, workers=1)
    with pytest.raises(LostExecutor, match="worker stale has code B"):
        run_study(study("smoke"), options)
    found = load_study(tmp_path, "tiny")
    assert found is not None
    assert found.trials.empty


def test_a_worker_that_comes_late_with_other_versions_leaves_the_cluster(running: Cluster) -> None:
    pool = connect(f"127.0.0.1:{running.port}")
    wait_until(lambda: pool.slots() == 2)
    stale, fresh = pool._client.nthreads()

    def refusing() -> str:
        here = str(distributed.get_worker().address)
        if here == stale:
            raise ClusterMismatch(f"worker {here} has code B", here)
        return here

    def gone() -> bool:
        assert pool.submit(refusing).result(timeout=PATIENCE) == fresh
        return list(pool._client.nthreads()) == [fresh]

    wait_until(gone)
    pool.close()


# GPUs that only the workers have


@pytest.fixture
def with_gpus(tmp_path: Path) -> Iterator[Cluster]:
    started = Cluster(tmp_path, gpus=("13.0", "12.8"))
    yield started
    started.end()


SMALL = Study(
    name="small",
    question="Where was it trained?",
    factors={
        "dataset": "digits",
        "clipping": ("none", "value", "global_norm", "adaptive"),
        "batch_size": 16,
        "updates": 8,
    },
    seeds=(0, 1),
    checkpoints=4,
)


def ready(running: Cluster, workers: int = 2) -> None:
    pool = connect(f"127.0.0.1:{running.port}")
    wait_until(lambda: pool.slots() == workers)
    pool.close()


def test_a_row_says_which_worker_trained_it_and_by_what(with_gpus: Cluster, tmp_path: Path) -> None:
    ready(with_gpus)
    results = tmp_path / "results"
    options = Options(results, device="cuda", progress=False, executor=with_gpus.executor)
    trials = run_study(SMALL, options)

    found = load_study(results, "small")
    assert found is not None
    assert set(trials["status"]) == {"stable"}
    assert set(trials["device"]) == {"pretended GPU"}
    of_worker = trials.groupby("worker")["maker"].agg(set)
    assert len(of_worker) == 2, "one worker trained all"
    made = {w: found.makers_of(trials[trials["worker"] == w]) for w in of_worker.index}
    assert sorted(m["cuda"] for (m,) in made.values()) == ["12.8", "13.0"]
    # all that made rows, and nothing that did not
    assert sorted(m["cuda"] for m in found.makers) == ["12.8", "13.0"]
    assert {m["device"] for m in found.makers} == {"pretended GPU"}
    assert {len(m["driver"]) > 0 for m in found.makers} == {True}
    # the plan says where the study was to be trained, by which it is packed when it goes on
    assert found.plan_metadata["device"] == "a Dask cluster"


def test_equal_bits_are_asked_for_only_where_what_trained_agrees(
    with_gpus: Cluster, tmp_path: Path
) -> None:
    ready(with_gpus)
    results = tmp_path / "results"
    options = Options(results, device="cuda", progress=False, executor=with_gpus.executor)
    trials = run_study(SMALL, options)
    with_gpus.kill(2)
    ready(with_gpus, workers=1)
    found = load_study(results, "small")
    assert found is not None
    rows = {key: row.to_frame().T for key, row in trials.set_index("trial", drop=False).iterrows()}
    cuda = {key: found.makers_of(row)[0]["cuda"] for key, row in rows.items()}
    checked = list(verify(options, sample=len(trials)))

    assert {c.trial: c.exact for c in checked} == {k: v == "13.0" for k, v in cuda.items()}
    assert set(cuda.values()) == {"13.0", "12.8"}
    assert not any(c.differences for c in checked)
    # the driver here has no such GPU, and says so in one line
    options = ["--device", "cuda", "--trials", "1", "--executor"]
    assert main(["verify", str(results), *options, with_gpus.executor]) == 0
    assert main(["verify", str(results), *options, "here"]) == 2


def test_a_dry_run_times_a_worker_and_asks_nothing_of_this_machine(
    with_gpus: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "SECONDS", -1.0)
    ready(with_gpus)
    told = dry_run(SMALL, Options(tmp_path, device="cuda", executor=with_gpus.executor))

    assert "on a GPU: 4 units" in told
    assert "on a CPU" not in told
    assert "core-seconds) on pretended GPU, by the time of 1 of 4 kinds" in told
    assert told.endswith("with 2 workers")
    assert "assumed" not in told


@pytest.mark.parametrize(("device", "kinds"), [("cuda", ["a GPU"]), ("auto", ["a CPU", "a GPU"])])
def test_a_dry_run_without_its_cluster_says_what_it_assumed(
    device: str, kinds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    monkeypatch.setattr(estimating, "SECONDS", -1.0)
    told = dry_run(
        SMALL, Options(tmp_path, device=device, workers=3, executor="dask://127.0.0.1:9")
    )

    (line,) = [line for line in told.splitlines() if "assumed" in line]
    assert line.startswith("no Dask scheduler answers at '127.0.0.1:9'")
    assert re.search(r"; assumed: 3 workers as fast as cpu \(.+\) here$", line)
    assert re.findall(r"^on (a .PU)", told, re.M) == kinds
    assert told.endswith("with 3 workers")


def test_workers_without_the_device_end_a_dry_run_as_they_end_the_run(
    running: Cluster, tmp_path: Path
) -> None:
    ready(running)
    options = Options(tmp_path, device="cuda", executor=running.executor)
    with pytest.raises(ValueError, match="'cuda' was asked for, but torch sees no GPU"):
        dry_run(SMALL, options)
