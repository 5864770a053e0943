"""Residual networks, which normalization or adaptive clipping keeps from exploding."""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.models.initialization import unrectified
from benchmark.models.model import ImageShape
from benchmark.strategies.normalization import Normalization

STAGES = 3
LARGEST_MAP = 15
"""Side of the largest images that the first convolution leaves as large as they are."""


class Residual(nn.Module):
    """A branch plus a shortcut: branch(x) + x, or branch(x) + shortcut(x).

    >>> import torch
    >>> Residual(nn.ReLU())(torch.tensor([-1.0, 2.0]))
    tensor([-1.,  4.])
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None):
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Add both."""
        out: Tensor = self.branch(x) + self.shortcut(x)
        return out


def resnet(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """``depth`` blocks in three stages of ``width``, 2 ``width`` and 4 ``width`` channels.

    A block is x + f(x), f being normalization, ReLU and 3 x 3 convolution, twice (He et al. 2016);
    the first one of a later stage halves the map, and has a convolution of 1 x 1 as its shortcut.
    So has the first convolution stride 2 on images of 16 pixels and more. Then follow
    normalization, ReLU, the mean over the map and the classifier.

    Without normalization each block multiplies the mean square of x at initialization by
    1 + gain^4, by gain^2 + gain^4 where its shortcut is a convolution (but for what the zeros at
    a map's edge take): it doubles at critical gain, and so do squared gradients on the way back.
    Nothing is scaled down to make up for that (De, Smith 2020, 2002.10444). With batch
    normalization the branch has the mean square gain^2, whatever comes in.
    """
    features, *sides = image_shape
    stride = 2 if min(sides) > LARGEST_MAP else 1
    sides = _after(sides, stride)
    stem, norm = _convolution(features, width, stride, sides, normalization)
    layers: list[nn.Module] = [stem]
    channels = width
    for stage in range(STAGES):
        for block in range(depth // STAGES + (stage < depth % STAGES)):
            wider, stride = width * 2**stage, 2 if stage and not block else 1
            sides = _after(sides, stride)
            shortcut = None
            if wider != channels:
                projection = nn.Conv2d(channels, wider, 1, stride)
                shortcut = unrectified(normalization.without_layer(projection))
            first, between = _convolution(channels, wider, stride, sides, normalization)
            second, after = _convolution(wider, wider, 1, sides, normalization)
            branch = nn.Sequential(norm, nn.ReLU(), first, between, nn.ReLU(), second)
            layers.append(Residual(branch, shortcut))
            norm, channels = after, wider
    tail = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    return nn.Sequential(*layers, norm, *tail)


def _after(sides: list[int], stride: int) -> list[int]:
    return [-(-side // stride) for side in sides]


def _convolution(
    channels: int, wider: int, stride: int, sides: list[int], normalization: Normalization
) -> tuple[nn.Module, nn.Module]:
    """A 3 x 3 convolution, and the normalization of what it gives, or of a sum with that."""
    height, width = sides
    return normalization.around(nn.Conv2d(channels, wider, 3, stride, padding=1), height * width)
