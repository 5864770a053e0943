"""Loss spikes: steps whose loss is far above those just before them."""

from __future__ import annotations

import numpy as np

WINDOW, DEVIATIONS, LEAST = 100, 7.0, 10
LARGEST_LOSS = 1e150
"""Losses above, which double precision can have, count as this: their squares would overflow."""


def loss_spikes(losses: np.ndarray) -> np.ndarray:
    """Which of ``losses`` (steps,) are 7 standard deviations or more above those before them.

    Mean and population standard deviation are of the up to 100 losses before the step; a step
    counts from the 11th on. A loss that is not finite is a spike, and is left out of the means
    after it (OLMo 2, 2501.00656).

    >>> np.flatnonzero(loss_spikes(np.array([1.0, 1.1] * 10 + [3.0]))).tolist()
    [20]
    """
    values = np.asarray(losses, dtype=float)
    spikes = np.zeros(len(values), dtype=bool)
    if len(values) <= LEAST:
        return spikes
    finite = np.isfinite(values)
    values = np.minimum(values, LARGEST_LOSS)
    # sums up to each step; centred, so that small variances survive the subtraction
    centre = values[finite].mean() if finite.any() else 0.0
    filled = np.where(finite, values - centre, 0.0)
    counts, sums, squares = (
        np.concatenate([[0.0], np.cumsum(x)]) for x in (finite, filled, filled**2)
    )
    end = np.arange(LEAST, len(values))
    start = np.maximum(end - WINDOW, 0)
    count = np.maximum(counts[end] - counts[start], 1.0)
    mean = (sums[end] - sums[start]) / count
    deviation = np.sqrt(np.maximum((squares[end] - squares[start]) / count - mean**2, 0.0))
    above = filled[end] - mean
    # a constant loss has no spread, and rounding is no spike
    rounding = 1e-6 * (1 + abs(centre))
    spikes[end] = ~finite[end] | ((above >= DEVIATIONS * deviation) & (above > rounding))
    return spikes


def spike_score(losses: np.ndarray) -> float:
    """Share of the steps from the 11th on that are `loss_spikes`; NaN where there are none.

    >>> spike_score(np.array([1.0, 1.1] * 10 + [3.0]))
    0.09090909090909091
    """
    if len(losses) <= LEAST:
        return float("nan")
    return float(loss_spikes(losses)[LEAST:].mean())
