"""The batches of a run: images of the training set, normalized, and their labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.data import Splits


@dataclass(frozen=True)
class Batches:
    """Images (K, B, C, H, W), in ``dtype``, and labels (K, B) of examples (K, B)."""

    splits: Splits
    dtype: torch.dtype

    def __call__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the training set at ``index``."""
        # copies whole images, where `images[index]` goes number by number: a tenth of the time
        images = self.splits.train_images.index_select(0, index.flatten()).to(self.dtype)
        images.sub_(self.splits.mean).div_(self.splits.std)
        return images.unflatten(0, index.shape), self.splits.train_labels[index]
