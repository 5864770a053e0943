"""Worker processes: one that dies costs its own call only, and a unit that kills is split."""

import functools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import TOY

from benchmark import Study, Trial
from benchmark.driver import Options, dispatch, run_study, units
from benchmark.driver.commandline import run
from benchmark.driver.dispatch import LostExecutor, train_units
from benchmark.driver.executors import InThisProcess, WorkerPool, open_pool
from benchmark.driver.stopping import PATIENCE, Stopped, Stopping, signals
from benchmark.driver.units import Outcome, Unit, train_unit
from benchmark.driver.workers import UNGUARDED, CannotStart, WorkerDied, Workers
from benchmark.engine import Record
from benchmark.names import UnknownName

LONG = 300.0
"""Seconds that nothing takes, not even on a machine that is busy with other work."""


def nothing() -> None:
    pass


def add(one: int, other: int) -> int:
    return one + other


def pid() -> int:
    return os.getpid()


def die(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "exit":
        os._exit(7)
    raise RuntimeError("the device is gone")


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def interrupted() -> str:
    """Ctrl-C at a terminal reaches every process of the group."""
    os.kill(os.getpid(), signal.SIGINT)
    return "went on"


class Unreadable:
    """Can be sent, but not received."""

    def __reduce__(self) -> Any:
        return getattr, (Unreadable, "nowhere")


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    workers = Workers(2, nothing)
    workers.warm()
    yield workers
    workers.kill()


def test_calls_are_answered_in_other_processes(pool: Workers) -> None:
    assert [pool.submit(add, i, 1).result() for i in range(3)] == [1, 2, 3]
    assert pool.submit(pid).result() != os.getpid()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("kill", r"killed by SIGKILL \(out of memory\?\)"),
        ("segfault", "killed by SIGSEGV"),
        ("exit", "ended with exit status 7"),
        ("raise", "RuntimeError: the device is gone"),
    ],
)
def test_a_death_costs_its_own_call_and_says_how(how: str, reason: str, pool: Workers) -> None:
    beside = pool.submit(sleep, 0.5)
    dying = pool.submit(die, how)

    with pytest.raises(WorkerDied, match=reason):
        dying.result(LONG)
    assert beside.result(LONG) == "slept"
    assert pool.submit(add, 1, 1).result(LONG) == 2


def test_a_worker_that_is_killed_while_idle_is_replaced(pool: Workers) -> None:
    wait([pool.submit(sleep, 0.2), pool.submit(sleep, 0.2)])
    for worker in list(pool._all):
        os.kill(worker.process.pid or 0, signal.SIGKILL)
        worker.process.join()

    assert pool.submit(add, 1, 1).result(LONG) == 2


def test_an_interrupt_at_the_terminal_is_the_drivers_affair(pool: Workers) -> None:
    assert pool.submit(interrupted).result(LONG) == "went on"


@pytest.mark.parametrize("what", [lambda: 1, Unreadable()], ids=["to send", "to receive"])
def test_what_cannot_cross_to_a_process_is_a_mistake_and_no_death(what: Any, pool: Workers) -> None:
    with pytest.raises(ValueError, match=r"cannot be sent to a worker process: .*top level"):
        pool.submit(add, what, 1).result(LONG)
    assert pool.submit(add, 1, 1).result(LONG) == 2


def test_processes_that_never_start_are_an_error_and_no_death() -> None:
    workers = Workers(1, os.abort)
    with pytest.raises(
        CannotStart, match=r"do not start \(killed by SIGABRT\); a script that runs"
    ):
        workers.submit(pid).result(LONG)
    workers.kill()


def test_a_script_without_a_main_guard_is_named_and_not_run_again(tmp_path, monkeypatch) -> None:
    # what the standard library sets while a new process reads the script of the driver
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as end:
        run(lambda scale: pytest.fail("run again"), ["--results", str(tmp_path)])
    assert end.value.code == UNGUARDED
    monkeypatch.undo()
    workers = Workers(1, functools.partial(os._exit, UNGUARDED))
    with pytest.raises(CannotStart, match="`if __name__ == '__main__':`, because every worker"):
        workers.submit(pid).result(LONG)
    workers.kill()


