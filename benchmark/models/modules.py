"""Any torch module as a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from benchmark.models.model import ImageShape, Model
from benchmark.names import quoted
from benchmark.records.declarations import Function
from benchmark.strategies.normalization import ImpossiblePair, Normalization


def module_model(
    name: str,
    build: Callable[[ImageShape, int], nn.Module],
    *,
    depth: int = 0,
    width: int = 0,
    reference: str = "custom",
    summary: str = "",
) -> Model:
    """A custom model, for ``Trial(model=...)``, from whatever builds a module.

    All parameters that require a gradient are trained. With ``initialization="own"`` the module
    keeps the weights that it draws while it is built, from torch's global generator under the
    trial's seed; any other initialization draws its linear maps and convolutions anew.

    Parameters
    ----------
    build
        ``(image_shape (C, H, W), classes) -> module``, which maps images (B, C, H, W) to logits
        (B, classes). A function of a file, not a lambda, where it shall reach other processes.
        Trials that train together go through `torch.func.vmap`. A network that it does not take,
        with an ``if`` on a tensor's value, say, or an LSTM, with hooks or with dropout, trains its
        trials one after another in plain PyTorch. What it draws in its forward pass goes on from
        where building it under the trial's seed left torch's generator.
    depth, width
        Written into the rows; 0 says nothing.

    Raises
    ------
    ImpossiblePair
        When built for a trial that also asks for a normalization: the module has its own layers.
    ValueError
        If an argument is not of its kind (``build`` is the module itself, say); when built, if it
        does not give logits, has nothing to train, or draws random numbers that torch's seed does
        not fix.

    Examples
    --------
    >>> from benchmark import Trial, train
    >>> def build(image_shape, classes):
    ...     channels, height, width = image_shape
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))
    >>> trial = Trial(model=module_model("linear", build), initialization="own", epochs=1)
    >>> train(trial, device="cpu").trials["status"].item()
    'stable'
    """
    _check_build(name, build)
    return Model(
        name=name,
        build=_Build(name, build),
        depth=depth,
        width=width,
        reference=reference,
        summary=summary,
    )


_BUILD = Function("(image_shape, classes) -> module", 2, builds=True)


def _check_build(name: str, build: object) -> None:
    """Refuse what is no function that builds a module.

    Raises
    ------
    ValueError
        If it is none, but a module, say.
    """
    try:
        _BUILD("build", build)
    except ValueError as error:
        raise ValueError(f"model {quoted(name)}: {error}") from None


@dataclass(frozen=True)
class _Build:
    # a class and not a closure, because it is pickled for worker processes and compared there
    name: str
    build: Callable[[ImageShape, int], nn.Module]

    def __call__(
        self,
        image_shape: ImageShape,
        classes: int,
        depth: int,
        width: int,
        normalization: Normalization,
    ) -> nn.Module:
        if normalization.name != "none":
            raise ImpossiblePair(
                f"model {self.name!r} has the layers it was built with, "
                f"so normalization {normalization.name!r} cannot be added"
            )
        # whatever device is set: a custom module may compute with numbers while it is built
        with torch.device("cpu"):
            module = self.build(image_shape, classes)
            self._check(module, image_shape, classes)
        return module

    def _check(self, module: nn.Module, image_shape: ImageShape, classes: int) -> None:
        wanted = (
            f"model {self.name!r} must map images (B, {', '.join(map(str, image_shape))}) to "
            f"logits (B, {classes})"
        )
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"model {self.name!r}: build must return a torch module, but gave {quoted(module)}"
            )
        module.eval()
        kept = [
            (part, name, buffer, buffer.clone())
            for part in module.modules()
            for name, buffer in part._buffers.items()
            if buffer is not None and not is_lazy(buffer)
        ]
        # a lazy module gets its shapes here
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                logits = module(torch.zeros(2, *image_shape))
            except (RuntimeError, TypeError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"{wanted}, but {type(error).__name__}: {reason}") from error
        for part, name, buffer, before in kept:
            part._buffers[name] = buffer.copy_(before)
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        if shape != (2, classes):
            raise ValueError(f"{wanted}, but gave {shape} for B = 2")
        if not any(p.requires_grad for p in module.parameters()):
            raise ValueError(f"model {self.name!r} has no parameters that require a gradient")
