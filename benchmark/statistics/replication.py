"""Whether a published number is found again, and by which rule."""

from __future__ import annotations

import math

from benchmark.statistics.seeds import Ends

REPRODUCED, DIFFERS, UNTOLD = "reproduced", "differs", "cannot tell"
CLOSE = "close"
"""Surely not the published number, but within its noise as far as the mean says."""


def noise_band(rule: str, value: float, noise: float) -> tuple[float, float]:
    """Between which numbers one counts as the published ``value``, by the rules of `replicates`.

    >>> noise_band("factor", 900, 2), noise_band("near", 10, 1)
    ((450.0, 1800), (9, 11))
    """
    return (value / noise, value * noise) if rule == "factor" else (value - noise, value + noise)


def replicates(rule: str, value: float, noise: float, found: Ends) -> str:
    """Whether a measured number, with its interval, is the published one.

    Parameters
    ----------
    rule
        ``near``: it is reproduced where our whole interval lies within the noise of the number.
        ``factor``: where it lies between the number over ``noise`` and ``noise`` times it.
        ``more``: where it lies above ``value``.
        It differs where the estimate is further off and our interval excludes the number; of
        ``more``, where the interval lies below it. It is close where our interval excludes the
        number but the estimate lies within its noise. Anything else cannot be told: the interval
        reaches beyond the noise and has the number in it.
    found
        Estimate and both ends of its 95% interval: NaN where there is none, as of seeds that all
        agree, and then the estimate alone decides.

    >>> replicates("near", 0.858, 0.02, (0.87, 0.865, 0.875))
    'reproduced'
    >>> replicates("factor", 900, 2, (300.0, 250.0, 350.0))
    'differs'
    >>> replicates("near", 0.8425, 0.02, (0.860, 0.856, 0.864))
    'close'
    >>> replicates("more", 0, float("nan"), (0.1, -0.1, 0.3))
    'cannot tell'
    """
    estimate, low, high = found
    if rule == "more":
        return REPRODUCED if low > value else DIFFERS if high < value else UNTOLD
    least, most = noise_band(rule, value, noise)
    if math.isnan(low) or math.isnan(high):
        low = high = estimate
    if least <= low and high <= most:
        return REPRODUCED
    if low <= value <= high:
        return UNTOLD
    return CLOSE if least <= estimate <= most else DIFFERS
