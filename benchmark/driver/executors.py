"""Where units are trained: this process, a pool of processes, or any executor of the user's."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from benchmark.driver.units import Unit, start_worker, train_unit
from benchmark.engine import Record


class InThisProcess(Executor):
    """Runs a call as soon as it is submitted; what a debugger and a single GPU want."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` now; its future is finished when this returns."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_executor(workers: int) -> Executor:
    """A pool of ``workers`` spawned processes of one thread each, or this process for one."""
    if workers == 1:
        return InThisProcess()
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=spawn, initializer=start_worker)


def stop(executor: Executor) -> None:
    """End at once: pending calls are dropped, running worker processes are killed."""
    processes = dict(getattr(executor, "_processes", None) or {})
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes.values():
        process.kill()


def train_units(
    units: Iterable[Unit], make: Callable[[], Executor], in_flight: int
) -> Iterator[tuple[Unit, Record]]:
    """Train ``units``, yielding each as it finishes.

    A worker that dies (killed for its memory, say) breaks the whole pool. The pool is then
    replaced, and each unit that was in it is retried by itself; one that breaks a pool again is
    recorded as ``failed``.

    Parameters
    ----------
    make
        Makes an executor; called again when one breaks.
    in_flight
        Most units submitted at a time.
    """
    waiting = iter(units)
    running: dict[Future[Record], Unit] = {}
    executor = make()
    try:
        while True:
            while len(running) < in_flight and (unit := next(waiting, None)) is not None:
                running[executor.submit(train_unit, unit)] = unit
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            broken = []
            for future in finished:
                unit = running.pop(future)
                try:
                    record = future.result()
                except BrokenProcessPool:
                    broken.append(unit)
                else:
                    yield unit, record
            if broken:
                broken += running.values()
                running.clear()
                stop(executor)
                for unit in broken:
                    yield unit, _alone(unit, make)
                executor = make()
    finally:
        stop(executor)


def _alone(unit: Unit, make: Callable[[], Executor]) -> Record:
    executor = make()
    try:
        return executor.submit(train_unit, unit).result()
    except BrokenProcessPool:
        return unit.failed("the worker process died twice on this unit (out of memory?)")
    finally:
        stop(executor)