def test_killing_the_pool_ends_what_runs_at_once() -> None:
    workers = Workers(1, nothing)
    assert workers.submit(add, 1, 1).result(LONG) == 2
    running, waiting = workers.submit(sleep, 2 * LONG), workers.submit(sleep, 2 * LONG)
    wait_until(running.running)
    began = time.monotonic()
    workers.kill()

    assert time.monotonic() - began < LONG
    assert isinstance(running.exception(), WorkerDied)
    assert waiting.cancelled()


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from benchmark.driver.workers import Workers\n"
        "from test_workers import nothing, pid\n"
        "if __name__ == '__main__':\n"
        "    print(Workers(1, nothing).submit(pid).result(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # its output ends only when the worker, which inherits it, has ended too: no timeout, no orphan
    killed = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=LONG, check=False
    )

    assert killed.returncode == -signal.SIGKILL
    assert int(killed.stdout) > 0


# Units on workers


class Deadly(Executor):
    """Answers as a worker would that dies on some trials, or on its first ``deaths`` calls."""

    def __init__(self, deadly: Callable[[Trial], bool], deaths: int = 0) -> None:
        self.deadly = deadly
        self.deaths = deaths
        self.sizes: list[int] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        (unit,) = args
        self.sizes.append(len(unit.trials))
        future: Future[Any] = Future()
        if len(self.sizes) <= self.deaths or any(map(self.deadly, unit.trials)):
            future.set_exception(WorkerDied("killed by SIGKILL"))
        else:
            future.set_result(unit.failed("not really trained"))
        return future


def unit_of(count: int) -> Unit:
    trials = tuple(Trial(seed=seed) for seed in range(count))
    return Unit("s", trials, checkpoints=4, layers=False, sharpness=False, device="cpu")


def all_rows(executor: Executor, *made: Unit) -> pd.DataFrame:
    pool = WorkerPool(executor, lambda: 1)
    rows = [o.record().trials for _, o in train_units(made, pool, Stopping())]
    return pd.concat(rows).set_index("seed").sort_index()


def test_a_unit_whose_worker_dies_is_retried_whole() -> None:
    executor = Deadly(lambda trial: False, deaths=1)
    rows = all_rows(executor, unit_of(8))

    assert executor.sizes == [8, 8]
    assert len(rows) == 8


def test_a_unit_that_kills_its_worker_is_split_until_the_culprit_is_alone(caplog: Any) -> None:
    executor = Deadly(lambda trial: trial.seed == 5)
    rows = all_rows(executor, unit_of(8), unit_of(2))

    died = rows["status_reason"] == "the worker died on this trial twice: killed by SIGKILL"
    assert rows.index[died].tolist() == [5]
    assert len(rows) == 10
    assert sorted(executor.sizes) == sorted([8, 8, 4, 4, 2, 2, 1, 1, 1, 2])
    assert "a worker died on 8 trials: killed by SIGKILL" in caplog.text


def test_a_half_that_is_innocent_is_trained_once() -> None:
    executor = Deadly(lambda trial: trial.seed == 0)
    rows = all_rows(executor, unit_of(4))

    assert executor.sizes.count(2) == 2
    assert len(rows) == 4


