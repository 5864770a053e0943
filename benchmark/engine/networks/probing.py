"""How a custom network's trials can be trained: together, or one after another in plain PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from benchmark.data import Dataset
from benchmark.engine.networks.one_by_one import (
    OneByOne,
    own_random_numbers,
    random_state,
    seed_random_numbers,
)

log = logging.getLogger(__name__)

EXAMPLES = 4
AGREES = 1e-2
"""Of a norm: a lifted pass that differs by more is wrong, and not only rounded."""
HALF_AGREES = 0.25
_NOTED: set[tuple[str, str]] = set()


def note(network: str, reason: str) -> None:
    """Say once a process that trials of ``network`` are trained one after another."""
    if (network, reason) not in _NOTED:
        _NOTED.add((network, reason))
        log.warning("trials of %s are trained one after another: it %s", network, reason)


def why_one_by_one(
    alone: OneByOne,
    network: str,
    dataset: Dataset,
    gradient: Callable[..., tuple[Tensor, Tensor]],
    logits: Callable[..., Tensor],
) -> str | None:
    """Why the trials of a network cannot be lifted over, or None where they can.

    Parameters
    ----------
    network
        The custom parts that it is made of, as notes and errors name them.
    gradient, logits
        The lifted passes, with the arguments of `OneByOne.gradient` and `OneByOne.logits`.

    Raises
    ------
    ValueError
        If the network does not give logits in training mode, or draws random numbers that torch's
        seed does not fix.
    """
    model, layout = alone.model, alone.layout
    generator = torch.Generator().manual_seed(0)
    shape = (2, EXAMPLES, *dataset.image_shape)
    images = torch.randn(shape, generator=generator).to(alone.precision.dtype).to(alone.device)
    labels = (torch.arange(2 * EXAMPLES) % dataset.classes).view(2, EXAMPLES).to(alone.device)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    vector = layout.join(tensors).detach()
    parameters = torch.stack([vector, 0.9 * vector])
    kept = {k: torch.stack([v.detach()] * 2) for k, v in tensors.items() if k not in layout.names}

    def passes(some: Any, all_logits: Any, trials: int) -> tuple[Tensor, ...]:
        """Losses, gradients, evaluated logits and buffers of the first ``trials`` together."""
        buffers = {k: v[:trials].clone() for k, v in kept.items()}
        seen = images[:trials].clone()
        model.train()
        with own_random_numbers(alone.device):
            seed_random_numbers(0, alone.device)
            losses, gradients = some(parameters[:trials], buffers, seen, labels[:trials])
        model.eval()
        outputs = all_logits(parameters[:trials], buffers, seen)
        model.train()
        changes = [v.double().flatten() for v in buffers.values()]
        return losses, gradients, outputs, seen, torch.cat([*changes, losses.new_zeros(1).double()])

    model.train()
    _check_outputs(alone, network, dataset, images[0], parameters, kept)
    expected = passes(alone.gradient, alone.logits, 2)
    if _is_hooked(model):
        return "has hooks, or a method put in the place of another"
    if _draws(alone, images, labels, parameters, kept):
        if not _agree(passes(alone.gradient, alone.logits, 2), expected, AGREES):
            raise ValueError(
                f"{network} draws random numbers that torch's seed does not fix; "
                "draw them by torch, so that a trial's seed does"
            )
        return "draws random numbers in its forward pass"
    tolerance = AGREES if alone.precision.autocast is None else HALF_AGREES
    for trials in (1, 2):
        wanted = expected if trials == 2 else passes(alone.gradient, alone.logits, 1)
        try:
            with _registered(model):
                found = passes(gradient, logits, trials)
        except Exception as error:  # whatever the network does that cannot be lifted
            first = str(error).strip().partition("\n")[0][:120]
            return f"cannot be lifted over trials ({type(error).__name__}: {first})"
        if not _agree(found, wanted, tolerance):
            return "comes out otherwise where it is lifted over trials"
    return None


@contextmanager
def _registered(model: nn.Module) -> Iterator[None]:
    """Afterwards every module has the tensors that it has now.

    `torch.func.functional_call` leaves others in a module that has two names.
    """
    before = [(m, dict(m._parameters), dict(m._buffers)) for m in model.modules()]
    try:
        yield
    finally:
        for module, parameters, buffers in before:
            module._parameters.update(parameters)
            module._buffers.update(buffers)


def _check_outputs(
    alone: OneByOne,
    network: str,
    dataset: Dataset,
    images: Tensor,
    parameters: Tensor,
    buffers: dict[str, Tensor],
) -> None:
    with torch.no_grad(), own_random_numbers(alone.device):
        seed_random_numbers(0, alone.device)
        with alone.carrying(parameters, buffers, 0, keep=False):
            found = alone.model(images.clone())
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if shape != (EXAMPLES, dataset.classes):
        raise ValueError(
            f"{network} must give logits (B, {dataset.classes}) in training mode too, but "
            f"gave {shape} for B = {EXAMPLES}"
        )


def _draws(
    alone: OneByOne, images: Tensor, labels: Tensor, parameters: Tensor, kept: dict[str, Tensor]
) -> bool:
    """Whether a pass in training mode takes numbers from a generator, torch's or any other."""
    results = []
    for _ in range(2):
        buffers = {k: v.clone() for k, v in kept.items()}
        with own_random_numbers(alone.device):
            seed_random_numbers(0, alone.device)
            before = random_state(alone.device)
            with torch.no_grad(), alone.carrying(parameters, buffers, 0, keep=True):
                # `carrying` gives torch's generators back as they were, so it is asked within
                results.append(alone.apply(images[0]))
                drawn = not torch.equal(random_state(alone.device), before)
    return drawn or not torch.equal(*(r.nan_to_num() for r in results))


def _agree(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...], tolerance: float) -> bool:
    pairs = zip(found, wanted, strict=True)
    return all(
        bool((a.double() - b.double()).norm() <= tolerance * b.double().norm() + 1e-12)
        for a, b in pairs
    )


def has_global_hooks() -> bool:
    """Whether something is called at every module's passes, built-in ones included."""
    return bool(_has_any_global_hook())


def _is_hooked(model: nn.Module) -> bool:
    if has_global_hooks():
        return True
    tensors = [*model.parameters(), *model.buffers()]
    if any(getattr(t, "_backward_hooks", None) for t in tensors):
        return True
    if any(getattr(t, "_post_accumulate_grad_hooks", None) for t in tensors):
        return True
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(
        "forward" in vars(module) or any(getattr(module, name) for name in names)
        for module in model.modules()
    )
