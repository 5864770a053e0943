"""The order in which a trial sees the training set."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor


@functools.lru_cache(maxsize=64)
def _epoch(seed: int, epoch: int, examples: int) -> Tensor:
    entropy = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return torch.randperm(examples, generator=torch.Generator().manual_seed(entropy))


def data_order(seed: int, examples: int, start: int, stop: int) -> Tensor:
    """Indices of the examples number ``start`` to ``stop`` of an endless stream of permutations.

    Every pass over the training set is a new permutation, and batches run on across passes, so
    that the stream depends on the seed alone: not on batch size, strategy, device or neighbours.

    >>> sorted(data_order(0, 4, 0, 4).tolist())
    [0, 1, 2, 3]
    """
    pieces = []
    while start < stop:
        epoch, offset = divmod(start, examples)
        end = min(examples, offset + stop - start)
        pieces.append(_epoch(seed, epoch, examples)[offset:end])
        start += end - offset
    return torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.long)
