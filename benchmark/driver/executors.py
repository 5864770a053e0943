"""Where units are trained: processes of this machine, this process, a cluster, or a
custom executor."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.driver.units import start_worker
from benchmark.driver.workers import Workers
from benchmark.names import UnknownName, unknown

EXECUTORS = {
    "processes": "worker processes on this machine",
    "here": "the process of the driver, for a debugger",
    "dask://HOST:PORT": "a Dask cluster, by the address of its scheduler",
}


log = logging.getLogger(__name__)


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


WORKER_MEMORY = 768 * 2**20
"""Bytes of a worker process (measured: 650 MiB, small CNNs on Fashion-MNIST)."""


def available_memory() -> float:
    """Bytes that new processes can have; all of the machine's where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("MemAvailable:")]
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return math.inf


def at_most(workers: int) -> int:
    """``workers``, or as many as this machine has cores and memory for; a warning says which."""
    memory = available_memory()
    room = {
        f"{cores()} cores": cores(),
        f"{memory / 2**30:.1f} GiB of free memory": int(min(memory / WORKER_MEMORY, workers)),
    }
    reason, most = min(room.items(), key=lambda item: item[1])
    most = max(most, 1)
    if workers <= most:
        return workers
    log.warning("%d workers are too many for %s; started: %d", workers, reason, most)
    return most


def open_pool(choice: str | Executor, workers: int) -> WorkerPool:
    """The pool that ``choice`` stands for; ``workers`` counts processes of this machine,
    of which there are no more than it has cores and memory for.

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
        count = at_most(workers)
        pool = Workers(count, start_worker)
        return WorkerPool(pool, lambda: count, pool.warm, pool.kill)
    if choice.startswith("dask://"):
        # the extra `cluster` is needed only here
        from benchmark.driver.cluster import connect

        cluster = connect(choice.removeprefix("dask://"))
        return WorkerPool(cluster, cluster.slots, stop=cluster.close)
    raise UnknownName(unknown("executor", choice, EXECUTORS))
