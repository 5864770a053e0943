"""What a model is: how its module is built, and the sizes that it allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from benchmark.strategies.normalization import Normalization

ImageShape = tuple[int, int, int]


class Build(Protocol):
    """``(image_shape, classes, depth, width, normalization) -> module``.

    The module maps images (B, C, H, W) to logits (B, classes).

    Raises `ImpossiblePair` where the normalization or the image does not fit.
    """

    def __call__(
        self,
        image_shape: ImageShape,
        classes: int,
        depth: int,
        width: int,
        normalization: Normalization,
    ) -> nn.Module:
        """Build the network."""
        ...


@dataclass(frozen=True)
class Model:
    """One architecture.

    Parameters
    ----------
    depth, width
        Hidden layers, or blocks of several, and features of the first of them: the defaults.
    depths, widths
        Smallest and largest allowed; None for an architecture that has its defaults alone.
    """

    name: str
    build: Build
    depth: int
    width: int
    reference: str
    summary: str
    depths: tuple[int, int] | None = None
    widths: tuple[int, int] | None = None
