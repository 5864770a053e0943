"""Choosing the trials of a comparison by their levels."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from benchmark.records import CONFIGURATION, OWNERS

CELL = [c for c in CONFIGURATION if c not in ("seed", "arm")]
"""Columns of a configuration, whatever its seed and its arm."""
NETWORK = ["model", "normalization"]
"""Columns by which networks are told apart where clippings are compared."""
SETTING = ["dataset", *NETWORK]
"""Columns of what is trained there: a network on a data set."""
WITHIN = OWNERS | {"batch_size": "batch_policy"}
"""Factors that have a level of their own only within one of another's: the numbers that belong to
it, and the batch size, which some policies set."""


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
    examples. Trials that differ in anything else repeat nothing. Ghost batch normalization is batch
    normalization where a batch is one ghost: its rows at the sizes at which every one has the
    accuracy of the other are left out.
    """
    budget = ["epochs", "updates"]
    key = [c for c in (*CELL, "seed") if c not in budget]
    ordered = frame.sort_values("updates", na_position="first", kind="stable")
    once = ordered.drop_duplicates([*key, "steps", "samples"]).sort_index()
    ghosts, whole = (once[once["normalization"] == n] for n in ("ghost_batch", "batch"))
    size = [c for c in key if c not in ("normalization", "learning_rate", "seed")]
    same = [*size, "learning_rate", "seed", *budget]
    pairs = ghosts.reset_index().merge(whole[[*same, "accuracy"]], on=same, suffixes=("", "_batch"))
    pairs = pairs.assign(same=pairs["accuracy"] == pairs["accuracy_batch"])
    groups = pairs.groupby(size, dropna=False)["same"]
    return once.drop(index=pairs.loc[groups.transform("all"), "index"])


def varying_alone(frame: pd.DataFrame) -> list[str]:
    """The factors that vary among the trials, the seed and the arm apart.

    A number that another factor brings with it (the default threshold of a clipping, the depth of a
    model) varies alone only where one level of that factor has several.

    >>> from benchmark.records import Trial
    >>> made = [Trial(), Trial(clipping="value", clipping_threshold=1.0)]
    >>> varying_alone(pd.DataFrame([trial.row() for trial in made]))
    ['clipping']
    """
    return [column for column in CELL if _varies_alone(frame, column)]


def _varies_alone(frame: pd.DataFrame, column: str) -> bool:
    if column not in WITHIN:
        return bool(frame[column].nunique(dropna=False) > 1)
    within = frame.groupby(WITHIN[column], dropna=False)[column].nunique()
    return bool((within > 1).any())


def not_varied(frame: pd.DataFrame) -> dict[str, object]:
    """What is the same in all trials, by column; what no trial has is left out."""
    fixed = [c for c in CELL if c not in WITHIN and not _varies_alone(frame, c)]
    values = {column: frame[column].iloc[0] for column in fixed}
    return {column: value for column, value in values.items() if not pd.isna(value)}


def seeds_of_configurations(frame: pd.DataFrame) -> tuple[int, int]:
    """The fewest and the most seeds of a configuration."""
    groups = frame.groupby([*CELL, "arm"], dropna=False)["seed"].nunique()
    return int(groups.min()), int(groups.max())
