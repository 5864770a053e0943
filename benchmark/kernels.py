"""By which kernels networks are computed: plain dense and small convolutional ones on a CPU,
convolutional ones on a GPU."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os

VARIABLE = "BENCHMARK_KERNELS"
"""Environment variable: ``torch`` leaves numba's kernels alone although it is installed, and a
GPU's convolutions folded."""

CHOICES = ("numba", "torch")


def asked() -> str:
    """What the environment asks for: one of `CHOICES`, or nothing."""
    return os.environ.get(VARIABLE, "")


def kernels() -> str:
    """``numba`` with its version, or ``torch``, as provenance records them.

    Raises
    ------
    ValueError
        If ``BENCHMARK_KERNELS`` is neither, or asks for what is not installed.
    """
    return _kernels(asked())


@functools.cache
def _kernels(asked: str) -> str:
    if asked and asked not in CHOICES:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(CHOICES)}, but got {asked!r}")
    # found, not imported: a second, and many networks are nothing for it
    found = importlib.util.find_spec("numba") is not None
    if asked == "numba" and not found:
        raise ValueError(f"{VARIABLE} is 'numba', which is not installed: pip install numba")
    # interpreted, numba's kernels do not exist
    if asked == "torch" or not found or os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "torch"
    return f"numba {importlib.metadata.version('numba')}"
