"""Training on a Dask cluster; results come back to the one driver, which writes them."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import time
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any

import torch

from benchmark.driver.makers import made_here, worker_address
from benchmark.driver.workers import CannotStart
from benchmark.engine.machine.devices import choose_device
from benchmark.provenance import surroundings

PATIENCE = 20.0
"""Seconds that a scheduler has to answer."""
COUNT_EVERY = 2.0
"""Seconds between two looks at how many workers there are."""
SHARED = ("code", "torch", "numpy")
"""What must be the same on every machine, or rows would not compare."""
NO_WORKER = "that is none"
"""In place of an address, in a process that is no worker's."""
LOST = "the connection to the Dask scheduler is lost"

log = logging.getLogger(__name__)


class NoCluster(ValueError):
    """None answers, or nothing here can speak with it."""


class ClusterMismatch(CannotStart):
    """A ``worker``, by its address, has other versions than the driver, or lacks what it needs."""

    def __init__(self, message: str, worker: str) -> None:
        # both are arguments, with which it is made again where it is received
        super().__init__(message, worker)
        self.message, self.worker = message, worker

    def __str__(self) -> str:
        return self.message


class DaskCluster(Executor):
    """The workers of a Dask scheduler as an executor.

    Dask itself runs a unit again whose worker is lost; what kills its worker again and again
    comes back as an error. Workers may come and go while a study runs; one that comes with other
    versions is sent away, and its call made on another.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._versions = versions()
        self._workers = 0
        self._counted = -COUNT_EVERY

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` on some worker that has the driver's versions.

        The future always ends: in the call's result or error, cancelled, in a `ClusterMismatch`
        where a worker that cannot make the call does not go, or in a `BrokenExecutor` where the
        connection is lost. (That of Dask's own executor is pending for ever where it is lost while
        a result is fetched.)
        """
        from distributed.protocol.pickle import dumps

        call = (call_if_same, self._versions, dumps((fn, args, kwargs)))
        try:
            remotes = [self._client.submit(*call, pure=False)]
        except Exception as error:
            if self._client.status == "running":
                raise
            raise BrokenExecutor(LOST) from error
        future: Future[Any] = Future()
        future.add_done_callback(lambda future: _cancel(remotes[-1], future))
        self._client.loop.add_callback(_deliver, self._client, call, remotes, future)
        return future

    def slots(self) -> int:
        """Worker processes at the moment: each trains one unit at a time."""
        # a client that is not connected would look for its scheduler as long as it has patience;
        # the futures say that it is gone
        connected = self._client.status == "running"
        if connected and time.monotonic() - self._counted >= COUNT_EVERY:
            try:
                workers = len(self._client.nthreads())
            except Exception as error:
                if self._client.status == "running" and not isinstance(error, OSError):
                    raise
                return self._workers
            if not workers:
                log.warning("the cluster has no workers; waiting for some")
            self._workers, self._counted = workers, time.monotonic()
        return self._workers

    def kind(self, device: str) -> str:
        """What the workers make of ``device``; a CPU where one of them does.

        Where there are none, a GPU if that is asked for by its name.

        Raises
        ------
        ValueError
            If they have no such device, or the connection to them is lost.
        """
        kinds = set(self._asked(device_kind, device))
        if len(kinds) > 1:
            log.warning("some workers of the cluster have a GPU and some have none")
        if not kinds and device.startswith("cuda"):
            return "cuda"
        return kinds.pop() if len(kinds) == 1 else "cpu"

    def made(self, device: str) -> list[dict[str, Any]]:
        """What each worker says of itself (`made_here`); raises what `kind` does."""
        return self._asked(made_here, device)

    def _asked(self, what: Callable[[str], Any], device: str) -> list[Any]:
        try:
            return list(self._client.run(what, device).values())
        except OSError as error:
            raise ValueError(f"{LOST}: {error}") from error

    def close(self) -> None:
        """Drop what is not finished, and leave the cluster running."""
        try:
            self._client.close(timeout=PATIENCE)
        except OSError as error:
            log.debug("the cluster was left without a word: %s", error)


async def _deliver(
    client: Any, call: tuple[Any, ...], remotes: list[Any], future: Future[Any]
) -> None:
    """End ``future`` as ``call`` ends, whatever becomes of connection and workers meanwhile.

    The last of ``remotes`` is the call as it was submitted last.
    """
    result, failure = None, None
    try:
        result = await _called(client, call, remotes, future)
    except BaseException as error:
        remote = remotes[-1]
        if remote.status == "cancelled":
            future.cancel()
        # an error of the call itself is told as it is, whatever its type
        dropped = isinstance(error, OSError | asyncio.CancelledError) and remote.status != "error"
        failure = BrokenExecutor(f"the executor dropped its work: {LOST}") if dropped else error
    # nobody waits for a call that was cancelled meanwhile
    if not future.set_running_or_notify_cancel():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


