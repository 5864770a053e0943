"""Normalization: layers between a linear map and its nonlinearity.

eps is 1e-5, the affine scale starts at 1 and the shift at 0, as in torch.nn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


class ImpossiblePair(ValueError):
    """Two choices that cannot be combined; the message is the reason, recorded as a row."""


def unchanged(linear: nn.Module) -> nn.Module:
    """The linear map itself."""
    return linear


@dataclass(frozen=True)
class Normalization:
    """One normalization.

    Parameters
    ----------
    layer
        ``(features, spatial) -> module`` for inputs (B, features), or (B, features, H, W) where
        spatial. Raises `ImpossiblePair` where it is not defined.
    smallest_batch
        Examples needed in one forward pass.
    wrap
        What is done to each hidden linear map or convolution: ``nn.Module -> nn.Module``, still an
        `nn.Linear` or `nn.Conv2d` whose ``weight`` and ``bias`` are the tensors to initialize.
    """

    name: str
    layer: Callable[[int, bool], nn.Module]
    reference: str
    summary: str
    smallest_batch: int = 1
    wrap: Callable[[nn.Module], nn.Module] = unchanged


GROUPS = 8


def identity(features: int, spatial: bool) -> nn.Module:
    """No normalization."""
    return nn.Identity()


def batch(features: int, spatial: bool) -> nn.Module:
    """Each feature over the batch; running statistics (momentum 0.1) at evaluation."""
    return nn.BatchNorm2d(features) if spatial else nn.BatchNorm1d(features)


def layer(features: int, spatial: bool) -> nn.Module:
    """Each example over all its features (and positions), with an affine map per feature."""
    return nn.GroupNorm(1, features) if spatial else nn.LayerNorm(features)


def group(features: int, spatial: bool) -> nn.Module:
    """Each example over 8 groups of features."""
    if features % GROUPS:
        raise ImpossiblePair(
            f"group normalization needs features divisible by {GROUPS}, but a layer has {features}"
        )
    return nn.GroupNorm(GROUPS, features)


NORMALIZATIONS: dict[str, Normalization] = {
    "none": Normalization("none", identity, "-", "no normalization"),
    "batch": Normalization(
        "batch",
        batch,
        "Ioffe, Szegedy 2015, arXiv:1502.03167",
        "each feature over the batch",
        smallest_batch=2,
    ),
    "layer": Normalization(
        "layer",
        layer,
        "Ba, Kiros, Hinton 2016, arXiv:1607.06450",
        "each example over its features",
    ),
    "group": Normalization(
        "group",
        group,
        "Wu, He 2018, arXiv:1803.08494",
        "each example over 8 groups of features",
    ),
}
