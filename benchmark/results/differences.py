"""How rows of trials that were trained again differ: bit for bit, or beyond what rounding does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.schema import ROUNDED, last_digit

ACCURACY_TOLERANCE = 0.05
"""Difference of final validation accuracies that is laid to rounding, for trials that trained."""
INITIAL_LOSS_TOLERANCE = {"float32": 1e-4}
REDUCED_PRECISION_TOLERANCE = 1e-2
"""Relative difference of losses before the first update that is laid to rounding, by precision:
nothing has been magnified yet. It is all that is compared of a trial that exploded, whose end is
chaotic."""

Row = Mapping[Any, Any]


def exact_differences(table: str, before: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    """Every value that is not the same, timings aside, and digests, by which parts were found.

    Nor does it count which worker trained a row, and by what: that decides what is compared.

    Numbers of a table that is kept rounded may differ by one in the last digit kept: a file that
    was written with another number of digits, and rounded to these later, was rounded twice.
    """
    if len(before) != len(now):
        return [f"{table}: {len(before)} rows, now {len(now)}"]
    found = []
    apart = ("seconds", "custom", "maker", "worker")
    for name in [name for name in before if not str(name).endswith(apart)]:
        same = (before[name] == now[name]) | (before[name].isna() & now[name].isna())
        if table in ROUNDED and pd.api.types.is_float_dtype(before[name]):
            same |= np.abs(before[name] - now[name]) <= last_digit(before[name].to_numpy())
        for i in np.flatnonzero(~same):
            step = f" at step {before['step'].iloc[i]}" if "step" in before else ""
            found.append(f"{name}{step}: {before[name].iloc[i]}, now {now[name].iloc[i]}")
    return found


def rough_differences(before: Row, now: Row) -> list[str]:
    """What cannot be laid to rounding."""
    found = []
    if now["status"] in ("failed", "skipped") or before["status"] == "skipped":
        if now["status"] != before["status"]:
            found.append(f"status: {before['status']}, now {now['status']} {now['status_reason']}")
        return found
    tolerance = INITIAL_LOSS_TOLERANCE.get(before["precision"], REDUCED_PRECISION_TOLERANCE)
    losses = before["initial_loss"], now["initial_loss"]
    if not np.isclose(*losses, rtol=tolerance, atol=0.0, equal_nan=True):
        found.append(f"initial_loss: {losses[0]}, now {losses[1]}")
    if before["status"] != "stable":
        return found
    if now["status"] not in ("stable", "recovered"):
        found.append(f"status: stable, now {now['status']}")
    elif abs(before["validation_accuracy"] - now["validation_accuracy"]) > ACCURACY_TOLERANCE:
        found.append(
            f"validation_accuracy: {before['validation_accuracy']}, "
            f"now {now['validation_accuracy']}"
        )
    return found
