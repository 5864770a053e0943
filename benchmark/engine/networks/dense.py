"""Forward and backward passes of K dense networks by hand, into buffers that are kept.

A chain of linear maps and activations needs no autograd: its gradients are three matrix products a
layer, and what autograd does besides (its graph, fresh memory for every result, the input's
gradient, joining the tensors) is a quarter of a step of eight MLPs of 784-256-10 and half of one
of sixteen of 64-256-10. Normalizations in such a chain are differentiated by autograd, each by
itself. Any other network, device or precision goes through autograd as a whole.

Activations lie as (K, features, B): the weights' gradients then come in the layout of the weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from benchmark.engine.networks import batched
from benchmark.engine.networks.plain_chain import PlainChain
from benchmark.engine.networks.products import multiply
from benchmark.layout import Layout
from benchmark.strategies.losses import Loss, cross_entropy
from benchmark.strategies.normalizing_modules import (
    GhostBatchNorm,
    RMSNorm,
    StandardizedLinear,
    WeightNormLinear,
)
from benchmark.strategies.precision import Precision

Tensors = Mapping[str, Tensor]

KEPT_SHAPES = 4
"""Most shapes of one result whose memory is kept: a step, a sample of gradients, evaluations."""
NORMALIZING = (
    *(nn.BatchNorm1d, nn.LayerNorm, nn.GroupNorm, GhostBatchNorm, RMSNorm),
    *(WeightNormLinear, StandardizedLinear),
)
"""What a chain may hold besides linear maps and activations, differentiated by autograd."""


class Kept:
    """Memory of one result, used again whenever a result of the same shape is asked for."""

    def __init__(self) -> None:
        self._tensors: dict[tuple[int, ...], Tensor] = {}

    def of(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Uninitialized memory of this shape, of the type of ``like``."""
        if (found := self._tensors.get(shape)) is None:
            if len(self._tensors) == KEPT_SHAPES:
                del self._tensors[next(iter(self._tensors))]
            found = self._tensors[shape] = like.new_empty(shape)
        return found


class Layer(ABC):
    """One layer of K networks; ``own`` holds its tensors (K, ...) by their names in the module.

    `forward` remembers what `backward` needs, which must follow it.
    """

    @abstractmethod
    def forward(self, own: Tensors, x: Tensor, training: bool) -> Tensor:
        """Outputs (K, features, B) from inputs (K, features, B)."""

    @abstractmethod
    def backward(self, own: Tensors, error: Tensor, gradients: Tensors, further: bool) -> Tensor:
        """From dL/d outputs, which it may overwrite, to dL/d inputs where ``further``.

        Writes dL/d ``own`` into ``gradients``.
        """


class Linear(Layer):
    """W x + b."""

    def __init__(self) -> None:
        self._outputs, self._errors = Kept(), Kept()

    def forward(self, own: Tensors, x: Tensor, training: bool) -> Tensor:
        """A product a trial."""
        self._x = x
        weight = own["weight"]
        out = self._outputs.of((*weight.shape[:2], x.shape[2]), weight)
        return multiply(weight, x, out, own.get("bias"))

    def backward(self, own: Tensors, error: Tensor, gradients: Tensors, further: bool) -> Tensor:
        """dL/dW = E x^T, dL/db = E 1, dL/dx = W^T E, with E = dL/d(W x + b)."""
        multiply(error, self._x.mT, gradients["weight"])
        if "bias" in gradients:
            torch.sum(error, dim=2, out=gradients["bias"])
        if not further:
            return error
        return multiply(own["weight"].mT, error, self._errors.of(self._x.shape, error))


class ReLU(Layer):
    """max(0, x); the gradient is 0 at 0, as torch has it."""

    def __init__(self, in_place: bool) -> None:
        self._in_place = in_place

    def forward(self, own: Tensors, x: Tensor, training: bool) -> Tensor:
        """Over its input, unless another layer still needs that."""
        self._y = x.relu_() if self._in_place else x.relu()
        return self._y

    def backward(self, own: Tensors, error: Tensor, gradients: Tensors, further: bool) -> Tensor:
        """E where x > 0 or x is NaN."""
        passed: Tensor = torch.ops.aten.threshold_backward.grad_input(
            error, self._y, 0, grad_input=error
        )
        return passed


