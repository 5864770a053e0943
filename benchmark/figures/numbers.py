"""Numbers as text: in tables, in sentences and beside marks.

No number has a hyphen for a minus, a negative zero or an exponent like 1e+17, and where there is
none stands a dash.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

DASH = "–"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_nothing(value: Any) -> bool:
    """Whether a value is missing: None, NaN or NA."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def fixed(value: float, digits: int = 1) -> str:
    """A number with so many decimals; never a negative zero, never a mile of digits.

    >>> fixed(-0.04), fixed(-1.25, 2), fixed(1.31e17)
    ('0.0', '−1.25', '1.3 × 10¹⁷')
    """
    if is_nothing(value):
        return DASH
    if math.isinf(value) or abs(value) >= 1e6:
        return number(value, 2)
    rounded = round(float(value), digits)
    return f"{'−' if rounded < 0 else ''}{abs(rounded):,.{digits}f}"


def number(value: float, digits: int = 3) -> str:
    """A number to ``digits`` significant digits; a dash where there is none.

    >>> number(0.00012345), number(12345.6), number(1.0), number(6_432_100), number(2.81e8)
    ('0.00012', '12,346', '1', '6,430,000', '2.8 × 10⁸')
    """
    if is_nothing(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    sign = "−" if value < 0 else ""
    size = abs(float(value))
    if 1e6 <= size < 1e7:
        return f"{sign}{float(f'{size:.2e}'):,.0f}"
    if size and (size >= 1e7 or size < 1e-4):
        mantissa, _, power = f"{size:.1e}".partition("e")
        return f"{sign}{mantissa} × 10{str(int(power)).translate(SUPERSCRIPTS)}"
    if size < 1e-3:
        return f"{sign}{float(f'{size:.1e}'):.10f}".rstrip("0").rstrip(".") if size else "0"
    return f"{sign}{size:,.0f}" if size >= 1000 else f"{sign}{size:.{digits}g}"


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 as a percentage; none and all are written without decimals.

    >>> percent(0.9731), percent(1.0), percent(float("nan"))
    ('97.3%', '100%', '–')
    """
    if is_nothing(share):
        return DASH
    whole = round(share, 9) in (0, 1)
    return f"{fixed(100 * share, 0 if whole else digits)}%"


def signed(difference: float) -> str:
    """A difference of shares in percentage points, with its sign and without a unit.

    >>> signed(-0.0123), signed(-0.0001)
    ('−1.2', '0.0')
    """
    text = fixed(100 * difference)
    return text if text[0] in "−–∞" or not text.strip("0.") else f"+{text}"


def points(difference: float) -> str:
    """A difference of shares in signed percentage points.

    >>> points(-0.0123)
    '−1.2 points'
    """
    return f"{signed(difference)} points"


def bounds(low: float, high: float, write: Callable[[Any], object] = signed) -> str:
    """The two ends of an interval; a dash where a single run has none."""
    return DASH if is_nothing(low) or is_nothing(high) else f"{write(low)} to {write(high)}"


def p_value(p: float) -> str:
    """A p-value to three decimals, or that it is below 0.001.

    >>> p_value(0.0123), p_value(1e-5)
    ('0.012', '< 0.001')
    """
    return DASH if is_nothing(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(amount: int, noun: str) -> str:
    """An amount with its noun: ``1 trial``, ``2 trials``."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def between(low: float, high: float, write: Callable[[Any], object] = number) -> str:
    """Two numbers as a range, or the one that it is.

    >>> between(0.1, 0.1), between(0.1, 3.0)
    ('0.1', '0.1 to 3')
    """
    ends = write(low), write(high)
    return f"{ends[0]}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
