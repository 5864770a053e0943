"""What is minimized: the mean over a batch of an example's loss, between its logits and label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from benchmark.records.declarations import DESCRIPTION, Function, check_declaration
from benchmark.records.fields import Rule


@dataclass(frozen=True)
class Loss:
    """One loss.

    Parameters
    ----------
    value
        ``(logits (N, classes), labels (N,)) -> (N,)``: of every example by itself.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    reference: str
    summary: str

    def __post_init__(self) -> None:
        check_declaration("loss", self, RULES)


RULES: dict[str, Rule] = {**DESCRIPTION, "value": Function("(logits, labels) -> losses", 2)}
"""What each field of a `Loss` may be."""


LABEL_SMOOTHING = 0.1


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label], in nats."""
    return F.cross_entropy(logits, labels, reduction="none")


def smoothed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy to 0.9 of the label and 0.1 of the uniform distribution."""
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=LABEL_SMOOTHING)


def squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Half the squared distance to the label's unit vector.

    Of a linear map without bias on examples X (n, d) the Hessian is X^T X / n for each output:
    a quadratic whose largest stable rate is known.
    """
    target = F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    return 0.5 * (logits - target).square().sum(dim=-1)


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(
        "cross_entropy", cross_entropy, "Bishop 2006, ISBN 978-0387310732", "softmax, in nats"
    ),
    "label_smoothing": Loss(
        "label_smoothing",
        smoothed_cross_entropy,
        "Szegedy et al. 2016, arXiv:1512.00567",
        "cross entropy to 0.9 label + 0.1 uniform",
    ),
    "squared_error": Loss(
        "squared_error",
        squared_error,
        "Hui, Belkin 2021, arXiv:2006.07322",
        "half the squared distance to the label's unit vector",
    ),
}
