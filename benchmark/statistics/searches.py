"""What a search is expected to have found after a number of trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

Numbers = np.ndarray | pd.Series


def expected_best(values: Numbers, trials: np.ndarray | Sequence[int]) -> np.ndarray:
    """Expected smallest of ``trials`` (m,) draws from ``values`` (..., n): (..., m).

    With the values in ascending order, sum_i v_i [((n - i + 1) / n)^m - ((n - i) / n)^m]: the
    expected validation performance of Dodge et al. 2019 (1909.03004), for a smallest value. It
    holds for trials that were drawn independently (random search), and uses all of them for every
    m, where the best so far of the one order that was run is a single draw.

    >>> expected_best(np.array([0.0, 1.0]), [1, 2]).tolist()
    [0.5, 0.25]
    """
    return expected_of_best(values, values, trials)


def expected_of_best(
    values: Numbers, others: Numbers, trials: np.ndarray | Sequence[int]
) -> np.ndarray:
    """Expected ``others`` (..., n) of the draw whose ``values`` (..., n) is smallest: (..., m).

    What the best of so many ``trials`` (m,) by one measure is worth by another: the test accuracy
    of the winner on validation, say. Weights as in `expected_best`.

    >>> expected_of_best(np.array([0.0, 1.0]), np.array([0.9, 0.1]), [1, 2]).round(2).tolist()
    [0.5, 0.7]
    """
    order = np.argsort(np.asarray(values, dtype=float), axis=-1, kind="stable")
    ordered = np.take_along_axis(np.asarray(others, dtype=float), order, axis=-1)
    n = ordered.shape[-1]
    left = 1 - np.arange(n + 1) / n
    weights = -np.diff(left[:, None] ** np.asarray(trials, dtype=float), axis=0)
    return ordered @ weights
