"""Compiling kernels by numba: once a machine, kept beside their source, one process at a time.

An interruption must not reach numba. Most of the time LLVM is at work, and the first line of Python
that runs after a Ctrl-C is then a callback of its, in which ctypes swallows the exception: the
training goes on, numba has missed its compiled code, and what fails is the next that asks for it
("no compiled object yet for <Library ...>"). Handlers of signals run in the main thread alone, so
that kernels are compiled in another: whoever waits for it can be interrupted, and may come again.
"""

from __future__ import annotations

import fcntl
import functools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.event import Event, Listener, install_listener

log = logging.getLogger(__name__)

COMPILING = (
    "kernels are being compiled, once %s: some 20 seconds of a free core, before the first trials"
)


def compiled(function: Callable[..., Any]) -> Any:
    """``function``, compiled at its first call for the types of its arguments, and kept in a cache.

    numba compiles again when the file of a function has changed, not when another has: what a
    kernel is made of stands in its own module.
    """
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        # nowhere to write: each process compiles for itself
        return njit(error_model="numpy")(function)


def in_a_thread(compiling: Callable[..., None]) -> Callable[..., None]:
    """``compiling``, carried out once a process for the same arguments, whoever is interrupted.

    An error in it is raised where it was asked for, and it is tried again the next time.
    """
    finished: set[tuple[Any, ...]] = set()
    begun: dict[tuple[Any, ...], _Compiling] = {}

    @functools.wraps(compiling)
    def wait(*arguments: Any) -> None:
        if arguments in finished:
            return
        task = begun.get(arguments)
        if task is None or task.never_began():
            # known before it begins, where an interruption may come too
            task = begun[arguments] = _Compiling(compiling, arguments)
            task.thread.start()
        try:
            task.outcome.result()
            finished.add(arguments)
        finally:
            if task.outcome.done():
                begun.pop(arguments, None)

    return wait


class _Compiling:
    """A thread that compiles, and what came of it."""

    def __init__(self, compiling: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.outcome: Future[None] = Future()
        self.thread = threading.Thread(target=self._run, args=(compiling, arguments))

    def _run(self, compiling: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            compiling(*arguments)
        except BaseException as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(None)

    def never_began(self) -> bool:
        """Whether an interruption came before the thread was there."""
        # in this order: a thread that is through has left its outcome
        return not self.thread.is_alive() and not self.outcome.done()


@contextmanager
def one_process_at_a_time(kernel: Any) -> Iterator[None]:
    """Within it no other process compiles kernels of the module of ``kernel``.

    numba numbers the files of its cache without a lock; whoever waits has nothing left to compile.
    That something is compiled, and not loaded, is said once a process.
    """
    folder = kernel.stats.cache_path
    with install_listener("numba:compile", _Telling(kept=folder is not None)):
        if folder is None:
            yield
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        name = kernel.py_func.__module__.rpartition(".")[2]
        with (Path(folder) / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class _Telling(Listener):
    """Says that the first run takes longer, which else would only seem to hang."""

    def __init__(self, kept: bool) -> None:
        self._kept = kept

    def on_start(self, event: Event) -> None:
        tell_compiling(self._kept)

    def on_end(self, event: Event) -> None:
        pass


@functools.cache
def tell_compiling(kept: bool) -> None:
    """Say once a process that kernels are compiled, to be ``kept`` or for this process alone."""
    log.warning(COMPILING, "on this machine" if kept else "a process (no cache can be written)")
