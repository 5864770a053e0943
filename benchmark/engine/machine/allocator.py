"""The C library's allocator, set for training."""

from __future__ import annotations

import ctypes
import sys

LARGEST_ON_HEAP = 32 << 20
"""Bytes; the most that glibc allows on 64 bits."""
KEPT = 1 << 30
GROWN_BY = 64 << 20
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Let this process keep up to a GiB of freed memory, instead of giving it back at once.

    Every step frees and takes the same megabytes. What glibc gives back to the system comes as
    empty pages, one fault each: half a second of every two of a small CNN. Other C libraries are
    left as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is None:
        return
    for option, value in (
        (M_MMAP_THRESHOLD, LARGEST_ON_HEAP),
        (M_TRIM_THRESHOLD, KEPT),
        (M_TOP_PAD, GROWN_BY),
    ):
        adjust(option, value)
