"""A disturbance as the trials of a unit meet it: each with its own seed's random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmark.names import quoted
from benchmark.strategies.disturbances import Disturbance
from benchmark.strategies.returned import check_factors

STREAM = 2**31
"""Sets a disturbance's random numbers apart from those of the order of the data, which come from
the seed and the number of a pass."""


def disturbed_batch(
    disturbance: Disturbance,
    seeds: Sequence[int],
    numbers: Sequence[int | None],
    images: Tensor,
    labels: Tensor,
) -> tuple[Tensor, Tensor]:
    """The batches (K, B, C, H, W) and (K, B) of trials at their disturbed update of a number.

    Numbers count from 0; a trial that has None keeps its batch. What is drawn depends on a trial's
    seed and on the number alone: not on where in training the disturbance begins, on the strategy,
    or on the trials beside it.
    """
    pairs = [
        (images[k], labels[k])
        if number is None
        else _disturbed(disturbance, images[k], labels[k], _generator(seed, number))
        for k, (seed, number) in enumerate(zip(seeds, numbers, strict=True))
    ]
    some_images, some_labels = zip(*pairs, strict=True)
    return torch.stack(some_images), torch.stack(some_labels)


def disturbed_factor(disturbance: Disturbance, rate: float, factor: float) -> float:
    """What a learning rate is multiplied by in place of ``factor``."""
    found = disturbance.rate(rate * factor)
    (changed,) = check_factors(f"rate of disturbance {disturbance.name!r}", [found])
    return float(changed) / rate


def _disturbed(
    disturbance: Disturbance, images: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    found = disturbance.batch(images, labels, generator)
    shapes = [tuple(getattr(t, "shape", ("none",))) for t in found] if found is not None else found
    if shapes != [tuple(images.shape), tuple(labels.shape)]:
        raise ValueError(
            f"disturbance {disturbance.name!r}: batch must return images {tuple(images.shape)} and "
            f"labels {tuple(labels.shape)}, but gave {quoted(shapes)}"
        )
    return found


def _generator(seed: int, number: int) -> torch.Generator:
    entropy = int(np.random.SeedSequence([seed, STREAM, number]).generate_state(1)[0])
    return torch.Generator().manual_seed(entropy)
