"""Learning-rate scaling: how the rate follows the batch size when a policy changes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.records.declarations import DESCRIPTION, Function, check_declaration
from benchmark.records.fields import Rule


@dataclass(frozen=True)
class Scaling:
    """One rule.

    Parameters
    ----------
    factor
        ``B_new / B_first -> factor`` on the learning rate, relative to the trial's first batch.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    factor: Callable[[float], float]
    reference: str
    summary: str

    def __post_init__(self) -> None:
        check_declaration("scaling", self, RULES)


RULES: dict[str, Rule] = {**DESCRIPTION, "factor": Function("(ratio) -> factor", 1)}
"""What each field of a `Scaling` may be."""


def unscaled(ratio: float) -> float:
    """1 whatever the batch size."""
    return 1.0


def linear(ratio: float) -> float:
    """The ratio itself: k times the batch, k times the rate."""
    return ratio


SCALINGS: dict[str, Scaling] = {
    "none": Scaling("none", unscaled, "-", "the rate does not follow the batch size"),
    "linear": Scaling("linear", linear, "Goyal et al. 2017, arXiv:1706.02677", "rate ~ B"),
    "square_root": Scaling(
        "square_root", math.sqrt, "Krizhevsky 2014, arXiv:1404.5997", "rate ~ sqrt(B)"
    ),
}
