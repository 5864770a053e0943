"""Schedules: the factor on the learning rate over the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.records.arguments import takes
from benchmark.records.declarations import SHOWN, Function, Number, check_declaration
from benchmark.records.fields import Real, Rule, Several


def heedless(losses: Sequence[float]) -> float:
    """1 whatever the losses."""
    return 1.0


@dataclass(frozen=True)
class Schedule:
    """One schedule: the rate is multiplied by ``factor`` and by ``feedback``.

    Parameters
    ----------
    factor
        ``progress -> factor``: progress is the share of the budget used at the middle of
        the step, in (0, 1), so that neither a warm-up's first step nor a decay's last is wasted.
    feedback
        ``losses -> factor``, from the validation loss at every checkpoint so far, oldest first.
    title, formula
        As of a `Clipping`.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    factor: Callable[[float], float]
    reference: str
    summary: str
    feedback: Callable[[Sequence[float]], float] = heedless
    title: str = ""
    formula: str = ""

    def __post_init__(self) -> None:
        check_declaration("schedule", self, RULES)


RULES: dict[str, Rule] = {
    **SHOWN,
    "factor": Function("(progress) -> factor", 1),
    "feedback": Function("(losses) -> factor", 1),
}
"""What each field of a `Schedule` may be."""


WARMUP = 0.1
SHARE = Real("a share of the budget in 0..1", low=0.0, high=1.0)
LOSSES = Several(Number(measured=True), "numbers", least=0)


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


@takes(progress=SHARE)
def step(progress: float) -> float:
    """Times 0.1 at a half and again at three quarters of the budget.

    >>> [round(step(p), 3) for p in (0.49, 0.5, 0.75)]
    [1.0, 0.1, 0.01]
    """
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


@takes(progress=SHARE)
def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0.

    >>> cosine(0.5)
    0.5
    """
    return round(0.5 * (1 + math.cos(math.pi * progress)), 15)


@takes(progress=SHARE)
def warmup(progress: float) -> float:
    """A line from 0 to 1 over the first tenth, then 1: what of `warmup_cosine` is no decay.

    >>> warmup(0.05), warmup(0.1), warmup(1.0)
    (0.5, 1.0, 1.0)
    """
    return min(progress / WARMUP, 1.0)


@takes(progress=SHARE)
def warmup_cosine(progress: float) -> float:
    """A line from 0 to 1 over the first tenth (`warmup`), then half a cosine to 0.

    >>> warmup_cosine(0.05), warmup_cosine(0.1)
    (0.5, 1.0)
    """
    if progress < WARMUP:
        return warmup(progress)
    return cosine((progress - WARMUP) / (1 - WARMUP))


ONE_CYCLE_RISE, ONE_CYCLE_DIVISOR, ONE_CYCLE_FINAL_DIVISOR = 0.3, 25.0, 1e4


@takes(progress=SHARE)
def one_cycle(progress: float) -> float:
    """Half a cosine up from 1/25 to 1 over three tenths, then one down to 1/25 of 1e-4.

    Equals `torch.optim.lr_scheduler.OneCycleLR` at its own points; the momentum stays as it is.

    >>> [round(one_cycle(p), 6) for p in (0.0, 0.3, 1.0)]
    [0.04, 1.0, 4e-06]
    """
    start = 1 / ONE_CYCLE_DIVISOR
    if progress < ONE_CYCLE_RISE:
        return 1.0 + (start - 1.0) * cosine(progress / ONE_CYCLE_RISE)
    final = start / ONE_CYCLE_FINAL_DIVISOR
    return final + (1.0 - final) * cosine((progress - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))


RANGE_TEST_DECADES = 6


@takes(progress=SHARE)
def range_test(progress: float) -> float:
    """An exponential rise from a millionth to 1: the rate at which the loss turns is read off.

    >>> range_test(0.5), range_test(1.0)
    (0.001, 1.0)
    """
    return float(10 ** (RANGE_TEST_DECADES * (progress - 1)))


PLATEAU_FACTOR, PLATEAU_PATIENCE, PLATEAU_THRESHOLD = 0.1, 5, 1e-4


@takes(losses=LOSSES)
def after_plateaus(losses: Sequence[float]) -> float:
    """0.1 for every 5 checkpoints in a row without a relative improvement of 1e-4.

    As `torch.optim.lr_scheduler.ReduceLROnPlateau` with ``patience=4``, which waits for one more
    than its patience. A loss that is not a number is no improvement.

    >>> round(after_plateaus([1.0] * 6), 3)
    0.1
    """
    best, waited, factor = math.inf, 0, 1.0
    for loss in losses:
        if loss < best * (1 - PLATEAU_THRESHOLD):
            best, waited = loss, 0
        else:
            waited += 1
        if waited == PLATEAU_PATIENCE:
            waited, factor = 0, factor * PLATEAU_FACTOR
    return factor


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
    "warmup": Schedule(
        "warmup",
        warmup,
        "Goyal et al. 2017, arXiv:1706.02677",
        "linear warm-up over a tenth, then constant",
    ),
    "warmup_cosine": Schedule(
        "warmup_cosine",
        warmup_cosine,
        "Goyal et al. 2017, arXiv:1706.02677; Loshchilov, Hutter 2017, arXiv:1608.03983",
        "linear warm-up over a tenth, then half a cosine",
    ),
    "one_cycle": Schedule(
        "one_cycle",
        one_cycle,
        "Smith, Topin 2019, arXiv:1708.07120",
        "up from 1/25 over 3/10, then down to 4e-6",
    ),
    "plateau": Schedule(
        "plateau",
        constant,
        "Bengio 2012, arXiv:1206.5533",
        "x 0.1 after 5 checkpoints without improvement",
        feedback=after_plateaus,
    ),
    "range_test": Schedule(
        "range_test",
        range_test,
        "Smith 2017, arXiv:1506.01186",
        "an exponential rise over six decades, to find the usable rates",
    ),
}
