"""The contract of a disturbance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmark.contracts.subject import Subject
from benchmark.contracts.training import check_training
from benchmark.strategies.disturbances import Disturbance

UPDATES = 4
"""Updates about the disturbance in the training of the check."""
SEED = 5


def _batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((6, 1, 4, 4), generator=generator), torch.tensor([0, 1, 2, 2, 1, 0])


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def check_disturbance(subject: Subject, disturbance: Disturbance) -> None:
    """Another batch and another rate of the same form, by the generator alone."""
    lasts = disturbance.updates
    changed = _check_batch(subject, disturbance)
    for rate in (1e-6, 0.1, 10.0):
        with subject.attempt("must take a learning rate"):
            found, again = disturbance.rate(rate), disturbance.rate(rate)
        subject.demand(
            math.isfinite(found) and found > 0,
            f"must give a positive rate, but gave {found!r} for {rate:g}",
        )
        subject.demand(found == again, "must give the same rate for the same rate")
        changed = changed or found != rate
    subject.demand(
        changed or not lasts, f"must change the batch or the rate, as it lasts {lasts} updates"
    )
    reason = check_training(subject, disturbance=disturbance, updates=2 * (lasts + UPDATES))
    subject.demand(reason is None, f"must train, but: {reason}")


def _check_batch(subject: Subject, disturbance: Disturbance) -> bool:
    images, labels = _batch()
    with subject.attempt("must take images (B, C, H, W), labels (B,) and a generator"):
        found_images, found_labels = disturbance.batch(images, labels, _generator())
    for given, found, what in (
        (images, found_images, "images"),
        (labels, found_labels, "labels"),
    ):
        subject.demand(
            (found.dtype, found.shape) == (given.dtype, given.shape),
            f"must return {what} of the type and shape that it was given, {given.dtype} "
            f"{tuple(given.shape)}, but gave {found.dtype} {tuple(found.shape)}",
        )
    subject.demand(bool(found_images.isfinite().all()), "must give finite images")
    subject.demand(
        set(found_labels.tolist()) <= set(labels.tolist()),
        "must give labels of the batch's classes",
    )
    kept_images, kept_labels = _batch()
    subject.demand(
        torch.equal(images, kept_images) and torch.equal(labels, kept_labels),
        "must leave the images and labels that it was given as they were",
    )
    torch.manual_seed(1)
    again = disturbance.batch(*_batch(), _generator())
    rule = "must give the same for the same generator, and draw from no other"
    subject.same(again, (found_images, found_labels), rule, rtol=0)
    return not (torch.equal(found_images, images) and torch.equal(found_labels, labels))
