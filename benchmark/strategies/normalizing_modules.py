"""The modules of those normalizations that torch.nn lacks, for one trial.

Each works under `torch.func.functional_call` and `torch.func.vmap`: no branch on a tensor's
value, and running statistics are buffers that change in place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5
MOMENTUM = 0.1
GHOST_BATCH = 32
SHORTEST = 1e-12
"""Least length that a weight vector is divided by."""


class GhostBatchNorm(nn.Module):
    """Batch normalization over sub-batches of 32 successive examples (2017, 1705.08741).

    Inputs are (B, features) or (B, features, H, W). Up to 33 examples it is batch normalization.
    Otherwise the last sub-batch takes the B mod 32 examples that are left over; where a single
    one is, which has no spread of its own, the last sub-batch takes 33. The running statistics
    follow the sub-batches one after the other, as the paper's algorithm does, with momentum 0.1
    and unbiased variance; at evaluation they are used.

    Raises
    ------
    ValueError
        While training on one example of one position, as `nn.BatchNorm1d` does.

    Examples
    --------
    >>> x = torch.arange(128.0).view(64, 2)
    >>> GhostBatchNorm(2)(x)[:32].mean().abs() < 1e-6
    tensor(True)
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize."""
        whole, left = divmod(len(x), GHOST_BATCH)
        if left == 1 and whole:
            whole -= 1
        if not self.training or whole + bool(left) < 2:
            return self._plain(x)
        if x.dim() == 4 and x.device.type == "cpu":
            # maps are much to put side by side: half the time one after the other
            last = len(x) - whole * GHOST_BATCH
            parts = x.split([GHOST_BATCH] * whole + [last] * bool(last))
            return torch.cat([self._plain(part) for part in parts])
        ghosts = self._ghosts(x[: whole * GHOST_BATCH], whole)
        return torch.cat([ghosts, self._plain(x[len(ghosts) :])]) if left else ghosts

    def _plain(self, x: Tensor) -> Tensor:
        statistics = self.running_mean, self.running_var
        return F.batch_norm(x, *statistics, self.weight, self.bias, self.training, MOMENTUM, EPS)

    def _ghosts(self, x: Tensor, count: int) -> Tensor:
        """All ``count`` sub-batches at once: their features side by side are one batch of 32."""
        if count == 1:
            return self._plain(x)
        split = x.unflatten(0, (count, GHOST_BATCH))
        beside = split.transpose(0, 1).flatten(1, 2)
        weight, bias = self.weight.repeat(count), self.bias.repeat(count)
        # momentum 1 leaves the sub-batches' own statistics in these
        mean = torch.zeros_like(self.running_mean.repeat(count))
        variance = torch.zeros_like(mean)
        normal = F.batch_norm(beside, mean, variance, weight, bias, True, 1.0, EPS)
        for running, own in ((self.running_mean, mean), (self.running_var, variance)):
            follow(running, own.view(count, -1).mT)
        return normal.unflatten(1, (count, -1)).transpose(0, 1).flatten(0, 1)

    def extra_repr(self) -> str:
        """As shown in a module's text."""
        return f"{len(self.weight)}, sub-batches of {GHOST_BATCH}"


def follow(running: Tensor, own: Tensor) -> None:
    """Let running statistics (...) follow those of successive sub-batches (..., n), in place."""
    kept, count = 1 - MOMENTUM, own.shape[-1]
    powers = torch.arange(count - 1, -1, -1, device=own.device, dtype=own.dtype)
    running.mul_(kept**count).add_((own * (MOMENTUM * kept**powers)).sum(dim=-1))


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps), times a scale per feature (2019, 1910.07467).

    The mean is over all of an example: its features (B, features), where it equals `nn.RMSNorm`,
    or also its positions (B, features, H, W).
    """

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize."""
        scale = self.weight.view(-1, *(1,) * (x.dim() - 2))
        if x.dim() < 4 or x.device.type != "cpu":
            return F.rms_norm(x, x.shape[1:], eps=EPS) * scale
        # half the time of `F.rms_norm`, which goes over the maps once more to scale them
        with torch.autocast("cpu", enabled=False):
            # in the order that the maps have in memory, and not in half precision
            numbers = x.permute(0, 2, 3, 1).flatten(1).to(self.weight.dtype)
            mean = torch.linalg.vecdot(numbers, numbers) / numbers.shape[1]
        inverse = torch.rsqrt(mean + EPS).view(-1, 1, 1, 1)
        return x * (inverse * scale)


