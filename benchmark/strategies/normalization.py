"""Normalization: layers between a linear map and its nonlinearity, or another form of its weights.

eps is 1e-5, the affine scale starts at 1 and the shift at 0, as in torch.nn. The classifier is
never normalized.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from benchmark.names import quoted
from benchmark.records.declarations import SHOWN, Function, check_declaration
from benchmark.records.fields import Rule, Whole
from benchmark.strategies.normalizing_modules import (
    GhostBatchNorm,
    RMSNorm,
    StandardizedConv2d,
    StandardizedLinear,
    WeightNormConv2d,
    WeightNormLinear,
)

LinearMap = nn.Linear | nn.Conv2d


class ImpossiblePair(ValueError):
    """Two choices that cannot be combined; the message is the reason, recorded as a row."""


def unchanged(linear: LinearMap) -> LinearMap:
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
        What is done to each hidden linear map or convolution: still an `nn.Linear` or `nn.Conv2d`
        whose ``weight`` and ``bias`` are the tensors to initialize. What else it holds and what
        must follow the weights is set by its method ``weights_drawn()``, if it has one.
    averaged
        ``(features, positions) -> n``: how many numbers of one example share a mean that is
        subtracted from them; None where no such mean is.
    title, formula
        As of a `Clipping`.

    Raises
    ------
    ValueError
        If a field is not what it has to be.

    Examples
    --------
    >>> linear, after = NORMALIZATIONS["group"].around(nn.Linear(64, 32))
    >>> type(after).__name__
    'GroupNorm'
    """

    name: str
    layer: Callable[[int, bool], nn.Module]
    reference: str
    summary: str
    smallest_batch: int = 1
    wrap: Callable[[LinearMap], LinearMap] = unchanged
    averaged: Callable[[int, int], int] | None = None
    title: str = ""
    formula: str = ""

    def __post_init__(self) -> None:
        check_declaration("normalization", self, RULES)

    def around(self, linear: LinearMap, positions: int = 1) -> tuple[LinearMap, nn.Module]:
        """The linear map as it is trained, and the layer that follows it.

        Parameters
        ----------
        positions
            H x W of the map that a convolution gives.

        Raises
        ------
        ImpossiblePair
            Where it is not defined, or would leave nothing but zeros.
        ValueError
            If one of the two is no module, because a ``return`` is missing, say.
        """
        spatial = isinstance(linear, nn.Conv2d)
        features = linear.out_channels if isinstance(linear, nn.Conv2d) else linear.out_features
        layer = self.layer(features, spatial)
        if not isinstance(layer, nn.Module):
            raise ValueError(
                f"normalization {self.name!r}: layer({features}, {spatial}) must return a torch "
                f"module, but gave {quoted(layer)}"
            )
        if NORMALIZATIONS.get(self.name) is not self:
            self._try(layer, (2, features, 3, 3) if spatial else (2, features))
        if self.averaged is not None and self.averaged(features, positions) < 2:
            where = f"{features} features" + (f" at {positions} position" if spatial else "")
            raise ImpossiblePair(
                f"{self.name} normalization would subtract each number's own mean, and leave "
                f"only zeros, in a layer of {where}"
            )
        return self._wrapped(linear), layer

    def without_layer(self, linear: LinearMap) -> LinearMap:
        """The linear map as it is trained where no layer follows it (a query, a shortcut).

        Its weights have another form only if the normalization consists of that: others need the
        layer behind them.
        """
        return self._wrapped(linear) if self.layer is identity else linear

    def _try(self, layer: nn.Module, shape: tuple[int, ...]) -> None:
        """Refuse a custom layer that does not keep the shape of what it is given."""
        given = torch.zeros(shape)
        if given.is_meta:
            # only asked whether there is such a network
            return
        wanted = f"normalization {self.name!r}: its layer must take and give {shape}"
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                found = copy.deepcopy(layer).eval()(given)
            except (RuntimeError, TypeError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"{wanted}, but {type(error).__name__}: {reason}") from error
        if not isinstance(found, torch.Tensor) or found.shape != given.shape:
            gave = tuple(found.shape) if isinstance(found, torch.Tensor) else quoted(found)
            raise ValueError(f"{wanted}, but gave {gave}")

    def _wrapped(self, linear: LinearMap) -> LinearMap:
        wrapped = self.wrap(linear)
        if not isinstance(wrapped, nn.Linear | nn.Conv2d):
            raise ValueError(
                f"normalization {self.name!r}: wrap must return an nn.Linear or nn.Conv2d, but "
                f"gave {quoted(wrapped)}"
            )
        return wrapped

    def refuse_batches(self, reason: str) -> None:
        """Raise `ImpossiblePair` with the reason if its statistics are over several examples."""
        if self.smallest_batch > 1:
            raise ImpossiblePair(
                f"{self.name} normalization has statistics over the batch, and {reason}"
            )


