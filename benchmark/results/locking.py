"""One run at a time in a folder: a file that the system locks, and frees when a run is killed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


def locked(path: Path) -> IO[str] | None:
    """``path``, opened and locked; None where another process holds it."""
    while True:
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        # the run before may have removed the file between its opening and its locking here
        try:
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        except FileNotFoundError:
            pass
        lock.close()
