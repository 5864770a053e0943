"""Optimizers that treat each tensor of the network as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.records.fields import check_fields
from benchmark.strategies.clipping import State, norm_of
from benchmark.strategies.optimizers.elementwise import (
    ADAM,
    NOT_NEGATIVE,
    AdaptiveMoments,
    zero_moments,
)
from benchmark.strategies.optimizers.rule import Directed, UpdateContext


@dataclass(frozen=True)
class LayerwiseAdaptation:
    """LAMB: Adam's direction with decay, brought to the norm of the weights, for each tensor.

    ``u <- u norm(w) / norm(u)`` where neither norm is zero. Tensors of one dimension (biases,
    scales) keep Adam's direction without decay, as in the authors' code.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check_fields(self, {**ADAM, "weight_decay": NOT_NEGATIVE})

    def __call__(self, gradient: Tensor, state: State, context: UpdateContext) -> Directed:
        """The direction and both moments."""
        adam = AdaptiveMoments(self.beta1, self.beta2, self.epsilon)
        vector, state = adam(gradient, state, context)
        weights, pieces = context.layout.split(context.parameters), {}
        for name, piece in context.layout.split(vector).items():
            weight = weights[name]
            if piece.dim() > 1:
                piece = piece + self.weight_decay * weight
                ratio = _ratio(norm_of(weight), norm_of(piece))
                piece = ratio * piece
            pieces[name] = piece
        return context.layout.join(pieces), state


def _ratio(weight: Tensor, update: Tensor) -> Tensor:
    either_zero = (weight == 0) | (update == 0)
    one = torch.ones_like(weight)
    return torch.where(either_zero, one, weight / torch.where(either_zero, one, update))


NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Of p(s) = a s + b s^3 + c s^5, which five times over brings a singular value in (0, 1] to about
1 (0.7 to 1.2): chosen to be steep at 0, not to converge."""
NEWTON_SCHULZ_STEPS = 5
NORM_FLOOR = 1e-7
LIKE_ADAM = 0.2
"""Root mean square of an update by Adam, which Muon's are given, so that both share a rate."""


def orthogonalized(matrix: Tensor) -> Tensor:
    """The matrix (rows, columns) with every singular value brought to about 1.

    It is divided by its Frobenius norm, and p is applied to its singular values five times.

    >>> orthogonalized(torch.diag(torch.tensor([3.0, 1.0]))).diagonal() > 0.6
    tensor([True, True])
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (norm_of(x.reshape(-1)) + NORM_FLOOR)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


def zero_momentum_and_moments(layout: Layout, like: Tensor) -> State:
    """Momentum and moments at zero."""
    return {"velocity": torch.zeros_like(like), **zero_moments(layout, like)}


@dataclass(frozen=True)
class OrthogonalizedMomentum:
    """Muon: momentum whose matrices are orthogonalized; the classifier and vectors by Adam.

    With v <- m v + (1 - m) g the matrix is that of (1 - m) g + m v. A filter bank is a matrix of
    its filters. An update is scaled by 0.2 sqrt(max(rows, columns)), the root mean square of one by
    Adam, so that one learning rate serves both (Liu et al. 2025). In the precision of the
    parameters, where the authors take bfloat16.
    """

    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        check_fields(self, ADAM)

    def __call__(self, gradient: Tensor, state: State, context: UpdateContext) -> Directed:
        """The direction, the momentum and both moments."""
        layout, momentum = context.layout, context.momentum
        adam = AdaptiveMoments(self.beta1, self.beta2, self.epsilon)
        vector, moments = adam(gradient, state, context)
        velocity = momentum * state["velocity"] + (1 - momentum) * gradient
        pieces = layout.split(vector)
        for name, piece in layout.split((1 - momentum) * gradient + momentum * velocity).items():
            if piece.dim() > 1 and name not in layout.head:
                matrix = piece.flatten(start_dim=1)
                scale = LIKE_ADAM * max(matrix.shape) ** 0.5
                pieces[name] = scale * orthogonalized(matrix).reshape(piece.shape)
        return layout.join(pieces), {"velocity": velocity, **moments}