def stretch(direction: Tensor, scale: Tensor) -> Tensor:
    """g / norm(v) for each output unit, of v (out, ...) and g (out,); finite where v is 0."""
    return scale / unit_lengths(direction).clamp_min(SHORTEST)


def normalized_weight(direction: Tensor, scale: Tensor) -> Tensor:
    """w = g v / norm(v) for each output unit, of v (out, ...) and g (out,); 0 where v is 0."""
    return direction * stretch(direction, scale).view(-1, *(1,) * (direction.dim() - 1))


def unit_lengths(weight: Tensor) -> Tensor:
    """Norm of each output unit's weights, (out,)."""
    return torch.linalg.vector_norm(weight.flatten(1), dim=1)


class WeightNormLinear(nn.Linear):
    """A linear map trained as g v / norm(v) for each output unit (2016, 1602.07868).

    ``weight`` is v and ``scale`` is g, which starts at norm(v): the map is at first that of
    ``linear``, whose parameters it takes over.
    """

    def __init__(self, linear: nn.Linear):
        has_bias = linear.bias is not None
        # on meta, because it draws no numbers there
        super().__init__(linear.in_features, linear.out_features, has_bias, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.scale = nn.Parameter(unit_lengths(linear.weight.detach()))

    @torch.no_grad()
    def weights_drawn(self) -> None:
        """Let the scale follow new weights."""
        self.scale.copy_(unit_lengths(self.weight))

    def forward(self, input: Tensor) -> Tensor:
        """Apply the normalized weights."""
        # the outputs are fewer than the weights, and scaling them comes to the same
        outputs = F.linear(input, self.weight) * stretch(self.weight, self.scale)
        return outputs if self.bias is None else outputs + self.bias


class WeightNormConv2d(nn.Conv2d):
    """A convolution trained as g v / norm(v) for each output channel; see `WeightNormLinear`."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__(**arguments_of(convolution))
        self.weight, self.bias = convolution.weight, convolution.bias
        self.scale = nn.Parameter(unit_lengths(convolution.weight.detach()))

    @torch.no_grad()
    def weights_drawn(self) -> None:
        """Let the scale follow new weights."""
        self.scale.copy_(unit_lengths(self.weight))

    def forward(self, input: Tensor) -> Tensor:
        """Apply the normalized weights."""
        return self._conv_forward(input, normalized_weight(self.weight, self.scale), self.bias)


def standardized_weight(weight: Tensor) -> Tensor:
    """(w - mean) / sqrt(variance + eps) over each output unit's weights; population variance."""
    flat = weight.flatten(1)
    return F.layer_norm(flat, flat.shape[1:], eps=EPS).view_as(weight)


class StandardizedLinear(nn.Linear):
    """A linear map by standardized weights (2019, 1903.10520), with ``linear``'s parameters."""

    def __init__(self, linear: nn.Linear):
        has_bias = linear.bias is not None
        super().__init__(linear.in_features, linear.out_features, has_bias, device="meta")
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, input: Tensor) -> Tensor:
        """Apply the standardized weights."""
        return F.linear(input, standardized_weight(self.weight), self.bias)


class StandardizedConv2d(nn.Conv2d):
    """A convolution by standardized weights; see `StandardizedLinear`."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__(**arguments_of(convolution))
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, input: Tensor) -> Tensor:
        """Apply the standardized weights."""
        return self._conv_forward(input, standardized_weight(self.weight), self.bias)


def arguments_of(convolution: nn.Conv2d) -> dict[str, Any]:
    """What builds a convolution of the same form, on the meta device."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    own = {name: getattr(convolution, name) for name in (*names, "groups", "padding_mode")}
    return own | {"bias": convolution.bias is not None, "device": "meta"}
