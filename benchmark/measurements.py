"""What is measured inside a network: gradients and activations layer by layer.

The norm of a weight's gradient alone does not show explosion in a plain ReLU network, because a
shrinking activation hides a growing error signal. So the error signal itself, dL/dh at a layer's
pre-activation h, is measured too: a zero *probe* is added to h, and the gradient with respect to
the probe is dL/dh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from benchmark.layout import Layout

Arrays = dict[str, np.ndarray]


def linear_maps(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that are measured: every linear map and convolution, from the input on."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }


@contextmanager
def _outputs_seen(model: nn.Module, probes: dict[str, Tensor], seen: Arrays) -> Iterator[None]:
    def hook(name: str):  # type: ignore[no-untyped-def]
        def add_probe(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            seen[name] = output  # type: ignore[assignment]
            return output + probes[name] if name in probes else output

        return add_probe

    handles = [m.register_forward_hook(hook(name)) for name, m in linear_maps(model).items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def measure_layers(
    model: nn.Module,
    layout: Layout,
    parameters: Tensor,
    buffers: dict[str, Tensor],
    images: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Arrays:
    """Norms at every layer for K trials on one batch, in training mode.

    Parameters
    ----------
    parameters, buffers
        (K, D), and (K, ...) each; neither is changed.
    images, labels
        (N, C, H, W) and (N,), the same for every trial.

    Returns
    -------
    Arrays of shape (K, L): ``gradient_norm`` of the layer's weight and bias together;
    ``backprop_norm``, norm(dL/dh) over the batch, L being the mean loss; ``activation_rms`` and
    ``activation_mean``, the root mean square and the mean of h; ``parameter_norm``.
    """
    trials = parameters.shape[0]
    names = list(linear_maps(model))
    leaves = layout.split(parameters.detach().clone())
    for leaf in leaves.values():
        leaf.requires_grad_(True)
    shapes: Arrays = {}
    # a dry run says what shapes the pre-activations have
    with torch.no_grad(), _outputs_seen(model, {}, shapes):
        first = {k: v[0] for k, v in leaves.items()} | {k: v[0].clone() for k, v in buffers.items()}
        functional_call(model, first, (images,))
    probes = {
        name: torch.zeros(
            (trials, *shapes[name].shape),
            dtype=parameters.dtype,
            device=parameters.device,
            requires_grad=True,
        )
        for name in names
    }

    def forward(
        weights: dict[str, Tensor], state: dict[str, Tensor], zeros: dict[str, Tensor]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        seen: dict[str, Tensor] = {}
        with _outputs_seen(model, zeros, seen):  # type: ignore[arg-type]
            logits = functional_call(model, {**weights, **state}, (images,))
        rms = [seen[name].square().mean().sqrt() for name in names]
        return loss(logits, labels), rms, [seen[name].mean() for name in names]

    running = {k: v.clone() for k, v in buffers.items()}
    losses, rms, means = vmap(forward)(leaves, running, probes)
    wanted = [*leaves.values(), *probes.values()]
    gradients = torch.autograd.grad(losses.sum(), wanted)
    by_tensor = dict(zip(leaves, gradients[: len(leaves)], strict=True))
    by_probe = dict(zip(probes, gradients[len(leaves) :], strict=True))
    return {
        "gradient_norm": norms_by_layer(names, by_tensor),
        "backprop_norm": _array([by_probe[name].flatten(1).norm(dim=1) for name in names]),
        "activation_rms": _array(rms),
        "activation_mean": _array(means),
        "parameter_norm": norms_by_layer(names, leaves),
    }


def norms_by_layer(names: list[str], tensors: dict[str, Tensor]) -> np.ndarray:
    """Norm of all of a layer's tensors together, (K, L), from tensors (K, ...) by parameter."""
    columns = []
    for layer in names:
        own = [t.flatten(1) for name, t in tensors.items() if name.rpartition(".")[0] == layer]
        columns.append(torch.cat(own, dim=1).norm(dim=1))
    return _array(columns)


def _array(columns: list[Tensor]) -> np.ndarray:
    return torch.stack([c.detach() for c in columns], dim=1).cpu().double().numpy()


def summarize_steps(losses: np.ndarray, norms: np.ndarray, clipped: np.ndarray) -> dict[str, float]:
    """One row of history from the steps since the last: arrays of shape (steps,).

    NaN is left out of quantiles and maxima unless there is nothing else; infinity is not.
    """
    with np.errstate(invalid="ignore"):
        finite = norms[~np.isnan(norms)]
        none = not len(finite)
        return {
            "train_loss": float(np.mean(losses)) if len(losses) else float("nan"),
            "train_loss_max": float(_greatest(losses)),
            "gradient_norm_median": float("nan") if none else _quantile(finite, 0.5),
            "gradient_norm_p90": float("nan") if none else _quantile(finite, 0.9),
            "gradient_norm_max": float(_greatest(norms)),
            "clipped_fraction": float(np.mean(clipped)) if len(clipped) else float("nan"),
        }


def _greatest(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else float("nan")


def _quantile(values: np.ndarray, q: float) -> float:
    # an interpolation between a number and infinity would be NaN: take an observed value
    return float(np.quantile(values, q, method="inverted_cdf"))


SPIKE_WINDOW, SPIKE_DEVIATIONS, SPIKE_HISTORY = 100, 7.0, 10


def spike_score(losses: np.ndarray) -> float:
    """Share of steps whose loss is 7 standard deviations or more above those before it.

    Mean and population standard deviation are of the up to 100 losses (steps,) before the step; a
    step counts from the 11th on. NaN for fewer steps. A loss that is not finite is a spike, and
    is left out of the means after it (OLMo 2, 2501.00656).

    >>> spike_score(np.array([1.0, 1.1] * 10 + [3.0]))
    0.09090909090909091
    """
    values = np.asarray(losses, dtype=float)
    if len(values) <= SPIKE_HISTORY:
        return float("nan")
    finite = np.isfinite(values)
    # sums up to each step; centred, so that small variances survive the subtraction
    centre = values[finite].mean() if finite.any() else 0.0
    filled = np.where(finite, values - centre, 0.0)
    counts, sums, squares = (
        np.concatenate([[0.0], np.cumsum(x)]) for x in (finite, filled, filled**2)
    )
    end = np.arange(SPIKE_HISTORY, len(values))
    start = np.maximum(end - SPIKE_WINDOW, 0)
    count = np.maximum(counts[end] - counts[start], 1.0)
    mean = (sums[end] - sums[start]) / count
    deviation = np.sqrt(np.maximum((squares[end] - squares[start]) / count - mean**2, 0.0))
    above = filled[end] - mean
    # a constant loss has no spread, and rounding is no spike
    rounding = 1e-6 * (1 + abs(centre))
    spikes = ~finite[end] | ((above >= SPIKE_DEVIATIONS * deviation) & (above > rounding))
    return float(spikes.mean())
