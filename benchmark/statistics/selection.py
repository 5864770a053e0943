"""Choosing the trials of a comparison by their levels."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def where(frame: pd.DataFrame, **levels: object) -> pd.DataFrame:
    """The rows that have these levels, by column: a value each, or a list of values.

    >>> where(pd.DataFrame({"a": [1, 2, 3], "b": [*"xxy"]}), a=[2, 3], b="x")
       a  b
    1  2  x
    """
    for column, level in levels.items():
        wanted = level if isinstance(level, list) else [level]
        frame = frame[frame[column].isin(wanted)]
    return frame


def differing_in(frame: pd.DataFrame, factor: str, baselines: Mapping[str, object]) -> pd.DataFrame:
    """The rows in which every other factor of ``baselines`` is at its own.

    So they differ in ``factor`` alone, as far as these factors go.

    >>> frame = pd.DataFrame({"clipping": ["none", "value", "value"], "schedule": [*"ccs"]})
    >>> differing_in(frame, "clipping", {"clipping": "none", "schedule": "c"})["clipping"].tolist()
    ['none', 'value']
    """
    return where(frame, **{c: level for c, level in baselines.items() if c != factor})


def without_repeats(frame: pd.DataFrame) -> pd.DataFrame:
    """The `outcomes` without those that repeat others: by the budget, and by ghost batches.

    At one batch size equal examples are equal updates: such trials count as those at equal
    examples. Ghost batch normalization is batch normalization where a batch is one ghost: its rows
    at the sizes at which every one has the accuracy of the other are left out.
    """
    key = ["dataset", "model", "batch_size", "learning_rate", "seed", "normalization"]
    ordered = frame.sort_values("updates", na_position="first", kind="stable")
    once = ordered.drop_duplicates([*key, "steps", "samples"]).sort_index()
    ghosts, whole = (once[once["normalization"] == n] for n in ("ghost_batch", "batch"))
    same = [*key[:-1], "epochs", "updates"]
    pairs = ghosts.reset_index().merge(whole[[*same, "accuracy"]], on=same, suffixes=("", "_batch"))
    pairs = pairs.assign(same=pairs["accuracy"] == pairs["accuracy_batch"])
    groups = pairs.groupby(["dataset", "model", "batch_size"])["same"]
    return once.drop(index=pairs.loc[groups.transform("all"), "index"])