RULES: dict[str, Rule] = {
    **SHOWN,
    "layer": Function(
        "(features, spatial) -> module, such as lambda features, spatial: nn.LayerNorm(features)",
        2,
        builds=True,
    ),
    "smallest_batch": Whole(1),
    "wrap": Function("(linear map) -> linear map", 1),
    "averaged": Function("(features, positions) -> n", 2, optional=True),
}
"""What each field of a `Normalization` may be."""

GROUPS = 8


def identity(features: int, spatial: bool) -> nn.Module:
    """No normalization."""
    return nn.Identity()


def batch(features: int, spatial: bool) -> nn.Module:
    """Each feature over the batch; running statistics (momentum 0.1) at evaluation."""
    return nn.BatchNorm2d(features) if spatial else nn.BatchNorm1d(features)


def ghost_batch(features: int, spatial: bool) -> nn.Module:
    """Each feature over sub-batches of 32; running statistics (momentum 0.1) at evaluation."""
    return GhostBatchNorm(features)


def layer(features: int, spatial: bool) -> nn.Module:
    """Each example over all its features (and positions), with an affine map per feature."""
    return nn.GroupNorm(1, features) if spatial else nn.LayerNorm(features)


def rms(features: int, spatial: bool) -> nn.Module:
    """Each example by the root mean square of its features (and positions); scale, no shift."""
    return RMSNorm(features)


def group(features: int, spatial: bool) -> nn.Module:
    """Each example over 8 groups of features."""
    if features % GROUPS:
        raise ImpossiblePair(
            f"group normalization needs features divisible by {GROUPS}, but a layer has {features}"
        )
    return nn.GroupNorm(GROUPS, features)


def instance(features: int, spatial: bool) -> nn.Module:
    """Each feature of each example over its positions, with an affine map per feature."""
    if not spatial:
        raise ImpossiblePair(
            "instance normalization needs feature maps, but a layer is dense: "
            "each of its features is a single number"
        )
    return nn.InstanceNorm2d(features, affine=True)


def weight_normalized(linear: LinearMap) -> LinearMap:
    """w = g v / norm(v) for each output unit, g starting at norm(v)."""
    if isinstance(linear, nn.Conv2d):
        return WeightNormConv2d(linear)
    return WeightNormLinear(linear)


def weight_standardized(linear: LinearMap) -> LinearMap:
    """Each output unit's weights minus their mean, over their standard deviation."""
    if linear.weight[0].numel() < 2:
        raise ImpossiblePair(
            "weight_standardization needs at least 2 weights an output unit, but a layer has 1"
        )
    if isinstance(linear, nn.Conv2d):
        return StandardizedConv2d(linear)
    return StandardizedLinear(linear)


def all_numbers(features: int, positions: int) -> int:
    """One mean an example."""
    return features * positions


def numbers_of_a_group(features: int, positions: int) -> int:
    """One mean a group."""
    return features // GROUPS * positions


def numbers_of_a_map(features: int, positions: int) -> int:
    """One mean a feature map."""
    return positions


NORMALIZATIONS: dict[str, Normalization] = {
    "none": Normalization("none", identity, "-", "no normalization"),
    "batch": Normalization(
        "batch",
        batch,
        "Ioffe, Szegedy 2015, arXiv:1502.03167",
        "each feature over the batch",
        smallest_batch=2,
    ),
    "ghost_batch": Normalization(
        "ghost_batch",
        ghost_batch,
        "Hoffer, Hubara, Soudry 2017, arXiv:1705.08741",
        "each feature over sub-batches of 32",
        smallest_batch=2,
    ),
    "layer": Normalization(
        "layer",
        layer,
        "Ba, Kiros, Hinton 2016, arXiv:1607.06450",
        "each example over its features",
        averaged=all_numbers,
    ),
    "rms": Normalization(
        "rms",
        rms,
        "Zhang, Sennrich 2019, arXiv:1910.07467",
        "each example by its root mean square, no mean",
    ),
    "group": Normalization(
        "group",
        group,
        "Wu, He 2018, arXiv:1803.08494",
        "each example over 8 groups of features",
        averaged=numbers_of_a_group,
    ),
    "instance": Normalization(
        "instance",
        instance,
        "Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022",
        "each feature map over its positions",
        averaged=numbers_of_a_map,
    ),
    "weight_norm": Normalization(
        "weight_norm",
        identity,
        "Salimans, Kingma 2016, arXiv:1602.07868",
        "weights as length times direction",
        wrap=weight_normalized,
    ),
    "weight_standardization": Normalization(
        "weight_standardization",
        group,
        "Qiao et al. 2019, arXiv:1903.10520",
        "weights with mean 0 and variance 1 a unit, and group normalization",
        wrap=weight_standardized,
        averaged=numbers_of_a_group,
    ),
}
