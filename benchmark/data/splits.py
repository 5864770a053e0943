"""Images and labels in memory, in splits that are chosen once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmark.data.idx import DataError
from benchmark.data.labels import class_numbers
from benchmark.names import quoted
from benchmark.records.fields import FLAG, refused

CHUNK = 1 << 18
"""Pixels that are converted together: the memory that it takes beside the images is small."""

EXACT = (
    *(torch.uint8, torch.int8, torch.int16),
    *(torch.float16, torch.bfloat16, torch.float32),
)
"""Types whose every value float32 has too: these images are stored as they are."""


FLOAT32_MOST = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class Splits:
    """A data set in memory.

    Images have the shape (n, C, H, W) and the type uint8 or float; labels (n,) are int64. The
    network sees ``(images - mean) / std``: mean and deviation of the training images' pixels as
    stored for the built-in data sets, 0 and 1 for pixels as they are, 0 and 255 for bytes as
    shares of white. Selection is on validation; test is for reporting.
    """

    train_images: Tensor
    train_labels: Tensor
    validation_images: Tensor
    validation_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    mean: float
    std: float

    def to(self, device: torch.device | str) -> Splits:
        """The same on ``device``.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            device = torch.device(device)
        except (RuntimeError, TypeError):
            raise refused("device", device, "a device of torch's, such as 'cpu'") from None
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        moved: dict[str, Any] = {k: v.to(device) for k, v in values.items() if torch.is_tensor(v)}
        return dataclasses.replace(self, **moved)


def make_splits(
    train: tuple[Any, Any],
    validation: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    standardize: bool = True,
) -> Splits:
    """Splits from pairs of images (n, H, W) or (n, C, H, W) and labels (n,).

    Arrays, tensors, lists of them and pandas' columns are taken; for labels see `class_numbers`.
    The values are copied: what the caller does to its arrays later changes nothing here.

    Parameters
    ----------
    standardize
        Whether the network sees ``(x - m) / s`` with the mean m and the deviation s of all
        training pixels, or the pixels as they are. Types that float32 cannot hold (float64 and
        whole numbers of more than 16 bits) are standardized here, in float64: a large offset or
        factor costs no accuracy.

    Raises
    ------
    DataError
        If a split has another number of images than of labels, or none; if images are not all of
        one shape, not numbers, or not finite; if labels are not what `class_numbers` takes.

    >>> pair = torch.tensor([[[0.0, 2.0]]]), [1]
    >>> splits = make_splits(train=pair, validation=pair, test=pair)
    >>> splits.mean, splits.std, tuple(splits.test_images.shape)
    (1.0, 1.0, (1, 1, 1, 2))
    """
    standardize = FLAG("standardize", standardize)
    given = {"train": train, "validation": validation, "test": test}
    parts = {name: _pair(name, value) for name, value in given.items()}
    labels = class_numbers({name: y for name, (_, y) in parts.items()})
    images = {name: _images(name, x) for name, (x, _) in parts.items()}
    for name, x in images.items():
        if x.dim() != 4:
            table = "; a table (n, d) is .reshape(-1, 1, 1, d)" if x.dim() == 2 else ""
            raise DataError(
                f"{name} must be images (n, H, W) or (n, C, H, W) and labels (n,), "
                f"but has the shapes {tuple(x.shape)}, {tuple(labels[name].shape)}{table}"
            )
        if len(x) != len(labels[name]) or not len(x):
            raise DataError(
                f"{name} must have as many images as labels, but has {len(x)}, {len(labels[name])}"
            )
        if x.is_floating_point() and not all(bool(c.isfinite().all()) for c in _chunks(x)):
            # one such pixel would end trials as nonfinite, and pass for an explosion
            raise DataError(f"images of {name} must be finite, but some are NaN or infinite")
    shapes = {name: tuple(x.shape[1:]) for name, x in images.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"images must have one shape (C, H, W) in every split, but have {shapes}")
    mean, std = _moments(images["train"]) if standardize else (0.0, 1.0)
    if standardize and any(x.dtype not in EXACT for x in images.values()):
        images = {name: _standardized(x, mean, std) for name, x in images.items()}
        mean, std = 0.0, 1.0
    for name, x in images.items():
        if x.dtype not in EXACT and (most := max(map(_largest, _chunks(x)))) > FLOAT32_MOST:
            raise DataError(
                f"images of {name} must be within {FLOAT32_MOST:.2g} of "
                f"{'the mean in deviations' if standardize else 'zero'}, but one is {most:.2g}"
            )
    return Splits(
        mean=mean,
        std=std,
        **{f"{name}_images": x for name, x in images.items()},
        **{f"{name}_labels": y for name, y in labels.items()},
    )


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if isinstance(value, tuple | list) and len(value) == 2:
        return value[0], value[1]
    if isinstance(tensors := getattr(value, "tensors", None), tuple):
        hint = f"; a {type(value).__name__} has it in .tensors" if len(tensors) == 2 else ""
    else:
        hint = "; stack what it gives" if hasattr(value, "batch_sampler") else ""
    raise DataError(f"`{name}` must be a pair (images, labels), but got {quoted(value)}{hint}")


def _images(name: str, values: Any) -> Tensor:
    """A copy of ``values`` as (n, C, H, W), of a type in `EXACT` or float64."""
    try:
        x = _copied(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"images of {name} are no array of numbers: {error}") from None
    if x.is_complex() or x.layout != torch.strided:
        raise DataError(f"images of {name} must be dense real numbers, but are {x.dtype}")
    if x.dtype == torch.bool:
        x = x.to(torch.uint8)
    x = x if x.dtype in EXACT else x.double()
    return x.unsqueeze(1) if x.dim() == 3 else x


def _copied(values: Any) -> Tensor:
    if isinstance(values, pd.Series | pd.DataFrame):
        values = values.to_numpy()
    if isinstance(values, Tensor):
        return values.detach().clone(memory_format=torch.contiguous_format)
    if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
        return torch.stack([torch.as_tensor(value).detach() for value in values])
    array = np.array(values)
    if array.dtype == object:
        # a column of arrays
        array = np.stack([np.asarray(value) for value in array.tolist()])
    if array.dtype.kind not in "buifc":
        raise TypeError(f"their type is {array.dtype}")
    if array.dtype.itemsize > (1 if array.dtype.kind == "u" else 8):
        # types that torch has in part or not at all
        array = array.astype(np.float64)
    # an order of its own, of bytes or of axes, ends here
    return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))


def _chunks(x: Tensor) -> Iterator[Tensor]:
    yield from x.view(-1).split(CHUNK)


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


def _moments(x: Tensor) -> tuple[float, float]:
    """Mean and deviation in float64; the deviation of a constant is 1, to divide by."""
    low = min(float(c.min()) for c in _chunks(x))
    high = max(float(c.max()) for c in _chunks(x))
    if low == high:
        return low, 1.0
    # by a power of two, which costs no digit, so that no square overflows
    scale = 2.0 ** -math.frexp(max(abs(low), abs(high)))[1]
    mean = sum(float((c.double() * scale).sum()) for c in _chunks(x)) / x.numel()
    squares = (float((c.double() * scale - mean).square().sum()) for c in _chunks(x))
    return mean / scale, math.sqrt(sum(squares) / x.numel()) / scale


def _standardized(x: Tensor, mean: float, std: float) -> Tensor:
    x = x.double()
    for chunk in _chunks(x):
        # divided first where the difference of two numbers could overflow
        if abs(mean) > 1e300 or std > 1e300:
            chunk.div_(std).sub_(mean / std)
        else:
            chunk.sub_(mean).div_(std)
    return x
