"""Learning rates that are stated relative to each configuration's own best one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.records.fields import POSITIVE, SEEDS, Rule, Several, Whole, check_fields

SELECT = "select"
"""Arm of the trials by which a configuration's best rate is found."""

Score = tuple[float, float]
"""What a rate is chosen by: mean validation accuracy, then minus the mean capped loss."""

ON_GRID = 0.01
"""Decades by which a bound may miss the half-decade it stands for: 0.03 is none, 0.0316 is one."""


def rate_at(quarter: int) -> float:
    """Learning rate ``quarter`` quarter-decades from 1, to four digits.

    >>> [rate_at(quarter) for quarter in (-8, -6, -5, 0, 1)]
    [0.01, 0.03162, 0.05623, 1.0, 1.778]
    """
    return _four_digits(10 ** (quarter / 4))


def rates_between(low: float, high: float, *, per_decade: int = 2) -> tuple[float, ...]:
    """Learning rates from ``low`` to ``high``, evenly spaced in their logarithm.

    >>> rates_between(0.01, 1)
    (0.01, 0.03162, 0.1, 0.3162, 1.0)
    """
    first, last = (round(per_decade * math.log10(end)) for end in (low, high))
    return tuple(_four_digits(10 ** (k / per_decade)) for k in range(first, last + 1))


def _four_digits(rate: float) -> float:
    return float(f"{rate:.4g}")


RULES: dict[str, Rule] = {
    "low": POSITIVE,
    "high": POSITIVE,
    "multiples": Several(POSITIVE, "positive numbers"),
    "seeds": SEEDS,
    "extensions": Whole(0, 100),
}
"""What each field of `RelativeRates` may be."""


@dataclass(frozen=True, kw_only=True)
class RelativeRates:
    """A level of the factor ``learning_rate``: each configuration's own best rate, times numbers.

    The best rate is found first, on seeds that are used for nothing else, by the mean validation
    accuracy of undisturbed training: over half-decades from ``low`` to ``high``; where the best of
    these is the first or the last, half-decades are added on that side, at most ``extensions`` of
    them; then over the two quarter-decades beside the best. Its multiples are trained on the
    study's own seeds.

    Parameters
    ----------
    low, high
        First and last half-decade: ``10**(k / 2)`` for whole k, to 0.01 decades.
    multiples
        What the best rate is multiplied by; the trials at 3 times it have the arm ``x3``.
    seeds
        On which the best rate is found; none of them may be the study's own.
    extensions
        Most half-decades that are added on each side.

    Raises
    ------
    ValueError
        If a bound is no half-decade, ``low < high`` does not hold, or a number is not positive.

    >>> RelativeRates(low=0.1, high=1.0).start()
    [0.1, 0.3162, 1.0]
    """

    low: float
    high: float
    multiples: Sequence[float] = (1, 3, 10)
    seeds: Sequence[int] = (100, 101)
    extensions: int = 2

    def __post_init__(self) -> None:
        check_fields(self, RULES)
        for name in ("low", "high"):
            value = getattr(self, name)
            if abs(4 * math.log10(value) - self._quarter(value)) > 4 * ON_GRID:
                raise ValueError(
                    f"`{name}` must be a half-decade (..., 0.1, 0.3162, 1, ...), but got {value}"
                )
        if not self.low < self.high:
            raise ValueError(f"`low < high` must hold, but got (low={self.low}, high={self.high})")

    @staticmethod
    def _quarter(half_decade: float) -> int:
        return 2 * round(2 * math.log10(half_decade))

    @property
    def name(self) -> str:
        """What the metadata of result files call it."""
        times = ", ".join(f"{multiple:g}" for multiple in self.multiples)
        return (
            f"{times} times the best of {self.low:g}..{self.high:g} on seeds "
            f"{', '.join(map(str, self.seeds))}, at most {self.extensions} extensions"
        )

    def arms(self) -> dict[str, float]:
        """Arm -> multiple.

        >>> RelativeRates(low=0.1, high=1.0).arms()
        {'x1': 1.0, 'x3': 3.0, 'x10': 10.0}
        """
        return {f"x{multiple:g}": multiple for multiple in self.multiples}

    def start(self) -> list[float]:
        """The rates that every configuration is tried at."""
        first, last = self._quarter(self.low), self._quarter(self.high)
        return [rate_at(quarter) for quarter in range(first, last + 1, 2)]

    def wanted(self, scores: Mapping[float, Score]) -> list[float]:
        """The rates at which a configuration has to be tried next, given those that it was.

        Empty once its best rate is known. What is wanted follows from ``scores`` alone, so that
        a run which was stopped goes on as one that was not.

        >>> rates = RelativeRates(low=0.1, high=1.0)
        >>> rates.wanted({0.1: (0.7, -1.0), 0.3162: (0.8, -0.5), 1.0: (0.1, -2.3)})
        [0.1778, 0.5623]
        """
        first, last = self._quarter(self.low), self._quarter(self.high)
        lowest, highest = first - 2 * self.extensions, last + 2 * self.extensions
        while True:
            tried = range(first, last + 1, 2)
            if missing := [rate_at(q) for q in tried if rate_at(q) not in scores]:
                return missing
            best = max(tried, key=lambda quarter: (scores[rate_at(quarter)], -quarter))
            if best == first > lowest:
                first -= 2
            elif best == last < highest:
                last += 2
            else:
                return [rate for rate in self.beside(rate_at(best)) if rate not in scores]

    def beside(self, rate: float) -> tuple[float, float]:
        """The quarter-decades below and above ``rate``."""
        quarter = round(4 * math.log10(rate))
        return rate_at(quarter - 1), rate_at(quarter + 1)

    def best(self, scores: Mapping[float, Score]) -> float:
        """The rate of the highest score, the smallest among equals."""
        return max(scores, key=lambda rate: (scores[rate], -rate))

    def multiplied(self, best: float) -> dict[str, float]:
        """Arm -> learning rate, for a configuration whose best rate is ``best``.

        >>> RelativeRates(low=0.1, high=1.0).multiplied(0.5623)
        {'x1': 0.5623, 'x3': 1.687, 'x10': 5.623}
        """
        return {arm: _four_digits(best * multiple) for arm, multiple in self.arms().items()}
