"""Numbers that a page needs in another form than `report.prose` gives them."""

from __future__ import annotations

import math

from benchmark.figures import words
from report import prose

NO_BREAK = "\N{NO-BREAK SPACE}"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def magnitude(value: float) -> str:
    """A number of any size: as `report.prose.number` writes it, or with a power of ten.

    >>> magnitude(2.81e8), magnitude(0.334)
    ('2.8\\xa0×\\xa010⁸', '0.334')
    """
    if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e5:
        return prose.number(value)
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits} × 10{str(int(power)).translate(SUPERSCRIPTS)}".replace(" ", NO_BREAK)


def with_error(estimate: float, low: float, high: float, digits: int = 2) -> str:
    """An estimate with half the width of its interval: ``2.26 ± 0.03``; a dash for NaN.

    >>> with_error(2.257, 2.22, 2.28).replace(NO_BREAK, " ")
    '2.26 ± 0.03'
    """
    if math.isnan(estimate):
        return "–"
    if math.isnan(low):
        return f"{estimate:.{digits}f}"
    half = (high - low) / 2
    return f"{estimate:.{digits}f} ± {half:.{digits}f}".replace(" ", NO_BREAK)


def unbroken(name: object) -> str:
    """A level in the reader's words, which a narrow column of a table does not break."""
    return words(name).replace(" ", NO_BREAK)


def rates(low: float, high: float) -> str:
    """A range of learning rates, or the one rate that it is.

    >>> rates(0.1, 0.1), rates(0.1, 3.0)
    ('0.1', '0.1 to 3')
    """
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
