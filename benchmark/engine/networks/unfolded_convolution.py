"""K convolutions as products of unfolded patches, on a GPU.

cuDNN has no kernel for K sets of weights: K groups are so many calls in a row, each of which turns
its maps into another layout and back, which takes longer than the convolution (H200, float32,
batches of 128: 190 us a trial for 16 to 32 channels on 14x14, of which 124 for turning; 44 us for
1 to 16 on 28x28). Unfolded, the same are one batched product forward and two backward, on maps
with the channels last: 65 and 17 us. More memory is the price, so trials take turns beyond a bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional as F

from benchmark.engine.networks.pooled_convolution import gradients_by_torch
from benchmark.gpus import is_gpu
from benchmark.kernels import asked

UNFOLDED = 2**28
"""Most numbers in the patches that are unfolded at once: 1 GiB in float32."""
KEPT = 2**29
"""Most numbers in the patches of a layer that are kept for the backward pass; more are unfolded
again."""
PARTS = 16
"""Sums over examples are made in so many parts, or fewer, for a product to have work for a whole
GPU. Not by how many trials go together, on which no row may depend."""


def unfolded_convolution(
    module: nn.Conv2d, tensors: Mapping[str, Tensor], x: Tensor
) -> Tensor | None:
    """Outputs (K, B, features, H, W) of inputs (K, B, C, H, W); None where it is not meant for it.

    Parameters
    ----------
    module
        Says the kernel's size, and how the edge is met.
    tensors
        ``weight`` (K, features, C, size, size) and, if any, ``bias`` (K, features).
    """
    if not (_is_meant(x) and _fits(module)):
        return None
    weight = tensors["weight"]
    bias = tensors["bias"] if "bias" in tensors else weight.new_zeros(weight.shape[:2])
    outputs: Tensor = _UnfoldedConvolution.apply(x, weight, bias)
    return outputs


def _is_meant(x: Tensor) -> bool:
    return is_gpu(x.device) and asked() != "torch" and not torch.is_autocast_enabled("cuda")


def _fits(module: nn.Conv2d) -> bool:
    size = module.kernel_size[0]
    return (
        module.kernel_size == (size, size)
        and size % 2 == 1
        and module.padding in ("same", (size // 2, size // 2))
        and module.padding_mode == "zeros"
        and module.stride == module.dilation == (1, 1)
        and module.groups == 1
    )


class _UnfoldedConvolution(torch.autograd.Function):
    """Inputs (K, B, C, H, W), weights (K, features, C, size, size), biases (K, features)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        size = weight.shape[-1]
        # only weights have gradients that need the patches
        keep = weight.requires_grad and _numbers(x, size) <= KEPT
        kept: list[Tensor] | None = [] if keep else None
        outputs = _convolve(x, weight, bias, kept)
        ctx.patches = kept
        ctx.save_for_backward(x, weight, bias)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        (gradient,) = gradients
        # second derivatives are torch's
        if torch.is_grad_enabled():
            return gradients_by_torch(_by_torch, gradient, (x, weight, bias), ctx.needs_input_grad)
        errors = _last(gradient).flatten(1, 3)
        to_x = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(3, 4).transpose(1, 2)
            to_x = _convolve(gradient, turned, weight.new_zeros(turned.shape[:2]), None)
        size = weight.shape[-1]
        patches = ctx.patches or _patches(x, size)
        to_weight = torch.cat(
            [_sums(p, errors[some]) for p, some in zip(patches, _turns(x, size), strict=True)]
        )
        # (K, size size C, features) back to the weights' own order
        shaped = to_weight.unflatten(1, (size, size, x.shape[2])).permute(0, 4, 3, 1, 2)
        return to_x, shaped, errors.sum(dim=1)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, kept: list[Tensor] | None) -> Tensor:
    """The outputs, with their channels last in memory; ``kept`` takes the patches."""
    trials, examples, _, height, width = x.shape
    size, features = weight.shape[-1], weight.shape[1]
    columns = weight.permute(0, 3, 4, 2, 1).reshape(trials, -1, features)
    outputs = []
    for patches, some in zip(_patches(x, size), _turns(x, size), strict=True):
        own = patches.expand(len(columns[some]), -1, -1)
        outputs.append(torch.baddbmm(bias[some].unsqueeze(1), own, columns[some]))
        if kept is not None:
            kept.append(patches)
    whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return whole.view(trials, examples, height, width, features).permute(0, 1, 4, 2, 3)


def _patches(x: Tensor, size: int) -> Iterator[Tensor]:
    """What each output pixel sees (k, B H W, size size C), of some trials after the others.

    Of inputs that all trials share there is one (1, B H W, size size C).
    """
    edge = size // 2
    for some in _turns(x, size):
        maps = _last(x[:1] if x.stride(0) == 0 else x[some])
        padded = F.pad(maps, (0, 0, edge, edge, edge, edge))
        seen = padded.unfold(2, size, 1).unfold(3, size, 1)
        yield seen.permute(0, 1, 2, 3, 5, 6, 4).flatten(4).flatten(1, 3)


def _last(x: Tensor) -> Tensor:
    """(K, B, H, W, C) of x (K, B, C, H, W), contiguous."""
    return x.permute(0, 1, 3, 4, 2).contiguous()


def _numbers(x: Tensor, size: int) -> int:
    """Of all patches."""
    return size**2 * (x[0].numel() if x.stride(0) == 0 else x.numel())


def _turns(x: Tensor, size: int) -> list[slice]:
    """Which trials' patches are unfolded at once."""
    trials = len(x)
    if x.stride(0) == 0:
        return [slice(0, trials)]
    together = max(1, UNFOLDED // max(1, size**2 * x[0].numel()))
    return [slice(i, min(i + together, trials)) for i in range(0, trials, together)]


def _sums(patches: Tensor, errors: Tensor) -> Tensor:
    """Sums over pixels of patch times error (k, size size C, features)."""
    parts = math.gcd(errors.shape[1], PARTS)
    split = [t.unflatten(1, (parts, -1)) for t in (patches, errors)]
    own = split[0].expand(len(errors), -1, -1, -1)
    return torch.matmul(own.mT, split[1]).sum(dim=1)


def _by_torch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return vmap(lambda a, w, b: F.conv2d(a, w, b, padding="same"))(x, weight, bias)
