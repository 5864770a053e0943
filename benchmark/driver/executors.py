"""Where units are trained: processes of this machine, this process, a cluster, or a
custom executor."""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.driver.makers import made_here
from benchmark.driver.places import CLUSTER, EXECUTORS
from benchmark.driver.units import start_gpu_worker, start_worker
from benchmark.driver.workers import Workers
from benchmark.engine.machine.devices import choose_device
from benchmark.machine import cores
from benchmark.names import UnknownName, unknown

log = logging.getLogger(__name__)


class InThisProcess(Executor):
    """Runs a call as soon as it is submitted; what a debugger wants."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` now; its future is finished when this returns."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except torch.AcceleratorError as error:
            # nothing more can be trained by this process, whose GPU stays in this state
            reason = f"the GPU failed, and this process with it: {error}".splitlines()[0]
            future.set_exception(BrokenExecutor(reason))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class WorkerPool:
    """An executor and how many calls it runs beside the driver, which may change while it runs.

    ``warm`` starts it ahead of the first call, and ``stop`` ends it at once; a custom executor is
    left alone. ``kind`` says what a device of this name is where the calls run: ``"cpu"`` or
    ``"cuda"``; ``made`` by what rows are made there, once or once for each worker.
    """

    executor: Executor
    slots: Callable[[], int]
    warm: Callable[[], None] = lambda: None
    stop: Callable[[], None] = lambda: None
    kind: Callable[[str], str] = lambda device: choose_device(device).type
    made: Callable[[str], list[dict[str, Any]]] = lambda device: [made_here(device)]


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


PROCESSES_A_GPU = 8
"""Unless told otherwise: the work of one on the host is done while the others' trials are on the
GPU (H200, 48 MLPs at once of 400 steps each: 1, 4, 8 and 14 processes trained 165, 479, 714 and
754 thousand trials an hour)."""


def processes_for(gpus: Sequence[str]) -> int:
    """How many processes train, unless told: one a core, or some a GPU."""
    return min(cores(), PROCESSES_A_GPU * len(gpus)) if gpus else cores()


def preparations(count: int, gpus: Sequence[str]) -> list[Callable[[], None]]:
    """How each of ``count`` processes is prepared, the GPUs in turn.

    >>> [call.args for call in preparations(3, ["cuda:0", "cuda:1"])]
    [('cuda:0', 2), ('cuda:1', 1), ('cuda:0', 2)]
    """
    if not gpus:
        return [start_worker] * count
    turns = [gpus[i % len(gpus)] for i in range(count)]
    return [functools.partial(start_gpu_worker, gpu, turns.count(gpu)) for gpu in turns]


def open_pool(choice: str | Executor, workers: int, gpus: Sequence[str] = ()) -> WorkerPool:
    """The pool that ``choice`` stands for; ``workers`` counts processes of this machine,
    of which there are no more than it has cores and memory for. They take ``gpus`` in turn.

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
        pool = Workers(count, preparations(count, gpus))
        return WorkerPool(pool, lambda: count, pool.warm, pool.kill)
    if choice.startswith(CLUSTER):
        # the extra `cluster` is needed only here
        from benchmark.driver.cluster import connect

        cluster = connect(choice.removeprefix(CLUSTER))
        return WorkerPool(
            cluster, cluster.slots, stop=cluster.close, kind=cluster.kind, made=cluster.made
        )
    raise UnknownName(unknown("executor", choice, EXECUTORS))
