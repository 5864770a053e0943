"""The contract of a data set."""

from __future__ import annotations

import torch

from benchmark.contracts.subject import Subject
from benchmark.contracts.training import check_training
from benchmark.data import DataError, Dataset, Splits


def check_dataset(subject: Subject, dataset: Dataset) -> None:
    """Images and labels that are what the entry says."""
    subject.demand(
        1 / dataset.classes < dataset.target_accuracy <= 1,
        f"must have a target accuracy above chance and at most 1, but has "
        f"{dataset.target_accuracy}",
    )
    # a file that is missing or damaged says so itself
    with subject.attempt("must load", but=DataError):
        splits = dataset.load()
    for part in ("train", "validation", "test"):
        _check_part(subject, dataset, splits, part)
    subject.demand(
        splits.std > 0 and torch.isfinite(torch.tensor([splits.mean, splits.std])).all(),
        f"must have a finite mean and a positive deviation of pixels, but has {splits.mean} and "
        f"{splits.std}",
    )
    reason = check_training(subject, dataset)
    subject.demand(reason is None, f"must train in a dense network, but: {reason}")


def _check_part(subject: Subject, dataset: Dataset, splits: Splits, part: str) -> None:
    images, labels = (getattr(splits, f"{part}_{kind}") for kind in ("images", "labels"))
    subject.demand(
        len(labels) > 0 and tuple(images.shape) == (len(labels), *dataset.image_shape),
        f"must have images of the shape (n, {', '.join(map(str, dataset.image_shape))}) in its "
        f"{part} split, but has {tuple(images.shape)} with {len(labels)} labels",
    )
    subject.demand(
        images.dtype == torch.uint8 or images.is_floating_point(),
        f"must have images of bytes or real numbers in its {part} split, but has {images.dtype}",
    )
    subject.demand(
        labels.dtype == torch.int64
        and int(labels.min()) >= 0
        and int(labels.max()) < dataset.classes,
        f"must have int64 labels in 0..{dataset.classes - 1} in its {part} split, but has "
        f"{labels.dtype} in {int(labels.min())}..{int(labels.max())}",
    )
