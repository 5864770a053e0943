"""What a disturbance cost: accuracy lost for good, and updates until the loss was made up.

Every disturbed trial is compared with the trial of the same seed and configuration without the
disturbance, which is equal to it, bit for bit, up to the disturbed step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics.outcomes import able
from benchmark.statistics.pairing import paired
from benchmark.statistics.seeds import over_seeds, share

MADE_UP = 0.01
"""Validation accuracy (0..1) by which a trial may lie below its undisturbed pair and have made up
what it lost: one point, the standard deviation of an accuracy of 90 % on the 1,000 examples that a
checkpoint looks at."""


def accuracy_lost(
    frame: pd.DataFrame, by: Sequence[str] = ("clipping",), value: str = "accuracy"
) -> pd.DataFrame:
    """Columns ``disturbance``, ``by``, ``pairs``, ``lost``, ``low``, ``high``.

    ``lost`` is the mean of the undisturbed trial's ``value`` minus the disturbed one's, paired by
    seed and all other factors, with its 95% interval over seeds. ``frame`` is of the form that
    `benchmark.statistics.outcomes` gives; groups without a pair have no row, and trials whose
    clipping could not act before the disturbance (`able`) are left out.
    """
    frame = able(frame, "clipping")
    rows = []
    for disturbance in frame["disturbance"].drop_duplicates():
        if disturbance == "none":
            continue
        for key, group in frame.groupby(list(by), sort=False, dropna=False):
            pairs = paired(group, "disturbance", "none", disturbance, value)
            if pairs.empty:
                continue
            found = over_seeds(pairs["difference"].to_numpy(), pairs["seed"])
            rows.append((disturbance, *key, len(pairs), *found))
    return pd.DataFrame(rows, columns=["disturbance", *by, "pairs", "lost", "low", "high"])


def made_up(
    trials: pd.DataFrame, history: pd.DataFrame, tolerance: float = MADE_UP
) -> pd.DataFrame:
    """The disturbed rows of ``trials`` with ``updates_to_make_up``.

    Updates from the first disturbed one to the first checkpoint after it at which the validation
    accuracy is no more than ``tolerance`` below that of the undisturbed trial at the same share of
    the budget; infinite where there is none. Trials that the disturbance never reached, whose
    clipping could not act before it, or that have no undisturbed pair, are left out.
    """
    trials = able(trials, "clipping")
    keys = [c for c in CONFIGURATION if c != "disturbance"]
    calm = trials.loc[trials["disturbance"] == "none", [*keys, "trial"]]
    disturbed = trials[trials["disturbance"].ne("none") & trials["disturbed_step"].notna()]
    pairs = disturbed.merge(calm.rename(columns={"trial": "_calm"}), on=keys, how="inner")
    pairs = pairs.assign(_pair=np.arange(len(pairs)))
    found = pd.concat(
        [
            _first_back(rows, history, place, tolerance)
            # what a budget counts: batch sizes may differ after the disturbance
            for place, rows in (
                ("samples", pairs[pairs["updates"].isna()]),
                ("step", pairs[pairs["updates"].notna()]),
            )
        ]
    )
    updates = found.reindex(pairs["_pair"]).to_numpy() - pairs["disturbed_step"].to_numpy(float)
    return pairs.assign(updates_to_make_up=np.where(np.isnan(updates), np.inf, updates)).drop(
        columns=["_calm", "_pair"]
    )


def _first_back(
    pairs: pd.DataFrame, history: pd.DataFrame, place: str, tolerance: float
) -> pd.Series:
    """The step by ``_pair`` at which a trial had made up its loss; none of those that never did.

    The checkpoints of both trials are matched by their ``place`` in the budget.
    """
    wanted = list(dict.fromkeys(["trial", "step", place, "validation_accuracy"]))
    track = pairs[["_pair", "trial", "disturbed_step"]].merge(history[wanted], on="trial")
    track = track[track["step"] > track["disturbed_step"]]
    calm = history[["trial", place, "validation_accuracy"]].rename(
        columns={"trial": "_calm", "validation_accuracy": "undisturbed"}
    )
    calm = pairs[["_pair", "_calm"]].merge(calm, on="_calm").drop(columns="_calm")
    matched = pd.merge_asof(
        track.sort_values(place, kind="stable"),
        calm.sort_values(place, kind="stable"),
        on=place,
        by="_pair",
    )
    back = matched["validation_accuracy"] >= matched["undisturbed"] - tolerance
    return matched[back].groupby("_pair")["step"].first()


def recovery(frame: pd.DataFrame, by: Sequence[str] = ("clipping",)) -> pd.DataFrame:
    """Columns ``disturbance``, ``by``, ``trials``, ``share``, ``low``, ``high``, ``median``.

    Of what `made_up` gives: the share of the trials that made up their loss, with its 95% interval
    over seeds, and the median of the updates that it took; of an even number of trials the lower
    one, and infinite where more than half never did.
    """
    rows = []
    for key, group in frame.groupby(["disturbance", *by], sort=False, dropna=False):
        values = np.sort(group["updates_to_make_up"].to_numpy(dtype=float))
        found = share(np.isfinite(group["updates_to_make_up"]), group["seed"])
        rows.append((*key, len(group), *found, float(values[(len(values) - 1) // 2])))
    columns = ["disturbance", *by, "trials", "share", "low", "high", "median"]
    return pd.DataFrame(rows, columns=columns)
