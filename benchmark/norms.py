"""Norms whose squares do not fit in single precision.

Above 1.8e19 a square overflows there, and below 1e-23 it vanishes, although the norm itself is an
ordinary number: gradients of deep networks reach both before anything in them is infinite or zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.gpus import is_gpu
from benchmark.records.fields import refused

SMALLEST_SQUARED, LARGEST_SQUARED = 1e-14, 1e17
"""Norms between which single precision adds squares without a loss that would be seen: parts of
1e-7 of the smallest, and the sum of a hundred times the largest, still have their squares."""


def norm_in_double(tensor: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Root of the sum of squares, which are added in double precision; the result is double.

    Raises
    ------
    ValueError
        If it is no tensor.

    >>> round(norm_in_double(torch.tensor([3e30, 4e30])).item() / 1e30, 6)
    5.0
    """
    if not isinstance(tensor, Tensor):
        raise refused("tensor", tensor, "a tensor")
    return torch.linalg.vector_norm(tensor, dim=dim, dtype=torch.float64)


def row_norms(rows: Tensor) -> Tensor:
    """Norms (K,) of vectors (K, D): in their own type where all of their squares fit, else double.

    On a CPU what does not fit is seen and computed again, because adding in double precision takes
    four times as long (203,530 numbers: 14 and 54 us, of a step's 520). On a GPU, where the host
    would have to wait to see it, and the type does not matter, it is always double.
    """
    if not isinstance(rows, Tensor) or rows.dim() < 2:
        raise refused("rows", rows, "a tensor (K, D)")
    if rows.device.type == "cpu":
        norms = torch.linalg.vector_norm(rows, dim=1)
        if all(SMALLEST_SQUARED < norm < LARGEST_SQUARED for norm in norms.tolist()):
            return norms
    return norm_in_double(rows, dim=1)


def norm_of_all(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Norm () of all ``tensors``, as one: in ``dtype`` where all of their squares fit, else double.

    As in `row_norms`, it is always double on a GPU, and what does not fit is seen on a CPU alone.

    Raises
    ------
    ValueError
        If they are no tensors.

    >>> some = [torch.tensor([3e30]), torch.tensor([4e30])]
    >>> round(norm_of_all(some, torch.float32).item() / 1e30, 6)
    5.0
    """
    try:
        device = tensors[0].device
        norm = _norm_of_all(tensors, torch.float64 if is_gpu(device) else dtype)
    except (AttributeError, TypeError, LookupError) as error:
        raise refused("tensors", tensors, "a sequence of tensors") from error
    if device.type != "cpu" or SMALLEST_SQUARED < norm.item() < LARGEST_SQUARED:
        return norm
    return _norm_of_all(tensors, torch.float64)


def _norm_of_all(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    if len(tensors) == 1:
        return torch.linalg.vector_norm(tensors[0], dtype=dtype)
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors), 2, dtype=dtype)))
