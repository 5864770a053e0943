"""Compiling kernels by numba: once a machine, kept beside their source, one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba import njit


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


@contextmanager
def one_process_at_a_time(kernel: Any) -> Iterator[None]:
    """Within it no other process compiles kernels of the module of ``kernel``.

    numba numbers the files of its cache without a lock; whoever waits has nothing left to compile.
    """
    folder = kernel.stats.cache_path
    if folder is None:
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    name = kernel.py_func.__module__.rpartition(".")[2]
    with (Path(folder) / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
