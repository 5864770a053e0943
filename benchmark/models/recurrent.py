"""A recurrence over the rows of an image, where exploding gradients were first described."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from benchmark.models.initialization import unrectified
from benchmark.models.model import ImageShape
from benchmark.strategies.normalization import Normalization


class Recurrence(nn.Module):
    """h_t = tanh(V x_t / sqrt(T) + b + W h_{t-1}), the last of T states, from h_0 = 0.

    x_t is row t of an image, all its channels side by side. A normalization stands before the
    tanh, the same one at every step (2016, 1607.06450). At critical gain what the rows bring in
    adds up over the steps, and 1 / sqrt(T) lets the last state have the same spread whatever T.

    Every step but the first is a linear map of its own by name, and all have the one weight W:
    their ``backprop_norm`` is the norm of dL/d a_t, a_t being what tanh is applied to, so that
    layers show how a gradient goes back through the steps. ``gradient_norm`` and
    ``parameter_norm`` are those of W at each of them.

    Parameters
    ----------
    steps
        T: rows of an image.
    features
        Numbers of a row.
    width
        Numbers of a state.

    Raises
    ------
    ImpossiblePair
        Where the normalization has statistics over a batch: each step would need its own.

    Examples
    --------
    >>> from benchmark.strategies.normalization import NORMALIZATIONS
    >>> Recurrence(28, 28, 16, NORMALIZATIONS["layer"])(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 16])
    """

    def __init__(self, steps: int, features: int, width: int, normalization: Normalization):
        super().__init__()
        normalization.refuse_batches("a recurrence would need statistics of its own at each step")
        self.scale = 1 / math.sqrt(steps)
        self.input = unrectified(normalization.wrap(nn.Linear(features, width)))
        step, norm = normalization.around(nn.Linear(width, width, bias=False))
        unrectified(step)
        shared = {id(tensor): tensor for tensor in step.parameters()}
        # another module each, because what a network applies twice is measured at first alone
        self.steps = nn.ModuleList(copy.deepcopy(step, dict(shared)) for _ in range(steps - 1))
        self.norm = norm

    def forward(self, images: Tensor) -> Tensor:
        """States (B, width) after the last row of images (B, C, T, W)."""
        first, *others = self.input(self.rows(images)).unbind()
        state = torch.tanh(self.norm(first))
        for step, row in zip(self.steps, others, strict=True):
            state = torch.tanh(self.norm(row + step(state)))
        return state

    def rows(self, images: Tensor) -> Tensor:
        """Scaled rows (T, B, C x W) of images (B, C, T, W)."""
        return images.permute(2, 0, 1, 3).flatten(2) * self.scale


def rnn(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """A tanh recurrence of ``width`` over the rows of an image, then the classifier.

    With the initialization ``he`` W ~ N(0, gain^2 / width), with ``orthogonal`` it is gain times an
    orthogonal matrix. From step to step back a gradient's squared norm then goes with gain^2 times
    the mean of tanh'^2, as `benchmark.statistics.theoretical_recurrent_growth` has it: on standard
    normal rows it vanishes at gain 1 (norm 0.05 over 28 steps) and explodes at gain 2 (91).
    """
    channels, height, columns = image_shape
    recurrence = Recurrence(height, channels * columns, width, normalization)
    return nn.Sequential(recurrence, nn.Linear(width, classes))
