"""Published numbers measured again: in which trials, by which measure, and with which verdict.

A row of a table of published numbers has the ``measure`` (one of `MEASURES`), the ``value``, the
``rule`` and ``noise`` by which it counts as found again (`replicates`), what it is to be measured
on (`MEASURED_ON`, an empty cell leaves a column open), and ``updates``, the fewest that it needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmark.statistics.noise import gradient_samples, noise_scale
from benchmark.statistics.replication import UNTOLD, replicates
from benchmark.statistics.seeds import Ends, over_seeds, unanimous
from benchmark.statistics.sharpness import sharpness_over_edge

MEASURED_ON = ("dataset", "model", "optimizer", "momentum", "learning_rate", "batch_size", "epochs")
"""Columns of a table of published numbers that choose the trials."""
NOT_RUN = "not run in this setting"
NOTHING: Ends = (math.nan, math.nan, math.nan)
WINDOWS = 4
"""Parts of training in each of which the noise scale is the ratio of two averages."""


def in_setting(trials: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """The ``trials`` in the setting of a published number; of a gap, with any batch size.

    >>> trials = pd.DataFrame({"learning_rate": [0.1, 0.2], "steps": [10, 10]})
    >>> row = pd.Series({"learning_rate": 0.1, "updates": None, "measure": "accuracy"})
    >>> in_setting(trials, row)["learning_rate"].tolist()
    [0.1]
    """
    if not pd.isna(row["updates"]):
        trials = trials[trials["steps"] >= row["updates"]]
    for column in MEASURED_ON:
        wanted = row.get(column)
        if pd.isna(wanted) or (row["measure"] == "gap" and column == "batch_size"):
            continue
        values = trials[column]
        text = isinstance(wanted, str)
        alike = values == wanted if text else np.isclose(values.astype(float), wanted)
        trials = trials[alike]
    return trials


def accuracy(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Mean test accuracy; a trial that broke counts at chance."""
    return over(trials["accuracy"], trials["seed"])


def over(values: pd.Series, seeds: pd.Series | np.ndarray) -> Ends:
    """Mean of ``values`` with its interval over seeds; NaN of none."""
    return over_seeds(values.to_numpy(), seeds) if len(values) else NOTHING


def gap(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Test accuracy of the row's batches minus that of the others of the same seed."""
    return over(*_paired(trials, trials["batch_size"] == row["batch_size"], trials["accuracy"]))


def solved(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Share of seeds that reach the data set's target with clipping, minus that without."""
    reached = (trials["accuracy"] >= trials["target_accuracy"]).astype(float)
    differences, seeds = _paired(trials, trials["clipping"] != "none", reached)
    estimate, low, high = over(differences, seeds)
    if len(seeds) > 1 and differences.nunique() == 1:
        return unanimous(estimate, len(seeds), len(seeds))
    return estimate, max(low, -1.0), min(high, 1.0)


def _paired(
    trials: pd.DataFrame, treated: pd.Series, values: pd.Series
) -> tuple[pd.Series, np.ndarray]:
    """Mean differences of the ``treated`` from the others, and the seeds that have both."""
    sides = values.groupby([trials["seed"], treated]).mean().unstack()
    both = sides.reindex(columns=[True, False]).dropna()
    return both[True] - both[False], both.index.to_numpy()


def noise_start(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """The noise scale of the first sample of gradients."""
    samples = gradient_samples(history, trials)
    return noise_scale(samples[samples["number"] == 0])


def noise_average(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """The noise scale of equal parts of training, averaged over these."""
    return noise_scale(gradient_samples(history, trials), WINDOWS)


def edge_end(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Sharpness over 2 / rate at the last checkpoint at which it was measured."""
    ends = _edges(trials, history)
    return over(ends["last"], ends["seed"])


def edge_rise(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """How much of 2 / rate the sharpness has won at the end, at the smallest rate.

    At larger ones it may begin above the edge, and fall.
    """
    ends = _edges(trials, history)
    ends = ends[ends["rate"] == ends["rate"].min()]
    return over(ends["last"] - ends["first"], ends["seed"])


def _edges(trials: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    rows = sharpness_over_edge(history, trials, ["seed"]).sort_values("step")
    return rows.groupby(["trial", "seed", "rate"])["edge"].agg(["first", "last"]).reset_index()


Measurement = Callable[[pd.DataFrame, pd.DataFrame, pd.Series], Ends]
MEASURES: dict[str, Measurement] = {
    f.__name__: f for f in (accuracy, gap, solved, noise_start, noise_average, edge_rise, edge_end)
}
"""Each measure of a published number: of trials, their history and the number's row."""


def beside_published(
    numbers: pd.DataFrame, trials: pd.DataFrame, history: pd.DataFrame
) -> pd.DataFrame:
    """``numbers`` with ``estimate``, ``low``, ``high``, ``passes``, ``seeds`` and ``verdict``.

    What is measured in the ``trials`` (of the form that `outcomes` gives) and their ``history``.
    ``passes`` are examples seen over those there are. A number whose setting was not run has none
    of them, and the verdict `NOT_RUN`; a single seed is no evidence either way.
    """
    rows = [row.to_dict() | _found(row, trials, history) for _, row in numbers.iterrows()]
    return pd.DataFrame(rows, numbers.index)


def _found(row: pd.Series, trials: pd.DataFrame, history: pd.DataFrame) -> dict[str, object]:
    trials = in_setting(trials, row) if len(trials) else trials
    found = MEASURES[row["measure"]](trials, history, row) if len(trials) else NOTHING
    estimate, low, high = found
    if not math.isfinite(estimate):
        nothing = dict.fromkeys(("estimate", "low", "high", "passes"), math.nan)
        return nothing | {"seeds": 0, "verdict": NOT_RUN}
    seeds = trials["seed"].nunique()
    said = replicates(row["rule"], row["value"], row["noise"], found) if seeds > 1 else UNTOLD
    if row["measure"] == "accuracy":
        low, high = max(low, 0.0), min(high, 1.0)
    passes = float((trials["samples"] / trials["examples"]).mean())
    ends = {"estimate": estimate, "low": low, "high": high, "passes": passes}
    return ends | {"seeds": seeds, "verdict": said}
