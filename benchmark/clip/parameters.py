"""Whose gradients a guard clips, and where each lies in the flat vector that a rule is given."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmark.layout import Layout
from benchmark.strategies.clipping import Clipping


def taken_by(optimizer: Optimizer) -> list[Tensor]:
    """The parameters that a step may move, in the order of the parameter groups.

    One that was frozen after its gradient was computed is among them: the optimizer takes it.
    """
    return [
        p
        for group in optimizer.param_groups
        for p in group["params"]
        if p.requires_grad or p.grad is not None
    ]


def rates_of(optimizer: Optimizer) -> dict[int, float]:
    """Each parameter's learning rate by its ``id``."""
    rates: dict[int, float] = {}
    for group in optimizer.param_groups:
        rates |= dict.fromkeys(map(id, group["params"]), float(group["lr"]))
    return rates


def dtype_of(parameters: Sequence[Tensor]) -> torch.dtype:
    """The type in which gradients are measured: those of half precision overflow in their own."""
    kinds = {p.dtype for p in parameters}
    return torch.float64 if torch.float64 in kinds else torch.float32


def same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether both are the same tensors, in the same order."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def whole(gradient: Tensor) -> Tensor:
    """``gradient``, which must be dense and all of it here."""
    if gradient.layout is not torch.strided:
        raise ValueError("sparse gradients cannot be clipped; make them dense (sparse=False)")
    if type(gradient).__name__ == "DTensor":
        raise ValueError(
            "gradients that are sharded over processes cannot be clipped: each sees only "
            "its own part of the norm; allowed: gradients that are whole on every process"
        )
    return gradient


def layout_of(parameters: Sequence[Tensor], model: nn.Module | None, clipping: Clipping) -> Layout:
    """Where each of ``parameters`` lies in the flat vector."""
    if not parameters:
        raise ValueError("the optimizer has no parameter that requires a gradient")
    devices = sorted({str(p.device) for p in parameters})
    if len(devices) > 1:
        raise ValueError(
            f"all parameters must lie on one device, but got {', '.join(devices)}; a norm of all "
            "of them would wait for every device in every step"
        )
    shapes = tuple(tuple(p.shape) for p in parameters)
    if model is None:
        if clipping.exempts_head:
            raise ValueError(
                f"{clipping.name!r} leaves the classifier's own tensors as they are, so that it "
                "needs to know which these are; pass model=..."
            )
        return Layout(tuple(f"parameter{i}" for i in range(len(shapes))), shapes)
    known = {id(p): name for name, p in model.named_parameters()}
    missing = sum(id(p) not in known for p in parameters)
    if missing:
        raise ValueError(f"{missing} of the optimizer's parameters are not the model's")
    found = Layout.of(model)
    names = tuple(known[id(p)] for p in parameters)
    return Layout(names, shapes, found.head, found.layers)