class BatchNorm(Layer):
    """Batch normalization: the features of all trials are so many features of one batch."""

    def __init__(self, module: nn.BatchNorm1d) -> None:
        self._momentum, self._eps = module.momentum or 0.0, module.eps

    def forward(self, own: Tensors, x: Tensor, training: bool) -> Tensor:
        """By the batch's statistics, which the running ones follow, or by the running ones."""
        if training and "num_batches_tracked" in own:
            own["num_batches_tracked"].add_(1)
        self._x = x.flatten(0, 1).unsqueeze(0)
        self._weight = own["weight"].flatten()
        # views of contiguous buffers, so that they are updated
        self._running = own["running_mean"].view(-1), own["running_var"].view(-1)
        normalized, *self._statistics = torch.native_batch_norm(
            self._x,
            self._weight,
            own["bias"].flatten(),
            *self._running,
            training,
            self._momentum,
            self._eps,
        )
        return normalized.view(x.shape)

    def backward(self, own: Tensors, error: Tensor, gradients: Tensors, further: bool) -> Tensor:
        """Through the batch's statistics too."""
        found, weight, bias = torch.ops.aten.native_batch_norm_backward(
            error.flatten(0, 1).unsqueeze(0),
            self._x,
            self._weight,
            *self._running,
            *self._statistics,
            True,
            self._eps,
            [further, True, True],
        )
        for name, gradient in (("weight", weight), ("bias", bias)):
            gradients[name].copy_(gradient.view(gradients[name].shape))
        return found.view(error.shape) if further else error


