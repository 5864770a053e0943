"""Clipping: what is done to a gradient that may be too large.

Every rule is written for one trial. It takes the flat gradient (D,), its own state, its threshold
and a `Context`; it returns the new gradient, the new state and whether it changed anything. It
never branches on a value, so that `torch.func.vmap` lifts it over the trials of a unit.

A gradient of zero stays zero. Where a norm is not finite, a rule that scales by the norm leaves the
gradient as it is, so that an infinity never turns into a quiet 0 * inf; the engine sees the
norm *before* clipping and ends the trial there as ``nonfinite``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.records import Range

State = dict[str, Tensor]
"""What a strategy remembers of one trial between steps."""


class Context(NamedTuple):
    """What a rule may look at besides the gradient.

    ``parameters`` (D,) before the update; ``loss`` () of this batch; ``norm`` () of the gradient
    as it came from the loss.
    """

    parameters: Tensor
    loss: Tensor
    norm: Tensor
    layout: Layout


Clipped = tuple[Tensor, State, Tensor]
Rule = Callable[[Tensor, State, Tensor, Context], Clipped]


def no_state(layout: Layout, like: Tensor) -> State:
    """State of a rule that remembers nothing."""
    return {}


@dataclass(frozen=True)
class Clipping:
    """One clipping strategy.

    Parameters
    ----------
    clip
        ``(gradient (D,), state, threshold (), context) -> (gradient (D,), state, clipped ())``.
    threshold
        The one tunable number; None for a rule without.
    init
        ``(layout, like) -> state``, on the device and in the type of the tensor ``like``.
    stage
        ``"gradient"``: before the optimizer; ``"update"``: on the optimizer's direction;
        ``"step"``: before the optimizer, and a step that is flagged as clipped is not taken at
        all: parameters and the optimizer's state stay as they were.
    """

    name: str
    clip: Rule
    threshold: Range | None
    reference: str
    summary: str
    init: Callable[[Layout, Tensor], State] = no_state
    stage: Literal["gradient", "update", "step"] = "gradient"


def scale_to(norm: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """The factor min(1, limit / norm), and whether it is below 1.

    A norm that is zero or not finite gives the factor 1.

    >>> scale_to(torch.tensor(5.0), torch.tensor(1.0))
    (tensor(0.2000), tensor(True))
    """
    above = (norm > limit) & torch.isfinite(norm)
    safe = torch.where(above, norm, torch.ones_like(norm))
    return torch.where(above, limit / safe, torch.ones_like(norm)), above


def keep(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """No clipping: g."""
    return gradient, state, torch.zeros((), dtype=torch.bool, device=gradient.device)


def clip_by_value(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """Clip each element: g_i <- clamp(g_i, -c, c).

    The limit c -> 0 is the sign of the gradient, times c (Bernstein et al. 2018). NaN stays NaN.
    """
    clipped = (gradient.abs() > threshold).any()
    return torch.clamp(gradient, -threshold, threshold), state, clipped


def clip_by_global_norm(
    gradient: Tensor, state: State, threshold: Tensor, context: Context
) -> Clipped:
    """Clip the norm of all tensors together: g <- g min(1, c / norm(g)); no epsilon.

    >>> context = Context(torch.zeros(2), torch.tensor(0.0), torch.tensor(5.0), Layout((), ()))
    >>> clip_by_global_norm(torch.tensor([3.0, 4.0]), {}, torch.tensor(1.0), context)[0]
    tensor([0.6000, 0.8000])
    """
    factor, clipped = scale_to(torch.linalg.vector_norm(gradient), threshold)
    return gradient * factor, state, clipped


def clip_by_layer_norm(
    gradient: Tensor, state: State, threshold: Tensor, context: Context
) -> Clipped:
    """Clip each tensor's own norm at c_l = c sqrt(D_l / D), so that the whole is at most c."""
    layout = context.layout
    pieces, flags = {}, []
    for name, piece in layout.split(gradient).items():
        share = math.sqrt(piece.numel() / layout.size)
        factor, clipped = scale_to(torch.linalg.vector_norm(piece), threshold * share)
        pieces[name] = piece * factor
        flags.append(clipped)
    return layout.join(pieces), state, torch.stack(flags).any()


AGC_PARAMETER_FLOOR = 1e-3
AGC_GRADIENT_FLOOR = 1e-6


def clip_adaptively(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """Adaptive gradient clipping: per output unit, limit norm(G_i) to c max(norm(W_i), 1e-3).

    An output unit is a row of a matrix, or a filter over its inputs and positions. The classifier
    and one-dimensional tensors are exempt: a bias that starts at zero would be frozen at c 1e-3.
    """
    layout = context.layout
    weights = layout.split(context.parameters)
    pieces, flags = {}, []
    for name, piece in layout.split(gradient).items():
        if piece.dim() < 2 or name in layout.head:
            pieces[name] = piece
            continue
        rows = piece.flatten(start_dim=1)
        norm = torch.linalg.vector_norm(rows, dim=1)
        weight_norm = torch.linalg.vector_norm(weights[name].flatten(start_dim=1), dim=1)
        limit = threshold * weight_norm.clamp(min=AGC_PARAMETER_FLOOR)
        clipped = (norm > limit) & torch.isfinite(norm)
        factor = torch.where(clipped, limit / norm.clamp(min=AGC_GRADIENT_FLOOR), 1.0)
        pieces[name] = (rows * factor.unsqueeze(1)).view(piece.shape)
        flags.append(clipped.any())
    if not flags:
        return gradient, state, torch.zeros((), dtype=torch.bool, device=gradient.device)
    return layout.join(pieces), state, torch.stack(flags).any()


CLIPPINGS: dict[str, Clipping] = {
    "none": Clipping("none", keep, None, "-", "the gradient as it is"),
    "value": Clipping(
        "value",
        clip_by_value,
        Range(1e-4, 1.0, default=0.01),
        "Bernstein et al. 2018, arXiv:1802.04434 (the limit c -> 0)",
        "each element clamped to [-c, c]",
    ),
    "global_norm": Clipping(
        "global_norm",
        clip_by_global_norm,
        Range(1e-2, 1e2, default=1.0),
        "Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063",
        "the norm of the whole gradient limited to c",
    ),
    "per_layer_norm": Clipping(
        "per_layer_norm",
        clip_by_layer_norm,
        Range(1e-2, 1e2, default=1.0),
        "McMahan et al. 2018, arXiv:1710.06963",
        "each tensor's norm limited to c sqrt(D_l / D)",
    ),
    "adaptive": Clipping(
        "adaptive",
        clip_adaptively,
        Range(1e-3, 1.0, default=0.01),
        "Brock et al. 2021, arXiv:2102.06171",
        "each unit's gradient limited to c times the norm of its weights",
    ),
}
