"""Chains of linear maps and ReLUs, and nothing else, by compiled kernels on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.kernels import kernels
from benchmark.layout import Layout
from benchmark.strategies.losses import Loss, cross_entropy

Named = Sequence[tuple[str, nn.Module]]


class PlainChain:
    """The passes of K networks that kernels of `benchmark.engine.kernels.dense_kernels` carry out.

    Each does what `DenseChain`'s method of the same name does, equal within rounding; what stands
    beside a network changes no bit of it.
    """

    def __init__(self, chain: np.ndarray, size: int, dtype: torch.dtype, trained: bool):
        self.chain = chain
        self.trained = trained
        """Whether its loss is the cross entropy, of which the kernels have the gradient."""
        self._size, self._dtype = size, dtype

    @classmethod
    def of(cls, layers: Named, layout: Layout, loss: Loss, dtype: torch.dtype) -> PlainChain | None:
        """The chain that ``layers`` are, or None where there are other layers, or no kernels.

        Parameters
        ----------
        layers
            Modules by the prefix of their parameters' names, after the flattening.
        """
        if kernels() == "torch" or dtype not in (torch.float32, torch.float64):
            return None
        places = dict(zip(layout.names, np.cumsum([0, *layout.sizes]).tolist(), strict=False))
        from benchmark.engine.kernels.dense_kernels import whole_vectors

        rows: list[list[int]] = []
        begin = 0
        for i, (prefix, module) in enumerate(layers):
            if type(module) is nn.Linear:
                bias = places.get(f"{prefix}bias", -1)
                weight = places[f"{prefix}weight"]
                rows.append([module.in_features, module.out_features, weight, bias, 0, begin])
                begin += whole_vectors(module.out_features, dtype.itemsize)
            elif type(module) is nn.ReLU and rows and not rows[-1][4] and i < len(layers) - 1:
                rows[-1][4] = 1
            else:
                return None
        if not rows or min(min(row[:2]) for row in rows) < 1:
            return None
        return cls(np.array(rows), layout.size, dtype, loss.value is cross_entropy)

    def gradient(self, parameters: Tensor, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss (K,) and its gradient (K, D)."""
        from benchmark.engine.kernels.dense_kernels import gradients

        losses, gradient = parameters.new_empty(len(parameters)), torch.empty_like(parameters)
        gradients(
            *_arrays(self._flat(images), labels, parameters),
            self.chain,
            *_arrays(losses, gradient),
        )
        return losses, gradient

    def scatter(self, parameters: Tensor, images: Tensor, labels: Tensor, pieces: int) -> Tensor:
        """What `Program.sample_gradients` measures (3, K) on so many pieces of each batch."""
        from benchmark.engine.kernels.dense_kernels import scatter

        found = parameters.new_empty(3, len(parameters), dtype=torch.float64)
        batch = _arrays(self._flat(images), labels, parameters)
        scatter(*batch, self.chain, pieces, *_arrays(found))
        return found

    def logits(self, parameters: Tensor, images: Tensor) -> Tensor:
        """Logits (K, B, classes)."""
        from benchmark.engine.kernels.dense_kernels import logits

        # one batch that is seen by all lies in memory once
        given = images[:1] if images.stride(0) == 0 else images
        out = parameters.new_empty(len(parameters), images.shape[1], int(self.chain[-1, 1]))
        logits(*_arrays(self._flat(given), parameters), self.chain, *_arrays(out))
        return out

    def evaluate(
        self, parameters: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """Mean loss and accuracy (K,) on examples (N, C, H, W), (N,); None with another loss."""
        if not self.trained:
            return None
        from benchmark.engine.kernels.dense_kernels import evaluate

        losses = parameters.new_empty(len(parameters), dtype=torch.float64)
        right = labels.new_empty(len(parameters))
        (flat,) = self._flat(images.unsqueeze(0))
        evaluate(*_arrays(flat, labels, parameters), self.chain, *_arrays(losses, right))
        found = (losses / len(labels)).to(self._dtype), right.to(self._dtype) / len(labels)
        return found

    def _flat(self, images: Tensor) -> Tensor:
        from benchmark.engine.kernels.dense_kernels import ready

        ready(self._dtype == torch.float64)
        return images.flatten(2).to(self._dtype)


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
