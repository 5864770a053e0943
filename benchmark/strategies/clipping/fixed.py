"""Rules that remember nothing: their limit is the threshold, or follows from the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.strategies.clipping.rule import (
    Clipped,
    Context,
    State,
    norm_of,
    scale_tensors,
    scale_to,
)


def clip_by_value(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """Clip each element: g_i <- clamp(g_i, -c, c).

    The limit c -> 0 is the sign of the gradient, times c (Bernstein et al. 2018, 1802.04434). An
    infinite element becomes c like any other that is too large; NaN stays NaN.
    """
    # what `any` and `clamp` do, which take five and two times as long over several trials
    largest = gradient.abs().nan_to_num(0.0, math.inf).amax()
    limited = torch.minimum(torch.maximum(gradient, -threshold), threshold)
    return limited, state, largest > threshold


def clip_by_global_norm(
    gradient: Tensor, state: State, threshold: Tensor, context: Context
) -> Clipped:
    """Clip the norm of all tensors together: g <- g min(1, c / norm(g)); no epsilon.

    Pascanu, Mikolov, Bengio 2013, 1211.5063.

    >>> context = Context(torch.zeros(2), torch.tensor(0.0), torch.tensor(5.0), Layout((), ()))
    >>> clip_by_global_norm(torch.tensor([3.0, 4.0]), {}, torch.tensor(1.0), context)[0]
    tensor([0.6000, 0.8000])
    """
    factor, clipped = scale_to(norm_of(gradient), threshold)
    return gradient * factor, state, clipped


def limit_tensor_rms(vector: Tensor, limit: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """``vector`` (D,) with the root mean square of each tensor at most ``limit``; any clipped?

    A tensor whose root mean square is not finite is left as it is; the others are not.
    """
    pieces = vector.split(layout.sizes)
    rms = torch.stack([norm_of(p) / math.sqrt(p.numel()) for p in pieces])
    factors, clipped = scale_to(rms, limit)
    return scale_tensors(vector, factors, layout), clipped.any()


def clip_by_layer_norm(
    gradient: Tensor, state: State, threshold: Tensor, context: Context
) -> Clipped:
    """Clip each tensor's own norm at c_l = c sqrt(D_l / D), so that the whole is at most c.

    That is a root mean square of c / sqrt(D) for every tensor. McMahan et al. 2018, 1710.06963.
    """
    layout = context.layout
    gradient, clipped = limit_tensor_rms(gradient, threshold / math.sqrt(layout.size), layout)
    return gradient, state, clipped


def clip_update_rms(update: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """Clip what the optimizer made of the gradient: u <- u / max(1, RMS(u) / d), per tensor.

    RMS(u) = norm(u) / sqrt(D_l). The learning rate multiplies u afterwards, so that no tensor
    moves by more than the rate times d, root mean square. Shazeer, Stern 2018, 1804.04235.
    """
    update, clipped = limit_tensor_rms(update, threshold, context.layout)
    return update, state, clipped


AGC_PARAMETER_FLOOR = 1e-3


def clip_adaptively(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """Adaptive gradient clipping: per output unit, limit norm(G_i) to c max(norm(W_i), 1e-3).

    An output unit is a row of a matrix, or a filter over its inputs and positions. The classifier
    and one-dimensional tensors are exempt: a bias that starts at zero would be frozen at c 1e-3.
    A unit whose norm is not finite is left as it is. Brock et al. 2021, 2102.06171.
    """
    layout = context.layout
    weights = layout.split(context.parameters)
    pieces, flags = {}, []
    for name, piece in layout.split(gradient).items():
        if piece.dim() < 2 or name in layout.head:
            pieces[name] = piece
            continue
        rows = piece.flatten(start_dim=1)
        norm = norm_of(rows, dim=1)
        weight_norm = norm_of(weights[name].flatten(start_dim=1), dim=1)
        limit = threshold * weight_norm.clamp(min=AGC_PARAMETER_FLOOR)
        clipped = (norm > limit) & torch.isfinite(norm)
        # the published floor of 1e-6 under the norm: one that is clipped lies above it, and one of
        # zero, which is not, is not divided by
        factor = torch.where(clipped, limit / norm, 1.0)
        pieces[name] = (rows * factor.unsqueeze(1)).view(piece.shape)
        flags.append(clipped.any())
    if not flags:
        return gradient, state, torch.zeros((), dtype=torch.bool, device=gradient.device)
    return layout.join(pieces), state, torch.stack(flags).any()


NGD_FLOOR = 1e-8


def normalize(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """Normalized gradient descent: g <- c g / (norm(g) + 1e-8).

    Every gradient comes out with the norm c, a small one enlarged. It counts as clipped where it
    was made smaller, so that the clipped fraction means what it means for ``global_norm`` at the
    same c. With plain gradient descent, c and the learning rate are one number. Hazan, Levy,
    Shalev-Shwartz 2015, 1507.02030.
    """
    norm = norm_of(gradient)
    factor = torch.where(torch.isfinite(norm), threshold / (norm + NGD_FLOOR), 1.0)
    return gradient * factor, state, factor < 1
