"""What a guard measured, a row a step."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from torch import Tensor

MEASURED = ("loss", "norm", "norm_after", "clipped")
READ_EVERY = 256
"""Steps after which what was measured is read from the device, all at once."""


class Log:
    """Rows of the numbers `MEASURED`: all of them, or at least the last ``most``.

    What was read takes 32 bytes a step.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self._unread: list[Tensor] = []
        self._blocks: deque[np.ndarray] = deque()

    def add(self, loss: Tensor | None, norm: Tensor, after: Tensor, clipped: Tensor) -> None:
        """One row of numbers (); a loss that nobody told is NaN."""
        if self.most == 0:
            return
        told = torch.full_like(norm, float("nan")) if loss is None else loss
        self._unread.append(torch.stack([told, norm, after, clipped.to(norm.dtype)]))
        if len(self._unread) == READ_EVERY:
            self._read()

    def clear(self) -> None:
        """Forget all rows."""
        self._unread, self._blocks = [], deque()

    def rows(self) -> np.ndarray:
        """The rows (n, 4), the latest last. It waits for the device."""
        self._read()
        if not self._blocks:
            return np.empty((0, len(MEASURED)))
        rows = np.concatenate(self._blocks)
        self._blocks = deque([rows])
        return rows if self.most is None else rows[-self.most :]

    @property
    def size(self) -> int:
        """Bytes of what was read."""
        return sum(block.nbytes for block in self._blocks)

    def _read(self) -> None:
        if not self._unread:
            return
        self._blocks.append(torch.stack(self._unread).double().cpu().numpy())
        self._unread = []
        if self.most is not None:
            spare = sum(map(len, self._blocks)) - self.most
            while spare >= len(self._blocks[0]):
                spare -= len(self._blocks.popleft())