async def _called(
    client: Any, call: tuple[Any, ...], remotes: list[Any], future: Future[Any]
) -> Any:
    """The result of ``call``, made again as often as a worker had to be sent away."""
    gone: set[str] = set()
    while True:
        try:
            return await client.gather(remotes[-1], asynchronous=True)
        except ClusterMismatch as error:
            # whoever does not go would take every other call as well
            if error.worker in gone or future.cancelled():
                raise
            gone.add(error.worker)
            log.warning("%s; it is sent away, and another one trains instead", error)
            try:
                await client.retire_workers([error.worker], asynchronous=True)
                remotes.append(client.submit(*call, pure=False))
            except Exception as lost:
                raise BrokenExecutor(LOST) from lost


def _cancel(remote: Any, future: Future[Any]) -> None:
    if future.cancelled() and not remote.done():
        try:
            remote.cancel()
        except Exception as error:
            # nothing runs for a client that is closed or was lost
            log.debug("not cancelled: %s", error)


def connect(address: str) -> DaskCluster:
    """The cluster whose scheduler listens at ``address``, HOST:PORT.

    Raises
    ------
    NoCluster
        If Dask is not installed, or none answers.
    ValueError
        If its workers have other versions.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise NoCluster(
            f"the executor dask://{address} needs the extra 'cluster': "
            "pip install 'gradient-stability-benchmark[cluster]'"
        ) from error
    silence_lost_connections()
    try:
        client = Client(f"tcp://{address}", timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NoCluster(
            f"no Dask scheduler answers at {address!r}; allowed: dask://HOST:PORT of one that runs "
            f"(dask scheduler --port 8786): {error}"
        ) from error
    try:
        for worker, found in client.run(versions).items():
            check_same(versions(), found, worker)
    except (ClusterMismatch, ImportError, OSError) as error:
        DaskCluster(client).close()
        raise ValueError(f"the cluster at {address!r} cannot train this study: {error}") from error
    return DaskCluster(client)


def silence_lost_connections() -> None:
    """Let no logger of Dask's say that a connection is lost, least of all with a stack.

    Dask, tornado and asyncio log it once for each place where they meet it; the driver says it in
    one line. Other errors are logged as ever.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            # a filter counts for its own logger only; the same one is added once
            logging.getLogger(name).addFilter(_is_no_lost_connection)


def _is_no_lost_connection(record: logging.LogRecord) -> bool:
    from distributed.comm.core import CommClosedError
    from tornado.iostream import StreamClosedError

    # what Dask says as it gives its client up
    if record.name == "distributed.client" and str(record.msg).startswith("Failed to reconnect"):
        return False
    lost = (CommClosedError, StreamClosedError, ConnectionError)
    cancelled = (CancelledError, asyncio.CancelledError)
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        if isinstance(error, lost + cancelled):
            return False
        # not `__context__`: what fails while a loss is handled may be an error of its own
        error = error.__cause__
    return True


def versions() -> dict[str, Any]:
    """What this process would train with."""
    here = surroundings()
    return {name: here[name] for name in SHARED}


def check_same(driver: Mapping[str, Any], worker: Mapping[str, Any], name: str) -> None:
    """Raise a `ClusterMismatch` that names the first difference."""
    for what in SHARED:
        if driver[what] != worker[what]:
            raise ClusterMismatch(
                f"worker {name} has {what} {worker[what]}, and the driver has {driver[what]}; "
                "install the same on both",
                name,
            )


def call_if_same(driver: Mapping[str, Any], sent: bytes) -> Any:
    """Make the call that was pickled as ``sent``: a function, its arguments and its keywords.

    Raises
    ------
    ClusterMismatch
        If this process has other versions than the driver, or lacks a module of the call's.
    """
    here = worker_address() or NO_WORKER
    check_same(driver, versions(), here)
    try:
        fn, args, kwargs = pickle.loads(sent)
    except (ImportError, AttributeError) as error:
        raise ClusterMismatch(
            f"worker {here} lacks what a trial is made of: {error}; install it there, too", here
        ) from error
    try:
        return fn(*args, **kwargs)
    except torch.AcceleratorError as error:
        # every later call would fail here; Dask does this one again elsewhere
        log.error("this worker ends, because its GPU failed: %s", str(error).partition("\n")[0])
        os._exit(1)


def device_kind(device: str) -> str:
    """``"cpu"`` or ``"cuda"``, for ``device`` in this process."""
    return choose_device(device).type
