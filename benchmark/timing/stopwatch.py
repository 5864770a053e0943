"""Wall time, processor time and peak memory of a call, here or in several processes at once.

Wall time is what a user waits for, and on a busy machine also says how busy it was; processor time
is what the call itself took.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")

Row = dict[str, Any]
"""One measurement, as a row of the table ``measurements`` of `benchmark.schema`."""
Job = Callable[[], list[Row]]
"""Some measurements that are taken together; what is to be interleaved is several jobs."""


@dataclass(frozen=True)
class Timed(Generic[T]):
    """What a call returned and what it cost; ``peak_bytes`` is the largest of its processes'."""

    value: T
    seconds: float
    cpu_seconds: float
    peak_bytes: int

    def costs(self) -> Row:
        """The columns of a measurement that say what it cost."""
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_bytes": self.peak_bytes,
        }


def timed(call: Callable[..., T], *arguments: Any) -> Timed[T]:
    """``call(*arguments)`` with its costs in this process, until the device is done."""
    _forget_peak()
    _wait_for_device()
    began, began_cpu = time.perf_counter(), time.process_time()
    value = call(*arguments)
    _wait_for_device()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    return Timed(value, seconds, cpu_seconds, _peak())


def _wait_for_device() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _forget_peak() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    # Linux lets a process set its peak back; elsewhere the peak is that of its whole life
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Bytes: on a GPU of its tensors, else of the process."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def unprepared() -> None:
    """What is done in a process before a training that is not the engine's: nothing."""


@dataclass(frozen=True)
class Lab:
    """Where calls are timed: worker processes of one thread each, as studies use them.

    Parameters
    ----------
    plain
        Processes that are not prepared as a study's are, for loops in torch.
    peers
        The same for JAX, whose memory would otherwise count as theirs.
    """

    executor: Executor
    plain: Executor
    peers: Executor
    processes: int
    device: str

    def alone(self, call: Callable[..., T], *arguments: Any) -> T:
        """``call(*arguments)`` in one worker while the others rest."""
        return self.executor.submit(call, *arguments).result()

    def at_once(
        self,
        call: Callable[..., T],
        each: Iterable[tuple[Any, ...]],
        *,
        executor: Executor | None = None,
    ) -> Timed[list[T]]:
        """``timed(call, *arguments)`` in a process for each of ``each``; all begin together.

        The wall time is from here to here, handing over included. The processes are a study's
        unless ``executor`` has others.
        """
        executor = executor or self.executor
        began = time.perf_counter()
        futures = [executor.submit(timed, call, *arguments) for arguments in each]
        parts = [future.result() for future in futures]
        return Timed(
            value=[part.value for part in parts],
            seconds=time.perf_counter() - began,
            cpu_seconds=sum(part.cpu_seconds for part in parts),
            peak_bytes=max(part.peak_bytes for part in parts),
        )
