"""Training on a Dask cluster; results come back to the one driver, which writes them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

import torch

from benchmark.engine.devices import choose_device
from benchmark.provenance import provenance

PATIENCE = 20.0
"""Seconds that a scheduler has to answer."""
COUNT_EVERY = 2.0
"""Seconds between two looks at how many workers there are."""
SHARED = ("code", "torch", "numpy")
"""What must be the same on every machine, or rows would not compare."""

log = logging.getLogger(__name__)


class ClusterMismatch(RuntimeError):
    """A worker has other versions than the driver."""


class DaskCluster(Executor):
    """The workers of a Dask scheduler as an executor.

    Dask itself runs a unit again whose worker is lost; what kills its worker again and again
    comes back as an error. Workers may come and go while a study runs.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._versions = versions()
        self._workers = 0
        self._counted = -COUNT_EVERY

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` on some worker that has the driver's versions."""
        return self._executor.submit(call_if_same, self._versions, fn, *args, **kwargs)

    def slots(self) -> int:
        """Worker processes at the moment: each trains one unit at a time."""
        if time.monotonic() - self._counted >= COUNT_EVERY:
            try:
                workers = len(self._client.nthreads())
            except (OSError, RuntimeError):
                # the futures will say so if the scheduler is gone
                workers = self._workers
            if not workers:
                log.warning("the cluster has no workers; waiting for some")
            self._workers, self._counted = workers, time.monotonic()
        return self._workers

    def kind(self, device: str) -> str:
        """What the workers make of ``device``; a CPU where one of them does, or there are none.

        Raises
        ------
        ValueError
            If they have no such device.
        """
        kinds = set(self._client.run(device_kind, device).values())
        if len(kinds) > 1:
            log.warning("some workers of the cluster have a GPU and some have none")
        return kinds.pop() if len(kinds) == 1 else "cpu"

    def close(self) -> None:
        """Drop what is not finished, and leave the cluster running."""
        self._executor.shutdown(wait=False)
        self._client.close(timeout=PATIENCE)


def connect(address: str) -> DaskCluster:
    """The cluster whose scheduler listens at ``address``, HOST:PORT.

    Raises
    ------
    ValueError
        If Dask is not installed, none answers, or its workers have other versions.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the executor dask://{address} needs the extra 'cluster': "
            "pip install 'gradient-stability-benchmark[cluster]'"
        ) from error
    # dask logs the stack of each call that a lost scheduler cancels; the driver says it in a line
    for name in ("client", "utils"):
        logging.getLogger(f"distributed.{name}").addFilter(_without_stack)
    try:
        client = Client(f"tcp://{address}", timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no Dask scheduler answers at {address!r}; allowed: dask://HOST:PORT of one that runs "
            f"(dask scheduler --port 8786): {error}"
        ) from error
    try:
        for worker, found in client.run(versions).items():
            check_same(versions(), found, worker)
    except (ClusterMismatch, ImportError) as error:
        client.close()
        raise ValueError(f"the cluster at {address!r} cannot train this study: {error}") from error
    return DaskCluster(client)


def _without_stack(record: logging.LogRecord) -> bool:
    return record.exc_info is None


def versions() -> dict[str, Any]:
    """What this process would train with."""
    here = provenance()
    return {name: here[name] for name in SHARED}


def check_same(driver: Mapping[str, Any], worker: Mapping[str, Any], name: str) -> None:
    """Raise a `ClusterMismatch` that names the first difference."""
    for what in SHARED:
        if driver[what] != worker[what]:
            raise ClusterMismatch(
                f"worker {name} has {what} {worker[what]}, and the driver has {driver[what]}; "
                "install the same on both"
            )


def call_if_same(
    driver: Mapping[str, Any], fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """Call ``fn`` here, unless this process has other versions than the driver."""
    check_same(driver, versions(), "that came later")
    try:
        return fn(*args, **kwargs)
    except torch.AcceleratorError as error:
        # every later call would fail here; Dask does this one again elsewhere
        log.error("this worker ends, because its GPU failed: %s", str(error).partition("\n")[0])
        os._exit(1)


def device_kind(device: str) -> str:
    """``"cpu"`` or ``"cuda"``, for ``device`` in this process."""
    return choose_device(device).type
