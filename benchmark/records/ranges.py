"""The interval in which a tunable number may lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmark.records.fields import FLAG, LARGEST, Real, Whole, check_fields, number_of


@dataclass(frozen=True)
class Range:
    """Interval ``[low, high]`` of one tunable number, with the default that its source gives.

    ``log`` says that a search draws its logarithm uniformly; ``integer`` that only whole
    numbers are allowed.

    Raises
    ------
    ValueError
        If ``low <= default <= high`` does not hold, ``log`` is asked of ``low <= 0``, or a field
        is not of its type.

    >>> Range(1e-2, 1e2, default=1.0).contains(5.0)
    True
    """

    low: float
    high: float
    default: float
    log: bool = True
    integer: bool = False

    def __post_init__(self) -> None:
        check_fields(self, {"log": FLAG, "integer": FLAG})
        number = Whole(-LARGEST) if self.integer else Real()
        try:
            check_fields(self, {"low": number, "high": number, "default": number})
        except ValueError as error:
            raise ValueError(f"{error}" + " where integer=True" * self.integer) from None
        if not self.low <= self.default <= self.high:
            raise ValueError(
                "`low <= default <= high` must hold, "
                f"but got (low={self.low}, default={self.default}, high={self.high})"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"`low > 0` must hold with log=True, but got low={self.low}")

    def contains(self, value: Any) -> bool:
        """Whether ``value`` is allowed: what is no number is not.

        >>> Range(1e-2, 1e2, default=1.0).contains("5")
        False
        """
        number = number_of(value)
        if number is None or not self.low <= number <= self.high:
            return False
        return not self.integer or float(number).is_integer()

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"
