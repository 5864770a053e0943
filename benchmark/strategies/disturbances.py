"""Disturbances: trouble that is made once, in the midst of training, on purpose.

What blows up at the second step says nothing about guards that need a hundred steps to know what
is usual. A disturbance comes late, and at the same update and with the same random numbers for
every strategy; a trial without it, of the same seed, shows what it cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.records.declarations import SHOWN, Function, check_declaration
from benchmark.records.fields import SMALLEST, Real, Rule, Whole

Batch = tuple[Tensor, Tensor]


def same_batch(images: Tensor, labels: Tensor, generator: torch.Generator) -> Batch:
    """The batch as it is."""
    return images, labels


def same_rate(rate: float) -> float:
    """The rate as it is."""
    return rate


@dataclass(frozen=True)
class Disturbance:
    """One disturbance: what it makes of the batch and of the learning rate of some updates.

    Parameters
    ----------
    updates
        How many updates in a row it lasts; 0 for none.
    batch
        ``(images (B, C, H, W), labels (B,), generator) -> (images, labels)`` of the same shapes;
        images as the network sees them, normalized. Every random number comes from the generator,
        which depends on the trial's seed and on the number of the update within the disturbance.
    rate
        ``rate -> rate``, of the learning rate that the schedule and the policy give.
    at
        Share of the budget after which it begins, in (0, 1): at the first update before which so
        much is used.
    title, formula
        As of a `Clipping`.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    updates: int
    reference: str
    summary: str
    batch: Callable[[Tensor, Tensor, torch.Generator], Batch] = same_batch
    rate: Callable[[float], float] = same_rate
    at: float = 0.5
    title: str = ""
    formula: str = ""

    def __post_init__(self) -> None:
        check_declaration("disturbance", self, RULES)

    @property
    def changes_batch(self) -> bool:
        """Whether the loss of a disturbed update is that of other data than the training set's."""
        return self.updates > 0 and self.batch is not same_batch


RULES: dict[str, Rule] = {
    **SHOWN,
    "updates": Whole(0),
    "batch": Function("(images, labels, generator) -> (images, labels)", 3),
    "rate": Function("(rate) -> rate", 1),
    "at": Real("a share of the budget in (0, 1)", low=SMALLEST, high=math.nextafter(1.0, 0.0)),
}
"""What each field of a `Disturbance` may be."""

BAD_PIXELS = 10.0


def shuffle_and_brighten(images: Tensor, labels: Tensor, generator: torch.Generator) -> Batch:
    """Labels shuffled among the examples, and pixels times ten.

    >>> images, labels = torch.ones(2, 1, 1, 1), torch.tensor([3, 3])
    >>> images, labels = shuffle_and_brighten(images, labels, torch.Generator())
    >>> images.flatten().tolist(), labels.tolist()
    ([10.0, 10.0], [3, 3])
    """
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    return BAD_PIXELS * images, labels[order]


RATE_FACTOR = 30.0


def bump(rate: float) -> float:
    """The rate times thirty."""
    return RATE_FACTOR * rate


CORRUPT_SCALE = 1000.0


def scale_one_example(images: Tensor, labels: Tensor, generator: torch.Generator) -> Batch:
    """The pixels of one example of the batch times a thousand, and a label of another class.

    With its own label it would do nothing where the network is right about it, which late in
    training is nearly everywhere: the loss of a margin a thousand times as large is zero.

    >>> images = torch.ones(3, 1, 1, 1)
    >>> found, _ = scale_one_example(images, torch.zeros(3), torch.Generator())
    >>> sorted(found.flatten().tolist())
    [1.0, 1.0, 1000.0]
    """
    place = torch.randint(len(labels), (1,), generator=generator).to(images.device)
    # the first of another class, if there is one; and not `labels[other]`, by which a GPU is waited
    # for where the index is a single number
    other = (labels != labels[place]).int().argmax().unsqueeze(0)
    scaled = images.index_copy(0, place, CORRUPT_SCALE * images[place])
    return scaled, labels.index_copy(0, place, labels.index_select(0, other))


DISTURBANCES: dict[str, Disturbance] = {
    "none": Disturbance("none", 0, "-", "nothing happens"),
    "bad_batch": Disturbance(
        "bad_batch",
        5,
        "Chowdhery et al. 2022, arXiv:2204.02311 (sec. 5.1: batches at which the loss spikes); "
        "Zhang et al. 2017, arXiv:1611.03530 (shuffled labels)",
        "5 batches in a row with shuffled labels and pixels x 10, half way",
        batch=shuffle_and_brighten,
    ),
    "rate_bump": Disturbance(
        "rate_bump",
        5,
        "Lewkowycz et al. 2020, arXiv:2003.02218 (a rate above the edge of stability)",
        "the learning rate x 30 for 5 updates, half way",
        rate=bump,
    ),
    "corrupt_example": Disturbance(
        "corrupt_example",
        1,
        "Blanchard et al. 2017, arXiv:1703.02757 (one arbitrary gradient spoils a mean)",
        "one example of one batch with pixels x 1000 and a wrong label, half way",
        batch=scale_one_example,
    ),
}
