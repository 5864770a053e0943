"""A pool of worker processes in which the death of one costs nothing but its own call.

The standard library's pool is broken as a whole when one of its processes dies, and does not say
which call killed it. Here every call has a process of its own for as long as it runs.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from queue import Empty, SimpleQueue
from typing import Any

STARTS = 3
"""How often in a row a process may die before it is ready."""

UNGUARDED = 78
"""Exit status of a process whose script would have run its study again."""
GUARD = "a script that runs a study needs its entry under `if __name__ == '__main__':`"

NOT_SENT = (
    "a trial cannot be sent to a worker process: {}; define what it uses at the top level of a "
    "module, or train in this process (--executor here)"
)

SPAWN = multiprocessing.get_context("spawn")
READY = b"ready"
DEATH: tuple[str, Any] = "died", None

log = logging.getLogger(__name__)


class WorkerDied(Exception):
    """A process died on a call; the message says how."""


class CannotStart(RuntimeError):
    """Worker processes do not start at all."""


class Workers(Executor):
    """``count`` spawned processes, each started when first needed and replaced when it dies.

    A call whose process dies raises `WorkerDied`, as does one that raises an exception: the
    process is then not trusted with another. What the processes log is logged here, where all of
    them say the same thing once.

    Parameters
    ----------
    prepare
        Called once in each process before anything else; or one such call for each process, which
        the one that replaces it makes too.
    """

    def __init__(
        self, count: int, prepare: Callable[[], None] | Sequence[Callable[[], None]]
    ) -> None:
        self._count = count
        calls = [prepare] * count if callable(prepare) else list(prepare)
        if len(calls) != count:
            raise ValueError(f"{count} processes need as many preparations, but got {len(calls)}")
        self._places: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for call in calls:
            self._places.put(call)
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all: set[_Worker] = set()
        self._starting = threading.Lock()
        self._killed = False
        self._noted: set[str] = set()
        # a process inherits the signal mask of the thread that starts it: Ctrl-C is the driver's;
        # the tracker runs before, because its own start would lift the mask
        resource_tracker.ensure_running()
        self._threads = ThreadPoolExecutor(count, "worker", initializer=_block_interrupts)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` in a process.

        Raises
        ------
        ValueError
            If the call cannot be sent to another process.
        """
        try:
            work = pickle.dumps((fn, args, kwargs))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(NOT_SENT.format(error)) from error
        return self._threads.submit(self._call, work)

    def warm(self) -> None:
        """Start all processes now, while the driver has other things to do."""
        for _ in range(self._count):
            self._threads.submit(self._warm)

    def _warm(self) -> None:
        self._idle.put(self._take())

    def _call(self, work: bytes) -> Any:
        worker = self._take()
        try:
            answer = worker.call(work, self._note)
        except WorkerDied:
            self._forget(worker)
            raise
        except ValueError:
            self._idle.put(worker)
            raise
        self._idle.put(worker)
        return answer

    def _note(self, level: int, message: str) -> None:
        with self._starting:
            new = message not in self._noted
            self._noted.add(message)
        if new:
            log.log(level, "%s", message)

    def _take(self) -> _Worker:
        try:
            while True:
                worker = self._idle.get_nowait()
                if worker.process.is_alive():
                    return worker
                self._forget(worker)
        except Empty:
            pass
        for _ in range(STARTS):
            with self._starting:
                if self._killed:
                    raise WorkerDied("stopped")
                worker = _Worker(self._places.get())
                self._all.add(worker)
            if worker.is_ready():
                return worker
            self._forget(worker)
            end = worker.end()
            if worker.process.exitcode == UNGUARDED:
                raise CannotStart(f"{GUARD}, because every worker process reads the script again")
        raise CannotStart(f"worker processes do not start ({end}); {GUARD}")

    def _forget(self, worker: _Worker) -> None:
        """Its place is free for the process that replaces it."""
        self._all.discard(worker)
        self._places.put(worker.prepare)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes once their calls are done."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            self.kill()

    def kill(self) -> None:
        """End the processes at once, whatever they are doing."""
        with self._starting:
            self._killed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._all):
            worker.process.kill()
        self._threads.shutdown()
        for worker in list(self._all):
            worker.close()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        self.prepare = prepare
        self._pipe, theirs = SPAWN.Pipe()
        # a daemon, so that it does not outlive a driver that ends in an error
        self.process = SPAWN.Process(target=_serve, args=(theirs, prepare), daemon=True)
        self.process.start()
        theirs.close()

    def is_ready(self) -> bool:
        """Wait until the process takes calls; False if it died instead."""
        try:
            return self._pipe.recv_bytes() == READY
        except (EOFError, OSError):
            return False

    def call(self, work: bytes, note: Callable[[int, str], None]) -> Any:
        try:
            self._pipe.send_bytes(work)
        except OSError:
            said, answer = DEATH
        else:
            while (heard := self._heard())[0] == "noted":
                note(*heard[1])
            said, answer = heard
        if said == "done":
            return answer
        if said == "refused":
            raise ValueError(NOT_SENT.format(answer))
        reason = answer or self.end()
        self.close()
        raise WorkerDied(reason)

    def _heard(self) -> tuple[str, Any]:
        """What the process says next."""
        try:
            # the pipe of a killed process may stay open in a process that it started
            wait([self._pipe, self.process.sentinel])
            return pickle.loads(self._pipe.recv_bytes()) if self._pipe.poll() else DEATH
        except (EOFError, OSError):
            return DEATH

    def end(self) -> str:
        """How the process ended."""
        self.process.join(timeout=5)
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"ended with exit status {code}"

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self._pipe.close()


def end_if_starting() -> None:
    """End this process if it is a worker that is still reading the driver's script.

    A script without a main guard calls from there what it called in the driver.
    """
    # as the standard library tells it, which refuses to start a process from there
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(UNGUARDED)


def _block_interrupts() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _serve(pipe: Connection, prepare: Callable[[], None]) -> None:
    """Answer calls until the driver hangs up."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare()
    pipe.send_bytes(READY)
    notes = _Passing(pipe)
    logging.basicConfig(format="%(message)s", handlers=[notes])
    while True:
        try:
            work = pipe.recv_bytes()
        except EOFError:
            return
        try:
            fn, args, kwargs = pickle.loads(work)
        except Exception as error:
            notes.send(pickle.dumps(("refused", f"{type(error).__name__}: {error}")))
            continue
        try:
            answer = pickle.dumps(("done", fn(*args, **kwargs)))
        except Exception as error:
            notes.send(pickle.dumps(("died", f"{type(error).__name__}: {error}")))
            return
        notes.send(answer)


class _Passing(logging.Handler):
    """Passes what a process logs on to the driver, which shows it beside its bar.

    Between two calls nobody listens there: what is logged then comes before the next answer.
    """

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe
        self._sending = threading.Lock()

    def send(self, message: bytes) -> None:
        """Send ``message`` whole, whichever threads do so too."""
        with self._sending:
            self._pipe.send_bytes(message)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one line."""
        # nobody reads it where the driver is gone
        with contextlib.suppress(OSError):
            self.send(pickle.dumps(("noted", (record.levelno, self.format(record)))))


def _end_with_parent() -> None:
    # a killed driver closes nothing: without this its workers would wait for it for ever
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
