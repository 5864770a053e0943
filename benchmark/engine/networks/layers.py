"""What every layer of K networks does, seen in the passes by which the engine trains them.

`benchmark.measurements` lifts the whole network over the trials, which any network allows, and
which takes up to twice as long as the passes here (8 MLPs of 784-256-10 and 128 examples: 17
and 8 ms; a small CNN: 24 and 15).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmark.engine.networks import batched
from benchmark.engine.networks.dense import DenseChain, Layer, Tensors
from benchmark.layout import Layout, linear_maps
from benchmark.measurements import Seen
from benchmark.norms import norm_in_double
from benchmark.strategies.losses import Loss


class WatchedChain(DenseChain):
    """A chain of dense layers that tells what its linear maps did."""

    by_kernels = False

    def __init__(self, layers: list[tuple[str, nn.Module]], layout: Layout, loss: Loss):
        super().__init__(layers, layout, loss)
        self._watched: dict[str, _Watched] = {}
        for i, (prefix, module) in enumerate(layers):
            if isinstance(module, nn.Linear):
                watched = _Watched(self._layers[i])
                self._layers[i] = self._watched[prefix.removesuffix(".")] = watched

    def see(
        self,
        parameters: Tensor,
        buffers: dict[str, Tensor],
        images: Tensor,
        labels: Tensor,
    ) -> Seen:
        """A `benchmark.measurements.Pass`."""
        trials = len(parameters)
        shared = images.expand(trials, *images.shape), labels.expand(trials, *labels.shape)
        _, gradient = self.gradient(parameters, buffers, *shared)
        return Seen(
            gradients=self._layout.split(gradient),
            errors={name: layer.error for name, layer in self._watched.items()},
            rms={name: layer.rms for name, layer in self._watched.items()},
            means={name: layer.mean for name, layer in self._watched.items()},
        )


class _Watched(Layer):
    """A linear map whose outputs (K, features, B), and the loss's gradient by them, are measured.

    Both are before what follows, or this layer's own backward pass, may overwrite them.
    """

    rms: Tensor
    mean: Tensor
    error: Tensor

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def forward(self, own: Tensors, x: Tensor, training: bool) -> Tensor:
        h = self._layer.forward(own, x, training)
        self.rms, self.mean = _size(h)
        return h

    def backward(self, own: Tensors, error: Tensor, gradients: Tensors, further: bool) -> Tensor:
        self.error = norm_in_double(error, dim=(1, 2))
        return self._layer.backward(own, error, gradients, further)


def _size(h: Tensor) -> tuple[Tensor, Tensor]:
    """Root mean square and mean (K,) of pre-activations (K, ...)."""
    own = tuple(range(1, h.dim()))
    return norm_in_double(h, dim=own) / h[0].numel() ** 0.5, h.mean(dim=own)


class LayerByLayer:
    """K networks that go forward layer by layer, their linear maps watched, and back by autograd.

    Parameters
    ----------
    loss
        ``(logits (N, classes), labels (N,)) -> (N,)``: of every example.
    """

    def __init__(self, model: nn.Module, layout: Layout, loss: Callable[[Tensor, Tensor], Tensor]):
        self._model, self._layout, self._loss = model, layout, loss
        self._names: dict[nn.Module, str] = {m: name for name, m in linear_maps(model).items()}
        self._sees_all = True

    def see(
        self,
        parameters: Tensor,
        buffers: dict[str, Tensor],
        images: Tensor,
        labels: Tensor,
    ) -> Seen | None:
        """A `benchmark.measurements.Pass`: None where a linear map lies within another module."""
        if not self._sees_all:
            return None
        trials = len(parameters)
        leaves = {
            name: tensor.detach().requires_grad_()
            for name, tensor in self._layout.split(parameters).items()
        }
        outputs: dict[str, tuple[Tensor, int]] = {}
        rms: dict[str, Tensor] = {}
        means: dict[str, Tensor] = {}

        def look(module: nn.Module, h: Tensor) -> None:
            name = self._names.get(module)
            if name is not None and name not in outputs:
                outputs[name] = h, h._version
                rms[name], means[name] = _size(h.detach())

        with batched.watched(look):
            inputs = images.expand(trials, *images.shape)
            logits = batched.forward(self._model, {**leaves, **buffers}, inputs)
        # where one was overwritten, the gradient would be that of what stands there now
        whole = all(h._version == version for h, version in outputs.values())
        if not whole or outputs.keys() != set(self._names.values()):
            self._sees_all = False
            return None
        each = self._loss(logits.flatten(0, 1), labels.repeat(trials)).view(trials, -1)
        asked = [*leaves.values(), *(h for h, _ in outputs.values())]
        found = torch.autograd.grad(each.mean(dim=1).sum(), asked, materialize_grads=True)
        errors = dict(zip(outputs, found[len(leaves) :], strict=True))
        return Seen(
            gradients=dict(zip(leaves, found, strict=False)),
            errors={n: norm_in_double(e, dim=tuple(range(1, e.dim()))) for n, e in errors.items()},
            rms=rms,
            means=means,
        )
