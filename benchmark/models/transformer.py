"""Small transformers over the rows of an image, whose attention logits may grow.

Tokens are so many examples: hidden numbers lie as (B T, width), the tokens of an image one after
the other, so that linear maps and normalizations are those of dense networks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmark.models.initialization import unrectified
from benchmark.models.model import ImageShape
from benchmark.models.residual import Residual
from benchmark.strategies.normalization import ImpossiblePair, Normalization

HEADS = 4
LARGEST_PERIOD = 10_000
"""Longest wave of the code of positions, in 2 pi tokens."""
MLP_RATIO = 2


class Rows(nn.Module):
    """Images (B, C, T, W) as tokens (B T, C W), one a row."""

    def forward(self, images: Tensor) -> Tensor:
        """Rows, image after image."""
        return images.transpose(1, 2).flatten(2).flatten(0, 1)


class Positions(nn.Module):
    """Tokens (B T, width) plus a sine and cosine code of where each stands (2017, 1706.03762)."""

    code: Tensor

    def __init__(self, tokens: int, width: int):
        super().__init__()
        place = torch.arange(tokens).unsqueeze(1)
        angle = place * LARGEST_PERIOD ** (-torch.arange(0, width, 2) / width)
        code = torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
        self.register_buffer("code", code)

    def forward(self, x: Tensor) -> Tensor:
        """Add the code."""
        return (x.unflatten(0, (-1, len(self.code))) + self.code).flatten(0, 1)


class TokenMean(nn.Module):
    """The mean (B, width) of each image's tokens (B T, width)."""

    def __init__(self, tokens: int):
        super().__init__()
        self.tokens = tokens

    def forward(self, x: Tensor) -> Tensor:
        """Average."""
        return x.unflatten(0, (-1, self.tokens)).mean(dim=1)


class Attention(nn.Module):
    """Each token looks at all tokens of its image, with 4 heads (2017, 1706.03762).

    softmax(Q K^T / sqrt(width / 4)) V by head, then a linear map. What `layers.parquet` has of
    ``query`` and ``key`` bounds the logits, whose growth is a known instability (2023,
    2309.14322).

    Parameters
    ----------
    normalized
        Whether each head's queries and keys go through layer normalization first, which bounds
        the logits by sqrt(width / 4) times the scales it learns (2023, 2302.05442).
    out
        The last linear map.
    """

    def __init__(
        self,
        tokens: int,
        width: int,
        normalization: Normalization,
        out: nn.Module,
        normalized: bool,
    ):
        super().__init__()
        self.tokens = tokens
        self.query, self.key, self.value = (
            unrectified(normalization.without_layer(nn.Linear(width, width))) for _ in range(3)
        )
        self.out = out
        size = width // HEADS
        self.query_norm, self.key_norm = (
            nn.LayerNorm(size) if normalized else nn.Identity() for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """New tokens (B T, width)."""
        query = self.query_norm(self.split(self.query(x)))
        key = self.key_norm(self.split(self.key(x)))
        out: Tensor = self.out(self.join(attend(query, key, self.split(self.value(x)))))
        return out

    def split(self, x: Tensor) -> Tensor:
        """(N T, width) -> (N, heads, T, width / heads)."""
        return x.view(-1, self.tokens, HEADS, x.shape[1] // HEADS).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        """Undo of `split`."""
        return x.transpose(1, 2).flatten(2).flatten(0, 1)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V, of (..., T, d) each."""
    # and not torch's own, whose fast form on a CPU cannot be differentiated twice
    logits = (query / math.sqrt(query.shape[-1])) @ key.mT
    return logits.softmax(dim=-1) @ value


def transformer(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """``depth`` blocks of ``width`` over the rows of an image, their mean, and the classifier.

    A block is x + attention(norm(x)), then x + MLP(norm(x)) with a hidden ReLU layer of twice the
    width (pre-normalization: Xiong et al. 2020, 2002.04745); the last norm is before the mean. A
    norm is the trial's normalization of each token by itself: ``layer`` is the usual one, ``none``
    leaves it out, and an MLP then multiplies the mean square of a token by 1 + gain^4 at
    initialization, where it otherwise adds gain^4.
    """
    return _transformer(image_shape, classes, depth, width, normalization, normalized=False)


def transformer_qk(
    image_shape: ImageShape, classes: int, depth: int, width: int, normalization: Normalization
) -> nn.Module:
    """`transformer` with queries and keys normalized, whatever the trial's normalization.

    A model and not a normalization of the registry, because it goes together with each of them.
    """
    return _transformer(image_shape, classes, depth, width, normalization, normalized=True)


def _transformer(
    image_shape: ImageShape,
    classes: int,
    depth: int,
    width: int,
    normalization: Normalization,
    normalized: bool,
) -> nn.Module:
    if width % HEADS:
        raise ImpossiblePair(
            f"attention of {HEADS} heads needs a width divisible by {HEADS}, but got {width}"
        )
    normalization.refuse_batches("a transformer's tokens are normalized each by itself")
    channels, tokens, columns = image_shape
    embedding, norm = normalization.around(nn.Linear(channels * columns, width))
    layers: list[nn.Module] = [Rows(), unrectified(embedding), Positions(tokens, width)]
    for _ in range(depth):
        out, between = normalization.around(nn.Linear(width, width))
        attention = Attention(tokens, width, normalization, unrectified(out), normalized)
        layers.append(Residual(nn.Sequential(norm, attention)))
        up = normalization.without_layer(nn.Linear(width, MLP_RATIO * width))
        down, after = normalization.around(nn.Linear(MLP_RATIO * width, width))
        layers.append(Residual(nn.Sequential(between, up, nn.ReLU(), unrectified(down))))
        norm = after
    return nn.Sequential(*layers, norm, TokenMean(tokens), nn.Linear(width, classes))
