"""What is measured inside a network: gradients and activations layer by layer.

The norm of a weight's gradient alone does not show explosion in a plain ReLU network, because a
shrinking activation hides a growing error signal. So the error signal itself, dL/dh at a layer's
pre-activation h, is measured too: a zero *probe* is added to h, and the gradient with respect to
the probe is dL/dh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from benchmark.layout import Layout, linear_maps
from benchmark.norms import norm_in_double
from benchmark.strategies.losses import cross_entropy

Arrays = dict[str, np.ndarray]
Tensors = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]

PROBE_NUMBERS = 2**26
"""Most pre-activations of all trials that are measured at once: 256 MiB in float32."""


def layer_kind(layer: nn.Module) -> str:
    """``"conv2d"`` or ``"linear"``, whatever the subclass."""
    return "conv2d" if isinstance(layer, nn.Conv2d) else "linear"


@dataclass(frozen=True)
class Seen:
    """What a pass through K networks showed: tensors by name of a parameter tensor or a layer.

    ``gradients`` (K, ...) of the mean loss by the parameters; the norm of its gradient by a layer's
    pre-activation h in ``errors`` (K,), and the root mean square and the mean of h in ``rms`` and
    ``means`` (K,).
    """

    gradients: Mapping[str, Tensor]
    errors: Mapping[str, Tensor]
    rms: Mapping[str, Tensor]
    means: Mapping[str, Tensor]


Pass = Callable[[Tensor, Tensors, Tensor, Tensor], Seen | None]
"""``(parameters (K, D), buffers (K, ...), images (N, C, H, W), labels (N,)) -> what was seen``, or
None where this pass does not see every layer; it may change the buffers."""


def measure_layers(
    model: nn.Module,
    layout: Layout,
    parameters: Tensor,
    buffers: Tensors,
    images: Tensor,
    labels: Tensor,
    loss: Loss = cross_entropy,
    quicker: Pass | None = None,
) -> Arrays:
    """Norms at every layer for K trials on one batch, in training mode.

    A layer is a linear map or convolution anywhere inside the model; h is its pre-activation,
    where the model first applies it.

    Parameters
    ----------
    parameters, buffers
        (K, D), and (K, ...) each; neither is changed.
    images, labels
        (N, C, H, W) and (N,), the same for every trial.
    loss
        ``(logits (N, classes), labels (N,)) -> (N,)``: of every example.
    quicker
        Taken instead of lifting the model over the trials, where it sees every layer.

    Returns
    -------
    Arrays of shape (K, L): ``gradient_norm`` of all tensors that the layer is made of;
    ``backprop_norm``, norm(dL/dh) over the batch, L being the mean loss; ``activation_rms`` and
    ``activation_mean``, the root mean square and the mean of h; ``parameter_norm``. NaN for a
    layer that is not applied, or not trained.
    """
    shapes = _shapes(model, images, parameters, buffers, layout)
    at_once = max(1, PROBE_NUMBERS // max(1, sum(s.numel() for s in shapes.values())))

    def copies(some: slice) -> Tensors:
        return {name: buffer[some].clone() for name, buffer in buffers.items()}

    pieces = []
    for i in range(0, len(parameters), at_once):
        some = slice(i, i + at_once)
        own = parameters[some]
        seen = quicker(own, copies(some), images, labels) if quicker is not None else None
        if seen is None:
            seen = _lifted_pass(model, layout, own, copies(some), shapes, loss, images, labels)
        pieces.append(_figures(layout, own, seen))
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _figures(layout: Layout, parameters: Tensor, seen: Seen) -> Arrays:
    trials = len(parameters)
    return {
        "gradient_norm": norms_by_layer(layout, seen.gradients),
        "backprop_norm": _columns(layout, seen.errors, trials),
        "activation_rms": _columns(layout, seen.rms, trials),
        "activation_mean": _columns(layout, seen.means, trials),
        "parameter_norm": norms_by_layer(layout, layout.split(parameters)),
    }


def _lifted_pass(
    model: nn.Module,
    layout: Layout,
    parameters: Tensor,
    buffers: Tensors,
    shapes: Mapping[str, torch.Size],
    loss: Loss,
    images: Tensor,
    labels: Tensor,
) -> Seen:
    trials = len(parameters)
    leaves = {k: v.detach().requires_grad_(True) for k, v in layout.split(parameters).items()}
    probes = {k: parameters.new_zeros(trials, *s).requires_grad_(True) for k, s in shapes.items()}

    def forward(
        weights: Tensors, state: Tensors, zeros: Tensors
    ) -> tuple[Tensor, Tensors, Tensors]:
        seen: Tensors = {}
        with _outputs_seen(model, zeros, seen):
            logits = functional_call(model, {**weights, **state}, (images,))
        values = {name: h.detach() for name, h in seen.items()}
        norms = {name: norm_in_double(h) / h.numel() ** 0.5 for name, h in values.items()}
        value = loss(logits, labels).mean()
        return value, norms, {name: h.mean() for name, h in values.items()}

    def alone(*trees: Tensors) -> tuple[Tensor, Tensors, Tensors]:
        value, *figures = forward(*({k: v[0] for k, v in tree.items()} for tree in trees))
        norms, means = ({k: v.unsqueeze(0) for k, v in tree.items()} for tree in figures)
        return value.unsqueeze(0), norms, means

    run = vmap(forward) if trials > 1 else alone
    losses, norms, means = run(leaves, buffers, probes)
    gradients = torch.autograd.grad(
        losses.sum(), [*leaves.values(), *probes.values()], materialize_grads=True
    )
    by_probe = dict(zip(probes, gradients[len(leaves) :], strict=True))
    errors = {name: norm_in_double(e.flatten(1), dim=1) for name, e in by_probe.items()}
    return Seen(dict(zip(leaves, gradients, strict=False)), errors, norms, means)


def measure_module(
    model: nn.Module,
    layout: Layout,
    trained: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    loss: Loss = cross_entropy,
) -> Arrays:
    """`measure_layers` of a module with the numbers that it has: arrays of shape (1, L).

    In plain PyTorch, for a network that cannot be lifted over trials. ``trained`` are the module's
    parameters by name; whatever else the pass changes in it is the caller's to undo.
    """
    seen: Tensors = {}
    probes: Tensors = {}
    with _outputs_seen(model, probes, seen, new=True):
        loss(model(images.clone()), labels).mean().backward()
    gradients = {
        name: (torch.zeros_like(p) if p.grad is None else p.grad).unsqueeze(0)
        for name, p in trained.items()
    }
    values = {name: h.detach() for name, h in seen.items()}
    errors = {name: p.grad for name, p in probes.items()}
    found = Seen(
        gradients=gradients,
        errors={n: norm_in_double(e).unsqueeze(0) for n, e in errors.items() if e is not None},
        rms={n: (norm_in_double(h) / h.numel() ** 0.5).unsqueeze(0) for n, h in values.items()},
        means={n: h.mean().view(1) for n, h in values.items()},
    )
    parameters = layout.join({name: p.detach() for name, p in trained.items()})
    return _figures(layout, parameters.unsqueeze(0), found)


_SHAPES: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], dict[str, torch.Size]]]
_SHAPES = WeakKeyDictionary()


def _shapes(
    model: nn.Module, images: Tensor, parameters: Tensor, buffers: Tensors, layout: Layout
) -> dict[str, torch.Size]:
    """Shapes of the pre-activations of those layers that the model applies, found out once."""
    known = _SHAPES.setdefault(model, {})
    if (size := tuple(images.shape)) not in known:
        one = layout.split(parameters[0]) | {k: v[0].clone() for k, v in buffers.items()}
        seen: Tensors = {}
        with torch.no_grad(), _outputs_seen(model, {}, seen):
            functional_call(model, one, (images,))
        known[size] = {name: h.shape for name, h in seen.items()}
    return known[size]


@contextmanager
def _outputs_seen(
    model: nn.Module, probes: Tensors, seen: Tensors, new: bool = False
) -> Iterator[None]:
    """Within, what layers give is put into ``seen``, and probes, new ones or those, are added."""

    def hook(name: str) -> Callable[[nn.Module, object, Tensor], Tensor]:
        def add_probe(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            if name in seen:
                return output
            seen[name] = output
            if new:
                probes[name] = torch.zeros_like(output).requires_grad_(True)
            return output + probes[name] if name in probes else output

        return add_probe

    handles = [m.register_forward_hook(hook(name)) for name, m in linear_maps(model).items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def norms_by_layer(layout: Layout, tensors: Mapping[str, Tensor]) -> np.ndarray:
    """Norm of all of a layer's tensors together, (K, L), from tensors (K, ...) by name."""
    trials = len(next(iter(tensors.values())))
    norms = {
        layer: _norm_of_all([tensors[name] for name in names])
        for layer, names in layout.layers.items()
        if names
    }
    return _columns(layout, norms, trials)


