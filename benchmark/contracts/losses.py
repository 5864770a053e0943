"""The contract of a loss."""

from __future__ import annotations

import torch

from benchmark.contracts.subject import Subject
from benchmark.contracts.training import check_training
from benchmark.strategies.losses import Loss

EXAMPLES, CLASSES = 6, 4
SCALES = (0.0, 1.0, 1e4)


def check_loss(subject: Subject, loss: Loss) -> None:
    """One number an example, of that example alone, finite for logits that are large."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(EXAMPLES, CLASSES, generator=generator, dtype=torch.float64)
    labels = torch.arange(EXAMPLES) % CLASSES
    for scale in SCALES:
        logits = (scale * drawn).requires_grad_(True)
        with subject.attempt("must take logits (N, classes) and labels (N,)"):
            values = loss.value(logits, labels)
            (gradient,) = torch.autograd.grad(values.sum(), logits)
            each = [loss.value(logits[i : i + 1], labels[i : i + 1]) for i in range(EXAMPLES)]
        subject.demand(
            values.shape == (EXAMPLES,),
            f"must give a number an example, but gives {tuple(values.shape)}",
        )
        subject.demand(
            bool(values.isfinite().all() and gradient.isfinite().all()),
            f"must be finite, and its gradient, for logits of a scale of {scale:g}",
        )
        # what accumulation and the gradients of single examples rely on
        subject.same(values.detach(), torch.cat(each).detach(), "must be of each example by itself")
    check_training(subject, loss=loss)