class Differentiated(Layer):
    """Any other layer, by its batched form and autograd."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._trained = tuple(name for name, _ in module.named_parameters())

    def forward(self, own: Tensors, x: Tensor, training: bool) -> Tensor:
        """As `batched.forward` has it, whose examples come before the features."""
        if not training:
            return batched.forward(self._module, own, x.mT).mT
        with torch.enable_grad():
            self._leaves = {name: own[name].detach().requires_grad_() for name in self._trained}
            self._x = x.detach().requires_grad_()
            self._y = batched.forward(self._module, {**own, **self._leaves}, self._x.mT).mT
        # what follows may compute in place, and this output is autograd's
        return self._y.detach().clone(memory_format=torch.contiguous_format)

    def backward(self, own: Tensors, error: Tensor, gradients: Tensors, further: bool) -> Tensor:
        """A small backward pass, which frees its graph."""
        asked = [*self._leaves.values(), *([self._x] if further else [])]
        found = torch.autograd.grad(self._y, asked, error, materialize_grads=True)
        del self._x, self._y
        for name, gradient in zip(self._leaves, found, strict=False):
            gradients[name].copy_(gradient)
        return found[-1].contiguous() if further else error


def _layers(model: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in model._modules.items():
        if type(child) is nn.Sequential and not _is_hooked(child):
            yield from _layers(child, f"{prefix}{name}.")
        elif child is not None and type(child) is not nn.Identity:
            yield f"{prefix}{name}.", child


def _is_hooked(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return any(hooks) or bool(module._backward_hooks or module._backward_pre_hooks)


class DenseChain:
    """The loss of K dense networks and its gradient, or their logits.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> from benchmark.strategies.losses import LOSSES
    >>> from benchmark.strategies.precision import PRECISIONS
    >>> arguments = LOSSES["cross_entropy"], PRECISIONS["float32"], torch.device("cpu")
    >>> chain = DenseChain.of(model, Layout.of(model), *arguments)
    >>> chain.logits(torch.zeros(2, 15), {}, torch.zeros(2, 8, 1, 2, 2)).shape
    torch.Size([2, 8, 3])
    """

    by_kernels = True
    """Whether a chain of nothing but linear maps and ReLUs is left to compiled kernels."""

    def __init__(self, layers: list[tuple[str, nn.Module]], layout: Layout, loss: Loss):
        self.plain: PlainChain | None = None
        self._layout = layout
        self._loss = loss
        self._probabilities = Kept()
        self._layers: list[Layer] = []
        self._names: list[dict[str, str]] = []
        for prefix, module in layers:
            kept = bool(self._layers) and not isinstance(self._layers[-1], ReLU)
            self._layers.append(_by_hand(module, in_place=kept))
            own = [name for kind in _KINDS for name, _ in kind(module)]
            self._names.append({name: f"{prefix}{name}" for name in own})
        # before the first layer that is trained nothing has a gradient
        trained = [any(n in layout.names for n in own.values()) for own in self._names]
        self._first = trained.index(True)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        layout: Layout,
        loss: Loss,
        precision: Precision,
        device: torch.device,
    ) -> DenseChain | None:
        """The chain that ``model`` is, or None where autograd shall take it as it is.

        That is any network but a plain `nn.Sequential` of a flattening and then linear maps,
        activations and normalizations; one whose parameters are frozen, or shared by two layers;
        one with hooks; any but a CPU; and arithmetic in half precision, or with a scaled loss.
        """
        if type(model) is not nn.Sequential or any(_is_hooked(m) for m in model.modules()):
            return None
        if device.type != "cpu" or precision.autocast is not None:
            return None
        if precision.loss_scaling is not None:
            return None
        named = [name for name, _ in model.named_parameters(remove_duplicate=False)]
        if set(named) != set(layout.names) or not batched.is_chain(model):
            return None
        (_, first), *layers = list(_layers(model)) or [("", model)]
        if type(first) is not nn.Flatten or (first.start_dim, first.end_dim) != (1, -1):
            return None
        allowed = {nn.Linear, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, *NORMALIZING}
        if not all(type(module) in allowed for _, module in layers):
            return None
        if not named:
            return None
        chain = cls(layers, layout, loss)
        if cls.by_kernels:
            chain.plain = PlainChain.of(layers, layout, loss, precision.dtype)
        return chain

    def _tensors(self, parameters: Tensor, buffers: Tensors) -> list[Tensors]:
        whole = {**self._layout.split(parameters), **buffers}
        return [{name: whole[full] for name, full in own.items()} for own in self._names]

    def _forward(self, tensors: list[Tensors], images: Tensor, training: bool) -> Tensor:
        x = images.flatten(2).mT
        for layer, own in zip(self._layers, tensors, strict=True):
            x = layer.forward(own, x, training)
        return x

    @torch.no_grad()
    def logits(self, parameters: Tensor, buffers: Tensors, images: Tensor) -> Tensor:
        """Logits (K, B, classes) of images (K, B, C, H, W), in evaluation mode.

        They may lie in memory that the next pass overwrites.
        """
        if self.plain is not None:
            return self.plain.logits(parameters, images)
        return self._forward(self._tensors(parameters, buffers), images, training=False).mT

    @torch.no_grad()
    def gradient(
        self, parameters: Tensor, buffers: Tensors, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean loss (K,) and its gradient (K, D) on each trial's own batch, in training mode.

        Parameters
        ----------
        parameters, buffers
            (K, D), and (K, ...) by name; running statistics are updated in place.
        images, labels
            (K, B, C, H, W) and (K, B).
        """
        if self.plain is not None and self.plain.trained:
            return self.plain.gradient(parameters, images, labels)
        tensors = self._tensors(parameters, buffers)
        logits = self._forward(tensors, images, training=True)
        losses, error = self._loss_and_error(logits, labels)
        # fresh: a strategy may keep the gradient that it is given
        gradient = torch.empty_like(parameters)
        whole = self._layout.split(gradient)
        for i in range(len(self._layers) - 1, self._first - 1, -1):
            parts = {n: whole[full] for n, full in self._names[i].items() if full in whole}
            layer = self._layers[i]
            error = layer.backward(tensors[i], error, parts, further=i > self._first)
        return losses, gradient

    def _loss_and_error(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss (K,), and dL/d logits (K, classes, B)."""
        if self._loss.value is not cross_entropy:
            with torch.enable_grad():
                leaf = logits.mT.detach().requires_grad_()
                each = self._loss.value(leaf.flatten(0, 1), labels.flatten())
                losses = each.view(labels.shape).mean(dim=1)
                (error,) = torch.autograd.grad(losses.sum(), leaf)
            return losses.detach(), error.mT.contiguous()
        # softmax minus the label's unit vector, over the number of examples
        error = self._probabilities.of(logits.shape, logits)
        torch.log_softmax(logits, 1, out=error)
        where = labels.unsqueeze(1)
        losses = error.gather(1, where).squeeze(1).mean(dim=1).neg_()
        error.exp_()
        error.scatter_add_(1, where, error.new_full((), -1.0).expand(where.shape))
        return losses, error.div_(labels.shape[1])


_KINDS: tuple[Callable[[nn.Module], Iterator[tuple[str, Tensor]]], ...] = (
    nn.Module.named_parameters,
    nn.Module.named_buffers,
)


def _by_hand(module: nn.Module, in_place: bool) -> Layer:
    if type(module) is nn.Linear:
        return Linear()
    if type(module) is nn.BatchNorm1d and batched.is_usual_batch_norm(module):
        return BatchNorm(module)
    return ReLU(in_place) if type(module) is nn.ReLU else Differentiated(module)
