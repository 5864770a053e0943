"""The gradient's noise scale: how much data in an update stops adding information.

B_simple = tr(S) / |G|^2 of McCandlish et al. 2018 (1812.06162), S being the covariance of a single
example's gradient and G its mean; both are estimated without bias at checkpoints, in the columns
``gradient_variance`` and ``gradient_squared`` of the history.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.seeds import Ends, jackknifed

QUARTERS = {"noise": 0.5, "noise_low": 0.25, "noise_high": 0.75}


def gradient_samples(history: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``history`` at which gradients of ``trials`` were sampled, with their ``seed``.

    ``number`` counts the samples of each trial from 0.
    """
    rows = history.dropna(subset=["gradient_variance"]).merge(trials[["trial", "seed"]], on="trial")
    rows = rows.sort_values(["trial", "step"])
    return rows.assign(number=rows.groupby("trial").cumcount())


def noise_scale(samples: pd.DataFrame, parts: int = 1) -> Ends:
    """B_simple (examples) of `gradient_samples`, with its 95% jackknife interval over seeds.

    The mean variance over the mean square: both are averaged, over trials and samples, before they
    are divided, because a single estimate of the square may be close to zero, or below. With
    several ``parts`` training is cut into so many of equal length, whose noise scales are averaged.
    NaN of no samples.

    >>> columns = ["trial", "seed", "number", "gradient_variance", "gradient_squared"]
    >>> rows = [("a", 0, 0, 10.0, 1.0), ("a", 0, 1, 30.0, 1.0)]
    >>> noise_scale(pd.DataFrame(rows, columns=columns))[0]
    20.0
    """
    if samples.empty:
        return math.nan, math.nan, math.nan
    part = samples["number"] * parts // (samples["number"].max() + 1)

    def mean_of_ratios(rows: pd.DataFrame) -> float:
        sums = rows.groupby("part")[["gradient_variance", "gradient_squared"]].mean()
        square = sums["gradient_squared"].replace(0.0, math.nan)
        return float((sums["gradient_variance"] / square).mean(skipna=False))

    return jackknifed(samples.assign(part=part), mean_of_ratios)


def noise_quartiles(history: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``noise``, ``noise_low``, ``noise_high``: median and quartiles (examples).

    Of the column ``noise_scale`` over all checkpoints. An estimate that is not positive could not
    tell the mean gradient from its noise: the scale is then larger than could be measured, and
    counts as infinite. The quartiles are values that occurred, as there is none between a number
    and infinity.

    >>> history = pd.DataFrame({"model": "mlp", "noise_scale": [-1.0, 4.0, 2.0]})
    >>> noise_quartiles(history, ["model"])["noise"].tolist()
    [4.0]
    """
    rows = history.dropna(subset=["noise_scale"])
    noise = rows["noise_scale"].astype(float)
    groups = rows.assign(noise=noise.where(noise > 0, np.inf)).groupby(list(by), sort=False)[
        "noise"
    ]
    found = {n: groups.quantile(at, interpolation="nearest") for n, at in QUARTERS.items()}
    return pd.DataFrame(found).reset_index()
