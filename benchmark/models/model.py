"""What a model is: how its module is built, and the sizes that it allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from benchmark.records.declarations import DESCRIPTION, Fixed, Function, check_declaration
from benchmark.records.fields import Rule, Whole
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

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    build: Build
    depth: int
    width: int
    reference: str
    summary: str
    depths: tuple[int, int] | None = None
    widths: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_declaration("model", self, RULES)


_BOUNDS = Fixed(2, Whole(0), "two whole numbers, smallest and largest", optional=True, rising=True)
RULES: dict[str, Rule] = {
    **DESCRIPTION,
    "build": Function(
        "(image_shape, classes, depth, width, normalization) -> module", 5, builds=True
    ),
    "depth": Whole(0),
    "width": Whole(0),
    "depths": _BOUNDS,
    "widths": _BOUNDS,
}
"""What each field of a `Model` may be."""
