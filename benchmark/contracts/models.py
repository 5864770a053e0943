"""The contract of a model."""

from __future__ import annotations

import torch
from torch import nn

from benchmark.contracts.subject import Subject
from benchmark.contracts.training import check_training, random_images
from benchmark.models import Model
from benchmark.strategies.normalization import NORMALIZATIONS, ImpossiblePair

SHAPES = ((1, 8, 8), (1, 28, 28), (3, 32, 32))
"""Of the built-in data sets, and the usual colour images."""
CLASSES, EXAMPLES = 3, 4


def check_model(subject: Subject, model: Model) -> None:
    """Logits from images, for one of the usual shapes at least, at every size that it allows."""
    _check_sizes(subject, model)
    possible = [shape for shape in SHAPES if _is_possible(subject, model, shape)]
    subject.demand(possible, f"must take images of one of the shapes {SHAPES}")
    _check_forward(subject, model, possible[0])
    for name in ("depth", "width"):
        for size in getattr(model, f"{name}s") or ():
            sizes = {"depth": model.depth, "width": model.width, name: size}
            with torch.device("meta"), subject.attempt(f"must build with {name}={size}"):
                model.build(possible[0], CLASSES, **sizes, normalization=NORMALIZATIONS["none"])
    check_training(subject, random_images(possible[0]), model=model, initialization="own")


def _check_sizes(subject: Subject, model: Model) -> None:
    for name in ("depth", "width"):
        default, allowed = getattr(model, name), getattr(model, f"{name}s")
        subject.demand(
            allowed is None or allowed[0] <= default <= allowed[1],
            f"must have a default {name} within {allowed}, but has {default}",
        )


def _build(model: Model, shape: tuple[int, int, int]) -> nn.Module:
    return model.build(shape, CLASSES, model.depth, model.width, NORMALIZATIONS["none"])


def _is_possible(subject: Subject, model: Model, shape: tuple[int, int, int]) -> bool:
    try:
        with subject.attempt("must build", but=ImpossiblePair):
            module = _build(model, shape)
        module(torch.zeros(EXAMPLES, *shape))
    except (ImpossiblePair, RuntimeError):
        return False
    return True


def _check_forward(subject: Subject, model: Model, shape: tuple[int, int, int]) -> None:
    module = _build(model, shape).train()
    images = torch.rand(EXAMPLES, *shape, generator=torch.Generator().manual_seed(0))
    logits = module(images)
    subject.demand(
        isinstance(logits, torch.Tensor) and tuple(logits.shape) == (EXAMPLES, CLASSES),
        f"must map images {tuple(images.shape)} to logits ({EXAMPLES}, {CLASSES}), but gave "
        f"{getattr(logits, 'shape', type(logits).__name__)}",
    )
    subject.demand(
        bool(logits.isfinite().all()), "must give finite logits with the weights it draws"
    )
    subject.same(
        module(images),
        logits,
        "must draw no numbers in its forward pass (dropout), which no seed would fix",
        rtol=0,
    )
