"""How much goes through a network at once, and fewer where that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from benchmark.engine.machine.devices import memory

T = TypeVar("T")

CPU_BATCHES = 30_000_000
"""Most pixels in the batches of all trials that a CPU trains together: their memory."""
LARGEST_MAP = 2**30
"""Most numbers in one layer's outputs, of all trials and examples, on a GPU. Lifted convolutions
over one-channel images are depthwise ones, which refuse 2^31."""
LARGEST_EVALUATED = 2**28
"""The same in an evaluation, beyond which nothing is gained."""
MAPS = 16
"""As many maps of the largest layer's size are taken to fit in a GPU's memory: outputs, what the
backward pass keeps of them, and their gradients."""

LACKING = (
    *("out of memory", "can't allocate memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    *("canUse32BitIndexMath", "tensor is too large", "integer out of range"),
)
"""Of the messages of errors that fewer trials or examples at once would not have met."""
BROKEN = (
    *("CUBLAS_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_EXECUTION_FAILED"),
    *("illegal memory access", "illegal instruction", "misaligned address"),
    *("device-side assert", "unspecified launch failure", "launch timed out", "ECC error"),
)
"""Of the messages of errors after which CUDA answers a process with nothing but errors."""


def is_too_much(error: BaseException) -> bool:
    """Whether the device had no memory left, or no kernel for tensors of so many numbers.

    >>> is_too_much(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."))
    True
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in LACKING)


def is_broken(error: BaseException) -> bool:
    """Whether the GPU can do nothing more for this process, which has to go.

    Libraries for CUDA tell it as a plain RuntimeError.

    >>> is_broken(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling ..."))
    True
    >>> is_broken(RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling ..."))
    False
    """
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in BROKEN)


@dataclass
class Limit:
    """Most examples, of all trials together, that one kind of pass takes at once.

    Parameters
    ----------
    most
        None for as many as there are.
    cuts
        Whether a single trial's examples can be cut as well, without another result.
    """

    most: int | None
    cuts: bool

    def width(self, examples: int) -> int | None:
        """Most trials at once, of so many examples each."""
        return None if self.most is None else max(1, self.most // examples)

    def tighten(self, trials: int, examples: int) -> bool:
        """Take half as many from now on; False where it was the least already."""
        if trials == 1 and (not self.cuts or examples == 1):
            return False
        taken = trials * examples if self.most is None else min(self.most, trials * examples)
        self.most = max(1, taken // 2)
        return taken > 1


_LIMITS: dict[tuple[object, ...], Limit] = {}


def limit(
    kind: str,
    shape: object,
    device: torch.device,
    *,
    pixels: int,
    largest_map: int,
    bits: int,
    cuts: bool,
) -> Limit:
    """The limit of one kind of pass of the networks of a shape, as this process has learned it.

    Parameters
    ----------
    kind
        ``"evaluation"``, or any other word for a pass whose gradient is taken.
    shape
        What networks have in common of which the limit is the same.
    pixels
        Of an image.
    largest_map
        Numbers in the outputs of the layer that has most, for one example.
    bits
        Of a number.
    """
    key = kind, shape, device
    if key not in _LIMITS:
        most = None
        if device.type == "cuda":
            fitting = memory(device) * 8 // (MAPS * bits)
            bound = LARGEST_EVALUATED if kind == "evaluation" else LARGEST_MAP
            most = max(1, min(bound, fitting) // largest_map)
        elif kind == "step":
            most = max(1, CPU_BATCHES // pixels)
        _LIMITS[key] = Limit(most, cuts)
    return _LIMITS[key]


def in_parts(
    bound: Limit,
    trials: int,
    examples: int,
    work: Callable[[Sequence[int]], T],
    cut_first: bool = False,
) -> list[tuple[Sequence[int], T]]:
    """Results of ``work`` on the numbers of some of ``trials`` each, in order.

    ``work`` is done again on fewer trials where it was too much, and so must change nothing before
    it has finished.

    Parameters
    ----------
    examples
        Of each trial, as many as ``work`` takes at once where there is no bound.
    cut_first
        Whether ``work`` itself takes fewer examples at once by the bound; trials part only then.
    """
    waiting: list[Sequence[int]] = [range(trials)]
    done: list[tuple[Sequence[int], T]] = []
    while waiting:
        part = waiting.pop(0)
        width = bound.width(1 if cut_first else examples)
        if width is not None and len(part) > width:
            waiting[:0] = [part[i : i + width] for i in range(0, len(part), width)]
            continue
        try:
            done.append((part, work(part)))
            continue
        except RuntimeError as error:
            if not is_too_much(error) or not bound.tighten(len(part), examples):
                raise
        # not while the error lives, whose frames have the tensors
        torch.cuda.empty_cache()
        waiting.insert(0, part)
    return done