def _norm_of_all(tensors: Sequence[Tensor]) -> Tensor:
    # one by one: to join them takes as long as their norm
    each = [norm_in_double(tensor.reshape(len(tensor), -1), dim=1) for tensor in tensors]
    return each[0] if len(each) == 1 else torch.linalg.vector_norm(torch.stack(each), dim=0)


def _columns(layout: Layout, values: Mapping[str, Tensor], trials: int) -> np.ndarray:
    """Values (K,) by layer as (K, L), NaN where there is none."""
    some = next(iter(values.values()), torch.empty(0))
    absent = some.new_full((trials,), torch.nan)
    columns = [values.get(layer, absent).detach() for layer in layout.layers]
    table = torch.stack(columns, dim=1) if columns else absent.view(trials, 1)[:, :0]
    return table.cpu().double().numpy()


STEP_COLUMNS = (
    *("train_loss", "train_loss_max", "gradient_norm_median", "gradient_norm_p90"),
    *("gradient_norm_max", "clipped_fraction"),
)


def summarize_steps(losses: np.ndarray, norms: np.ndarray, clipped: np.ndarray) -> dict[str, float]:
    """One row of history from the steps since the last: arrays of shape (steps,).

    NaN is left out of quantiles and maxima unless there is nothing else; infinity is not.
    """
    if not len(losses):
        return dict.fromkeys(STEP_COLUMNS, float("nan"))
    # NaN is sorted to the end
    ordered = np.sort(norms)
    if np.isnan(ordered[-1]):
        ordered = ordered[~np.isnan(ordered)]
    # as `mean` has them, whose checks of its arguments take longer than a segment's sum
    with np.errstate(invalid="ignore"):
        total = float(np.add.reduce(losses))
    return {
        "train_loss": total / len(losses),
        # the one maximum that passes over NaN
        "train_loss_max": float(np.fmax.reduce(losses)),
        "gradient_norm_median": _quantile(ordered, 0.5),
        "gradient_norm_p90": _quantile(ordered, 0.9),
        "gradient_norm_max": _quantile(ordered, 1.0),
        "clipped_fraction": np.count_nonzero(clipped) / len(clipped),
    }


def _quantile(ordered: np.ndarray, q: float) -> float:
    """The smallest value that at least a share ``q`` of them do not exceed; NaN of none."""
    # not interpolated: between a number and infinity that would be NaN. The same as np.quantile's
    # "inverted_cdf", whose 60 us a call are felt over many trials and checkpoints
    rank = math.ceil(len(ordered) * q)
    return float(ordered[max(rank, 1) - 1]) if len(ordered) else float("nan")