class Broken(InThisProcess):
    """A pool that broke as a whole."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(BrokenExecutor("a child process terminated abruptly"))
        return future


class Closed(InThisProcess):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise RuntimeError("cannot schedule new futures after shutdown")


class Dropping(InThisProcess):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        return future


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (Broken(), "terminated abruptly"),
        (Closed(), "takes no more work: cannot schedule"),
        (Dropping(), "dropped its work"),
    ],
    ids=["broken", "closed", "dropping"],
)
def test_an_executor_that_is_gone_ends_the_run(executor: Executor, message: str) -> None:
    with pytest.raises(LostExecutor, match=message):
        all_rows(executor, unit_of(1))


def test_a_broken_device_ends_its_process_and_an_error_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(error: Exception) -> Callable[..., Record]:
        def train(*args: Any, **kwargs: Any) -> Record:
            raise error

        return train

    for gone in (
        torch.AcceleratorError("illegal address"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
    ):
        monkeypatch.setattr(units, "train", broken(gone))
        with pytest.raises(torch.AcceleratorError, match=re.escape(str(gone))):
            train_unit(unit_of(1))
    monkeypatch.setattr(units, "train", broken(torch.OutOfMemoryError("out of memory")))
    rows = train_unit(unit_of(1)).record().trials
    assert rows["status_reason"].item() == "OutOfMemoryError: out of memory"


@pytest.mark.parametrize("choice", ["procceses", "dask:", ""])
def test_an_unknown_executor_is_named(choice: str) -> None:
    with pytest.raises(
        UnknownName, match=rf"unknown executor '{choice}'.*Allowed: processes, here"
    ):
        open_pool(choice, 1)


def kill_worker_once(unit: Unit) -> Outcome:
    """Train ``unit``; on the first call on this machine, die in the middle instead."""
    marker = Path(os.environ["KILL_ONCE"])
    if marker.exists():
        marker.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return train_unit(unit)


def test_a_study_goes_on_when_a_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    marker = tmp_path / "kill"
    marker.touch()
    monkeypatch.setenv("KILL_ONCE", str(marker))
    factors = {"dataset": TOY, "normalization": ("none", "layer"), "batch_size": 16, "epochs": 1}
    study = Study(name="tiny", question="?", factors=factors, seeds=range(3), checkpoints=4)
    run_study(study, Options(tmp_path / "a", device="cpu", progress=False, executor="here"))
    monkeypatch.setattr(dispatch, "train_unit", kill_worker_once)
    trials = run_study(study, Options(tmp_path / "b", device="cpu", workers=2, progress=False))

    assert not marker.exists()
    assert "a worker died on 3 trials: killed by SIGKILL" in caplog.text
    assert trials["status"].isin(["stable", "stalled"]).all()
    plain, survived = (
        pd.read_parquet(tmp_path / name / "tiny" / "trials.parquet").drop(columns="seconds")
        for name in ("a", "b")
    )
    pd.testing.assert_frame_equal(plain, survived, check_exact=True)


# Stopping


class Slow(Executor):
    """Runs ``slots`` calls at a time, each finished by `finish`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Future[Any], Unit]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls.append((future, args[0]))
        return future

    def finish(self, number: int) -> None:
        future, unit = self.calls[number]
        if future.set_running_or_notify_cancel():
            future.set_result(unit.failed("not really trained"))


def test_once_asked_to_stop_what_runs_lands_and_nothing_else_begins() -> None:
    executor, stopping = Slow(), Stopping()
    made = [unit_of(n) for n in range(1, 7)]
    landing = train_units(made, WorkerPool(executor, lambda: 2), stopping)
    # two run and one waits; the first lands, so the third runs and a fourth waits
    executor.submit(train_unit, unit_of(9))
    executor.calls.clear()
    started = next_in_thread(landing)
    wait_until(lambda: len(executor.calls) == 3)
    executor.finish(0)
    assert started()[0] == made[0]
    started = next_in_thread(landing)
    wait_until(lambda: len(executor.calls) == 4)
    stopping.asked = True
    wait_until(lambda: executor.calls[3][0].cancelled())
    assert not executor.calls[2][0].cancelled()
    executor.finish(2)
    assert started()[0] == made[2]
    started = next_in_thread(landing)
    executor.finish(1)
    assert started()[0] == made[1]
    with pytest.raises(Stopped):
        next(landing)
    assert len(executor.calls) == 4


def next_in_thread(iterator: Iterator[Any]) -> Callable[[], Any]:
    """Begin ``next(iterator)``; what comes back waits for its result."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1).submit(next, iterator).result


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_run_that_was_complete_anyway_is_not_stopped() -> None:
    stopping = Stopping(asked=False)
    executor = Slow()
    landing = train_units([unit_of(1)], WorkerPool(executor, lambda: 1), stopping)
    started = next_in_thread(landing)
    wait_until(lambda: len(executor.calls) == 1)
    stopping.asked = True
    executor.finish(0)
    started()

    assert next(landing, "the end") == "the end"


def test_the_first_interrupt_asks_and_the_second_stops() -> None:
    stopping, said = Stopping(in_flight=2), []
    with signals(stopping, said.append):
        signal.raise_signal(signal.SIGINT)
        assert stopping.asked
        assert f"have {PATIENCE:.0f} s to finish; Ctrl-C again stops at once" in said[0]
        with pytest.raises(Stopped) as stopped:
            signal.raise_signal(signal.SIGINT)
    assert stopped.value.status == 130
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_an_interrupt_with_nothing_in_flight_stops_at_once() -> None:
    with signals(Stopping()), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGINT)


def test_a_termination_stops_at_once() -> None:
    with signals(Stopping(in_flight=2)), pytest.raises(Stopped) as stopped:
        signal.raise_signal(signal.SIGTERM)
    assert stopped.value.status == 143


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.driver.stopping.PATIENCE", 0.05)
    with signals(Stopping(in_flight=1), lambda text: None):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped):
            time.sleep(30)


def test_signals_are_as_before_afterwards() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with signals(Stopping()):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
