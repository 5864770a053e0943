"""Learning rates that are stated relative to each configuration's own best one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.names import quoted
from benchmark.records.fields import (
    POSITIVE,
    SEEDS,
    TRIAL,
    Real,
    Rule,
    Several,
    Whole,
    check_fields,
    number_of,
    real_of,
    refused,
    whole_of,
)

SELECT = "select"
"""Arm of the trials by which a configuration's best rate is found."""
SHARED = "shared_"
"""Arms at multiples of another configuration's best rate begin so: ``shared_x10``."""

ARM = re.compile(r"([a-z_]*)x(\d+(?:\.\d+)?(?:e[+-]\d+)?)")
"""What `arm_of` writes: a prefix and a multiple."""

Score = tuple[float, float]
"""What a rate is chosen by: mean validation accuracy, then minus the mean capped loss."""

ON_GRID = 0.01
"""Decades by which a bound may miss the half-decade it stands for: 0.03 is none, 0.0316 is one."""


def arm_of(multiple: float, prefix: str = "") -> str:
    """Arm of the trials at a multiple of a best rate; with a ``prefix``, of another one's.

    >>> arm_of(3), arm_of(1e6, SHARED)
    ('x3', 'shared_x1000000')
    """
    return f"{prefix}x{multiple:.10g}"


def multiple_of(arm: str | None) -> tuple[str, float] | None:
    """The prefix and the multiple that `arm_of` wrote in ``arm``; None of any other arm.

    >>> multiple_of("shared_x1e+06"), multiple_of("select")
    (('shared_', 1000000.0), None)
    """
    found = ARM.fullmatch(arm or "")
    return (found[1], float(found[2])) if found else None


def rate_at(quarter: int) -> float:
    """Learning rate ``quarter`` quarter-decades from 1, to four digits.

    >>> [rate_at(quarter) for quarter in (-8, -6, -5, 0, 1)]
    [0.01, 0.03162, 0.05623, 1.0, 1.778]
    """
    return _four_digits(10 ** (quarter / 4))


def rates_between(low: float, high: float, *, per_decade: int = 2) -> tuple[float, ...]:
    """Learning rates from ``low`` to ``high``, evenly spaced in their logarithm.

    Raises
    ------
    ValueError
        If a bound is no positive number, ``low <= high`` does not hold, or ``per_decade`` is no
        positive whole number.

    >>> rates_between(0.01, 1)
    (0.01, 0.03162, 0.1, 0.3162, 1.0)
    """
    low, high = real_of("low", low, _BOUND), real_of("high", high, _BOUND)
    per_decade = whole_of("per_decade", per_decade, 1, 1000)
    if low > high:
        raise ValueError(f"`low <= high` must hold, but got (low={low}, high={high})")
    first, last = (round(per_decade * math.log10(end)) for end in (low, high))
    return tuple(_four_digits(10 ** (k / per_decade)) for k in range(first, last + 1))


_BOUND = Real("a positive number up to 1e300", low=1e-300, high=1e300)


