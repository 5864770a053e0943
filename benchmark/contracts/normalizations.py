"""The contract of a normalization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.contracts.subject import Subject
from benchmark.contracts.training import check_training
from benchmark.strategies.normalization import ImpossiblePair, LinearMap, Normalization

FEATURES, SIDE, BATCH = 16, 3, 8
WIDTHS = {"mlp": 16, "cnn": 8}
"""Models and their widths."""


def check_normalization(subject: Subject, normalization: Normalization) -> None:
    """Layers that keep the shape, in dense networks, in convolutional ones, or in both."""
    reasons = [
        reason
        for spatial in (False, True)
        if (reason := _check_layer(subject, normalization, spatial))
    ]
    subject.demand(
        len(reasons) < 2, f"must be possible in dense or in convolutional layers: {reasons}"
    )
    skipped = [
        reason
        for model, width in WIDTHS.items()
        if (
            reason := check_training(subject, normalization=normalization, model=model, width=width)
        )
    ]
    subject.demand(len(skipped) < 2, f"must be possible in some network, but: {skipped}")


def _check_layer(subject: Subject, normalization: Normalization, spatial: bool) -> str | None:
    """The reason where it is impossible, None where it keeps its promises."""
    linear: LinearMap = (
        nn.Conv2d(FEATURES, FEATURES, 3, padding=1) if spatial else nn.Linear(FEATURES, FEATURES)
    )
    try:
        with subject.attempt("must give a layer for (features, spatial)", but=ImpossiblePair):
            layer = normalization.layer(FEATURES, spatial)
            wrapped = normalization.wrap(linear)
    except ImpossiblePair as error:
        return str(error)
    subject.demand(
        isinstance(wrapped, type(linear))
        and wrapped.weight.shape == linear.weight.shape
        and isinstance(layer, nn.Module),
        "must give a module, and leave a linear map of the same kind and size",
    )
    shape = (FEATURES, SIDE, SIDE) if spatial else (FEATURES,)
    module = nn.Sequential(wrapped, layer).double()
    for examples in {BATCH, normalization.smallest_batch}:
        drawn = _inputs(examples, shape)
        for inputs in (drawn, 1e6 * drawn):
            _check_forward(subject, module.train(), inputs)
        # a unit that no example activates
        _check_forward(subject, layer.train(), torch.zeros_like(drawn))
    module.eval()
    one = _inputs(1, shape)
    _check_forward(subject, module, one)
    subject.same(module(one), module(one), "must give the same for the same at evaluation", rtol=0)
    return None


def _inputs(examples: int, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(examples, *shape, generator=generator, dtype=torch.float64)


def _check_forward(subject: Subject, module: nn.Module, inputs: Tensor) -> None:
    leaf = inputs.clone().requires_grad_(True)
    with subject.attempt(f"must take inputs {tuple(inputs.shape)}"):
        out = module(leaf)
    subject.demand(
        out.shape == inputs.shape and out.dtype == inputs.dtype,
        f"must keep shape and type, {tuple(inputs.shape)} {inputs.dtype}, but gave "
        f"{tuple(out.shape)} {out.dtype}",
    )
    with subject.attempt("must be differentiable"):
        (gradient,) = torch.autograd.grad(out.square().sum(), leaf)
    subject.demand(
        bool(out.isfinite().all() and gradient.isfinite().all()),
        "must give finite numbers and gradients, for inputs of zero too",
    )
