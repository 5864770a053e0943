"""Dense and convolutional networks: ordinary modules for one trial, normalized after each map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from benchmark.models.initialization import unrectified
from benchmark.models.model import ImageShape
from benchmark.strategies.normalization import ImpossiblePair, Normalization


def dense_network(
    image_shape: ImageShape, widths: Sequence[int], classes: int, normalization: Normalization
) -> nn.Sequential:
    """Fully connected ReLU network on flattened images, with hidden layers of ``widths``."""
    channels, height, width = image_shape
    layers: list[nn.Module] = [nn.Flatten()]
    features = channels * height * width
    for size in widths:
        layers += [*normalization.around(nn.Linear(features, size)), nn.ReLU()]
        features = size
    return nn.Sequential(*layers, nn.Linear(features, classes))


def convolutional_network(
    image_shape: ImageShape,
    blocks: Sequence[tuple[int, bool]],
    kernel: int,
    widths: Sequence[int],
    classes: int,
    normalization: Normalization,
) -> nn.Sequential:
    """Convolutions with same padding, then dense layers.

    Parameters
    ----------
    blocks
        Channels of each convolution, and whether a 2 x 2 maximum follows it.
    widths
        Dense hidden layers between the convolutions and the classifier.

    Raises
    ------
    ImpossiblePair
        If a map is too small for the maximum that should follow it.
    """
    features, height, width = image_shape
    layers: list[nn.Module] = []
    for channels, pool in blocks:
        convolution = nn.Conv2d(features, channels, kernel, padding=kernel // 2)
        layers += normalization.around(convolution, height * width)
        features = channels
        if pool:
            if min(height, width) < 2:
                raise ImpossiblePair(f"a 2 x 2 maximum does not fit on maps of {height} x {width}")
            # before the ReLU, with which it commutes: a quarter of the numbers is left to it
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        layers.append(nn.ReLU())
    tail = dense_network((features, height, width), widths, classes, normalization)
    return nn.Sequential(*layers, *tail)


def mlp(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """784-256-10 on MNIST: the network of the article that this benchmark answers.

    ``width`` is that of its one hidden layer.
    """
    return dense_network(image_shape, [width], classes, normalization)


def mlp_wide(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """Hidden layers of 1000, 500 and 100."""
    return dense_network(image_shape, [1000, 500, 100], classes, normalization)


def mlp_deep(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """``depth`` hidden layers of ``width``."""
    return dense_network(image_shape, [width] * depth, classes, normalization)


def mlp_tanh(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """``depth`` hidden layers of ``width`` with tanh: smooth, so that its Hessian is.

    A ReLU has no second derivative where it bends, and a quadratic says less about it.
    """
    network = dense_network(image_shape, [width] * depth, classes, normalization)
    for i, layer in enumerate(network):
        if isinstance(layer, nn.ReLU):
            network[i] = nn.Tanh()
        elif isinstance(layer, nn.Linear):
            unrectified(layer)
    return network


def cnn(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """3 x 3 convolutions of ``width`` and twice as many channels, each with a pooling."""
    blocks = [(width, True), (2 * width, True)]
    return convolutional_network(image_shape, blocks, 3, [], classes, normalization)


def cnn_2c2d(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """5 x 5 convolutions of 32 and 64 channels, each with a pooling, then a dense layer of 1024.

    Published with the initialization ``truncated_normal``, batches of 128 and 100 epochs.
    """
    blocks = [(32, True), (64, True)]
    return convolutional_network(image_shape, blocks, 5, [1024], classes, normalization)


def cnn_deep(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """``depth`` 3 x 3 convolutions of ``width`` channels, pooled after each of the first two.

    Pooling stops at maps of 4 x 4, so that digits of 8 x 8 are pooled once. All layers after are
    alike. Same padding adds zeros at the edge: at critical gain the squared norms of signal and
    error shrink by ((1 + 2 cos(pi / (s + 1))) / 3)^2 a layer on maps of s x s, to which both
    converge: by 0.76 where s = 4, and 0.90 where s = 7.
    """
    blocks = []
    smallest = min(image_shape[1:])
    for i in range(depth):
        pool = i < 2 and smallest // 2 >= SMALLEST_DEEP_MAP
        smallest = smallest // 2 if pool else smallest
        blocks.append((width, pool))
    return convolutional_network(image_shape, blocks, 3, [], classes, normalization)


SMALLEST_DEEP_MAP = 4
