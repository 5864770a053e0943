"""Which trials a claim is judged on: settings, rates that both sides were run at, batch sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics import best_per_arm
from report import prose

STILL = ("fixed", "full")
"""Batch policies that keep one size and take it whole."""
NOT_DYNAMIC = (*STILL, "accumulate")
"""Batch policies under which the size of an update does not change."""


def by_setting(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each model and data set, with their name in a sentence."""
    for (dataset, model), rows in frame.groupby(["dataset", "model"], sort=False):
        yield f"{prose.name(model)} on {prose.name(dataset)}", rows


def unclipped(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows without clipping."""
    return frame[frame["clipping"] == "none"]


def bare(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows without clipping and without normalization."""
    return frame[frame["clipping"].eq("none") & frame["normalization"].eq("none")]


def varying(frame: pd.DataFrame) -> list[str]:
    """Configuration columns with more than one level, the seed and the arm apart."""
    columns = [c for c in CONFIGURATION if c not in ("seed", "arm")]
    return [c for c in columns if frame[c].nunique(dropna=False) > 1]


def at_best(
    frame: pd.DataFrame, over: Sequence[str] = ("learning_rate",), by: Sequence[str] = ()
) -> pd.DataFrame:
    """The rows at the levels of ``over`` that validation chooses.

    They are chosen within each level of ``by``; by default of all that varies besides ``over``.
    """
    chosen = list(by) or [c for c in varying(frame) if c not in over] or ["dataset"]
    return best_per_arm(frame, chosen, list(over))


def at_rates_of(frame: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``frame`` at learning rates that ``other`` was run at too."""
    return frame[frame["learning_rate"].isin(other["learning_rate"])]


def sized(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of fixed and full batches, in which ``batch_size`` is what an update takes.

    ``full`` marks those of the full batch, whose size is that of the training set; where it was
    asked for in several sizes, the same trials were run several times, and count once.
    """
    rows = frame[frame["batch_policy"].isin(STILL)]
    full = rows["batch_policy"] == "full"
    size = rows["examples"].where(full, rows["batch_size"]).astype(int)
    rows = rows.assign(full=full, batch_size=size, batch_policy="fixed")
    return rows.drop_duplicates([*CONFIGURATION, "full"])


def sizes(frame: pd.DataFrame) -> list[int]:
    """Batch sizes, ascending."""
    return sorted(int(size) for size in frame["batch_size"].unique())
