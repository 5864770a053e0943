"""A convolution, 2 x 2 maximum and ReLU as one layer, on a CPU by compiled kernels.

Behind the maximum and the ReLU at most a quarter of a convolution's output gradients are not zero;
`benchmark.engine.kernels.convolution_kernels` goes over these alone, and makes a pooled map in one
pass. Its sums have every number that torch's have but products with a gradient that is zero. So
numbers that are not finite, of which such a product is NaN, are left to torch: what explodes,
explodes the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.kernels import kernels

Named = list[tuple[str, nn.Module]]


def pooled_convolution(
    layers: Named, tensors: Mapping[str, Tensor], x: Tensor
) -> tuple[Tensor, Named] | None:
    """Outputs of the first of ``layers`` for inputs x (K, B, C, H, W), and the layers that follow.

    None where they do not begin with a convolution, 2 x 2 maximum and ReLU, or the kernels do not
    exist or fit. The maximum may stand before or after the ReLU, with which it commutes.

    Parameters
    ----------
    layers
        Names and modules.
    tensors
        Parameters (K, ...) by name.
    """
    if not layers:
        return None
    name, convolution = layers[0]
    # a subclass may do something else than its base
    if type(convolution) is not nn.Conv2d:
        return None
    length, found = _first_three(layers)
    if not _fits(convolution, found, x):
        return None
    weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
    if bias is None:
        bias = weight.new_zeros(weight.shape[:2])
    # a weight that is not finite meets the zeros beyond the edge here, and does not in torch
    if not _finite(weight.contiguous()):
        return None
    outputs: Tensor = _PooledConvolution.apply(x, weight, bias)
    return outputs, layers[length:]


def _first_three(layers: Named) -> tuple[int, list[nn.Module]]:
    """The first three modules that do something, and how many there are up to the last of them."""
    found: list[nn.Module] = []
    for i, (_, module) in enumerate(layers):
        if type(module) is not nn.Identity or _has_hooks(module):
            found.append(module)
        if len(found) == 3:
            return i + 1, found
    return len(layers), found


def _has_hooks(module: nn.Module) -> bool:
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)


def _fits(convolution: nn.Conv2d, three: Sequence[nn.Module], x: Tensor) -> bool:
    kinds = {type(module): module for module in three}
    pool = kinds.get(nn.MaxPool2d)
    if not isinstance(pool, nn.MaxPool2d) or nn.ReLU not in kinds:
        return False
    if x.device.type != "cpu" or x.dim() != 5 or min(x.shape[3:]) < 2:
        return False
    if x.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
        return False
    if any(_has_hooks(module) for module in three):
        return False
    return is_by_twos(pool) and kernels() != "torch" and _is_plain(convolution, x)


def _is_plain(convolution: nn.Conv2d, x: Tensor) -> bool:
    from benchmark.engine.kernels.convolution_kernels import CHANNELS, SIZES

    size, channels = convolution.kernel_size[0], convolution.in_channels
    return (
        size in SIZES
        and convolution.kernel_size == (size, size)
        and convolution.padding in ("same", (size // 2, size // 2))
        and convolution.padding_mode == "zeros"
        and convolution.stride == convolution.dilation == (1, 1)
        and convolution.groups == 1
        and convolution.out_channels % CHANNELS == 0
        and (channels % CHANNELS == 0 or not x.requires_grad)
    )


def is_by_twos(module: nn.MaxPool2d) -> bool:
    """Whether it takes the maxima of squares of 2 x 2 that do not overlap, and nothing else."""

    def pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
        return (size, size) if isinstance(size, int) else tuple(size)

    return (
        pair(module.kernel_size) == pair(module.stride) == (2, 2)
        and pair(module.padding) == (0, 0)
        and pair(module.dilation) == (1, 1)
        and not module.ceil_mode
        and not module.return_indices
    )


class _PooledConvolution(torch.autograd.Function):
    """Inputs (K, B, C, H, W), weights (K, features, C, size, size), biases (K, features)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        from benchmark.engine.kernels.convolution_kernels import forward

        trials, features = bias.shape
        examples, height, width = x.shape[1], x.shape[3] // 2, x.shape[4] // 2
        out = x.new_empty(trials, examples, height, width, features)
        where = torch.empty(out.shape, dtype=torch.uint8)
        taps = weight.permute(0, 3, 4, 2, 1).contiguous()
        forward(*_arrays(_channels_last(_shared(x)), taps, bias.contiguous(), out, where))
        ctx.save_for_backward(x, weight, bias, where)
        return out.permute(0, 1, 4, 2, 3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from benchmark.engine.kernels.convolution_kernels import (
            CHANNELS,
            backward,
            backward_of_first,
        )

        x, weight, bias, where = ctx.saved_tensors
        (gradient,) = gradients
        inputs, given = _channels_last(_shared(x)), _channels_last(gradient)
        # second derivatives are torch's
        if torch.is_grad_enabled() or not (_finite(given) and _finite(inputs)):
            return gradients_by_torch(_by_torch, gradient, (x, weight, bias), ctx.needs_input_grad)
        to_bias = torch.zeros_like(bias, memory_format=torch.contiguous_format)
        trials, features, channels, size, _ = weight.shape
        if channels % CHANNELS:
            to_weight = weight.new_zeros(trials, size, size, channels, features)
            backward_of_first(*_arrays(inputs, given, where, to_weight, to_bias))
            return None, to_weight.permute(0, 4, 3, 1, 2), to_bias
        shape = (trials, *inputs.shape[1:]) if ctx.needs_input_grad[0] else (0,) * inputs.dim()
        to_x = inputs.new_empty(shape)
        kept = weight.permute(0, 1, 3, 4, 2).contiguous()
        to_weight = torch.zeros_like(kept)
        backward(*_arrays(inputs, kept, given, where, to_x, to_weight, to_bias))
        back = to_x.permute(0, 1, 4, 2, 3) if ctx.needs_input_grad[0] else None
        return back, to_weight.permute(0, 1, 4, 2, 3), to_bias


def _channels_last(x: Tensor) -> Tensor:
    """(K, B, H, W, C) of x (K, B, C, H, W), contiguous."""
    return x.permute(0, 1, 3, 4, 2).contiguous()


def _shared(x: Tensor) -> Tensor:
    """The inputs of one network where those of all are the same memory."""
    return x[:1] if x.stride(0) == 0 else x


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def _finite(dense: Tensor) -> bool:
    from benchmark.engine.kernels.convolution_kernels import finite, ready

    ready(dense.dtype == torch.float64)
    integer = torch.int64 if dense.dtype == torch.float64 else torch.int32
    return bool(finite(dense.detach().view(-1).view(integer).numpy()))


def _by_torch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    each = zip(x, weight, bias, strict=True)
    return torch.stack([F.relu(F.max_pool2d(F.conv2d(*one, padding="same"), 2)) for one in each])


def gradients_by_torch(
    function: Callable[..., Tensor],
    gradient: Tensor,
    inputs: Sequence[Tensor],
    needed: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Gradients by those of ``inputs`` that are ``needed``, which can be differentiated further.

    Parameters
    ----------
    gradient
        By what ``function`` gives for ``inputs``.
    """
    twice = torch.is_grad_enabled()
    with torch.enable_grad():
        leaves = [
            tensor if twice else tensor.detach().requires_grad_(asked)
            for tensor, asked in zip(inputs, needed, strict=True)
        ]
        outputs = function(*leaves)
        asked = [leaf for leaf, wanted in zip(leaves, needed, strict=True) if wanted]
        found = iter(torch.autograd.grad(outputs, asked, gradient, create_graph=twice))
    return tuple(next(found) if wanted else None for wanted in needed)
