"""Schedules: the factor on the learning rate over the budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    Parameters
    ----------
    factor
        ``progress -> factor``: progress is the share of the budget used at the middle of
        the step, in (0, 1), so that neither a warm-up's first step nor a decay's last is wasted.
    """

    name: str
    factor: Callable[[float], float]
    reference: str
    summary: str


WARMUP = 0.1


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def step(progress: float) -> float:
    """Times 0.1 at a half and again at three quarters of the budget.

    >>> [round(step(p), 3) for p in (0.49, 0.5, 0.75)]
    [1.0, 0.1, 0.01]
    """
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0.

    >>> cosine(0.5)
    0.5
    """
    return round(0.5 * (1 + math.cos(math.pi * progress)), 15)


def warmup_cosine(progress: float) -> float:
    """A line from 0 to 1 over the first tenth, then half a cosine to 0.

    >>> warmup_cosine(0.05), warmup_cosine(0.1)
    (0.5, 1.0)
    """
    if progress < WARMUP:
        return progress / WARMUP
    return cosine((progress - WARMUP) / (1 - WARMUP))


SCHEDULES: dict[str, Schedule] = {
    "constant": Schedule("constant", constant, "-", "the same rate throughout"),
    "step": Schedule(
        "step",
        step,
        "He et al. 2016, arXiv:1512.03385",
        "x 0.1 at 1/2 and 3/4 of the budget",
    ),
    "cosine": Schedule(
        "cosine",
        cosine,
        "Loshchilov, Hutter 2017, arXiv:1608.03983",
        "half a cosine to zero",
    ),
    "warmup_cosine": Schedule(
        "warmup_cosine",
        warmup_cosine,
        "Goyal et al. 2017, arXiv:1706.02677; Loshchilov, Hutter 2017, arXiv:1608.03983",
        "linear warm-up over a tenth, then half a cosine",
    ),
}
