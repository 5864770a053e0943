"""Where units are trained: processes of this machine, this process, a cluster, or a
custom executor."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from benchmark.driver.units import start_worker
from benchmark.driver.workers import Workers
from benchmark.names import UnknownName, unknown

EXECUTORS = {
    "processes": "worker processes on this machine",
    "here": "the process of the driver, for a debugger",
    "dask://HOST:PORT": "a Dask cluster, by the address of its scheduler",
}


class InThisProcess(Executor):
    """Runs a call as soon as it is submitted; what a debugger wants."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` now; its future is finished when this returns."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class WorkerPool:
    """An executor and how many calls it runs beside the driver, which may change while it runs.

    ``warm`` starts it ahead of the first call, and ``stop`` ends it at once; a custom executor is
    left alone.
    """

    executor: Executor
    slots: Callable[[], int]
    warm: Callable[[], None] = lambda: None
    stop: Callable[[], None] = lambda: None


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_pool(choice: str | Executor, workers: int) -> WorkerPool:
    """The pool that ``choice`` stands for; ``workers`` counts processes of this machine.

    Raises
    ------
    UnknownName
        If it is none of `EXECUTORS`.
    ValueError
        If no cluster answers.
    """
    if isinstance(choice, Executor):
        return WorkerPool(choice, lambda: workers)
    if choice == "here":
        return WorkerPool(InThisProcess(), lambda: 0)
    if choice == "processes":
        pool = Workers(workers, start_worker)
        return WorkerPool(pool, lambda: workers, pool.warm, pool.kill)
    if choice.startswith("dask://"):
        # the extra `cluster` is needed only here
        from benchmark.driver.cluster import connect

        cluster = connect(choice.removeprefix("dask://"))
        return WorkerPool(cluster, cluster.slots, stop=cluster.close)
    raise UnknownName(unknown("executor", choice, EXECUTORS))