def _four_digits(rate: float) -> float:
    return float(f"{rate:.4g}")


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _baseline(field: str, value: Any) -> tuple[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise refused(field, value, "None or a factor with one of its levels: (factor, level)")
    factor, level = value
    known = [name for name in TRIAL if name not in _NO_FACTORS]
    if factor not in known:
        raise refused(field, factor, f"a factor ({', '.join(known)})")
    return factor, TRIAL[factor](factor, level)


def _word(field: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[a-z]{2,}", value) or value == SELECT:
        raise refused(field, value, f"a word of small letters, and not {SELECT!r}")
    return value


def _scores(field: str, value: Any) -> Mapping[float, Score]:
    wanted = "a mapping of rates to scores (accuracy, minus loss)"
    if not isinstance(value, Mapping):
        raise refused(field, value, wanted)
    for rate, score in value.items():
        pair = isinstance(score, Sequence) and len(score) == 2
        if not pair or any(number_of(number) is None for number in (rate, *score)):
            raise refused(field, value, wanted)
    return value


_NO_FACTORS = ("learning_rate", "seed", "arm")

RULES: dict[str, Rule] = {
    "low": POSITIVE,
    "high": POSITIVE,
    "multiples": Several(POSITIVE, "positive numbers", least=0),
    "seeds": SEEDS,
    "extensions": Whole(0, 100),
    "baseline": _baseline,
    "baseline_multiples": Several(POSITIVE, "positive numbers"),
    "baseline_arm": _word,
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
        What the best rate is multiplied by; the trials at 3 times it have the arm ``x3``. None of
        them, with a ``baseline``: the best rate is not looked for, and all trials are at multiples
        of the baseline's.
    seeds
        On which the best rate is found; none of them may be the study's own.
    extensions
        Most half-decades that are added on each side.
    baseline
        A factor and one of its levels, or None. Ten times one's own best rate is not ten times
        another's; to compare at one and the same rate, every configuration is trained besides at
        multiples of the best rate of that which differs from it in this level alone (and in the
        number that belongs to it, as a clipping's threshold does), where the study has that one
        and its best rate was found.
    baseline_multiples
        What the baseline's best rate is multiplied by; the trials at 3 times it have the arm
        ``shared_x3``. The baseline's own are those of ``multiples``.
    baseline_arm
        What these arms begin with instead of ``shared``: a word of small letters. So trials that
        answer another question, such as further thresholds, are not taken for those.

    Raises
    ------
    ValueError
        If a bound is no half-decade, ``low < high`` does not hold, a number is not positive,
        the baseline is no level of a factor, or there are no multiples and no baseline.

    >>> RelativeRates(low=0.1, high=1.0).start()
    [0.1, 0.3162, 1.0]
    """

    low: float
    high: float
    multiples: Sequence[float] = (1, 3, 10)
    seeds: Sequence[int] = (100, 101)
    extensions: int = 2
    baseline: tuple[str, Any] | None = None
    baseline_multiples: Sequence[float] = (3, 10)
    baseline_arm: str = "shared"

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
        if not self.searches and self.baseline is None:
            raise ValueError("`multiples` must have a number where `baseline` is None, but got ()")

    @staticmethod
    def _quarter(half_decade: float) -> int:
        return 2 * round(2 * math.log10(half_decade))

    @property
    def searches(self) -> bool:
        """Whether the best rate of the configuration itself is looked for."""
        return bool(self.multiples)

    @property
    def name(self) -> str:
        """What the metadata of result files call it.

        >>> RelativeRates(low=0.1, high=1.0, multiples=(), baseline=("clipping", "none")).name
        '3, 10 times the best with clipping none'
        """
        own = (
            f"{_listed(self.multiples)} times the best of {self.low:g}..{self.high:g} on seeds "
            f"{_listed(self.seeds)}, at most {self.extensions} extensions"
        )
        if self.baseline is None:
            return own
        times, with_baseline = _listed(self.baseline_multiples), " ".join(map(str, self.baseline))
        if not self.searches:
            return f"{times} times the best with {with_baseline}"
        return f"{own}; {times} times that with {with_baseline}"

    def arms(self) -> dict[str, float]:
        """Arm -> multiple.

        >>> RelativeRates(low=0.1, high=1.0).arms()
        {'x1': 1.0, 'x3': 3.0, 'x10': 10.0}
        """
        return {arm_of(multiple): multiple for multiple in self.multiples}

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
        _scores("scores", scores)
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
        quarter = round(4 * math.log10(real_of("rate", rate, _BOUND)))
        return rate_at(quarter - 1), rate_at(quarter + 1)

    def best(self, scores: Mapping[float, Score]) -> float:
        """The rate of the highest score, the smallest among equals."""
        if not _scores("scores", scores):
            raise ValueError(f"`scores` must have at least one rate, but got {quoted(scores)}")
        return max(scores, key=lambda rate: (scores[rate], -rate))

    def multiplied(self, best: float) -> dict[str, float]:
        """Arm -> learning rate, for a configuration whose best rate is ``best``.

        >>> RelativeRates(low=0.1, high=1.0).multiplied(0.5623)
        {'x1': 0.5623, 'x3': 1.687, 'x10': 5.623}
        """
        best = real_of("best", best, _BOUND)
        return {arm: _four_digits(best * multiple) for arm, multiple in self.arms().items()}

    def shared(self, best: float) -> dict[str, float]:
        """Arm -> learning rate, for a configuration whose baseline's best rate is ``best``.

        >>> RelativeRates(low=0.1, high=1.0, baseline=("clipping", "none")).shared(0.1778)
        {'shared_x3': 0.5334, 'shared_x10': 1.778}
        """
        best = real_of("best", best, _BOUND)
        if self.baseline is None:
            return {}
        prefix = f"{self.baseline_arm}_"
        return {arm_of(m, prefix): _four_digits(best * m) for m in self.baseline_multiples}
