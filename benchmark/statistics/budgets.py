"""How much a trial is given: examples and updates."""

from __future__ import annotations

import pandas as pd

ENOUGH_UPDATES = 1500
"""Updates from which a trial may be what others are measured against: with fewer it has hardly
begun to train, and a lead over it is one of their number."""


def usual_budget(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the budget, in passes or in updates, that most trials of a network have.

    So a configuration that was run for several budgets counts once. Networks are told apart with
    the data that they are trained on.

    >>> frame = pd.DataFrame({"dataset": "digits", "model": "mlp", "train_fraction": 1.0}, range(3))
    >>> usual_budget(frame.assign(epochs=None, updates=[500, 3000, 500]))["updates"].tolist()
    [500, 500]
    """
    network, budget = ["dataset", "model", "train_fraction"], ["epochs", "updates"]
    sizes = frame.groupby([*network, *budget], dropna=False)["model"].transform("size")
    return frame[sizes == sizes.groupby([frame[c] for c in network]).transform("max")]


def update_size(frame: pd.DataFrame) -> pd.Series:
    """Examples in an update at its start: the batch size, or the training set of a full batch."""
    full = frame["batch_policy"].eq("full")
    return frame["examples"].where(full, frame["batch_size"]).astype(float)


def planned_examples(frame: pd.DataFrame) -> pd.Series:
    """Training examples that each trial is given, whether it is stated in passes or in updates.

    ``frame`` has the columns ``batch_policy``, ``batch_size``, ``examples`` (of the training set),
    ``epochs`` and ``updates``, one of which is NaN. Of a policy that changes the size, stated in
    updates, as if it kept its first.

    >>> frame = pd.DataFrame(
    ...     {
    ...         "batch_policy": ["fixed", "full", "fixed"],
    ...         "batch_size": 32,
    ...         "examples": 1000,
    ...         "epochs": [48.0, None, None],
    ...         "updates": [None, 1500.0, 46_875.0],
    ...     }
    ... )
    >>> planned_examples(frame).tolist()
    [48000.0, 1500000.0, 1500000.0]
    """
    in_passes = frame["epochs"].astype(float) * frame["examples"].astype(float)
    in_updates = frame["updates"].astype(float) * update_size(frame)
    return in_passes.where(frame["epochs"].notna(), in_updates)


def planned_updates(frame: pd.DataFrame) -> pd.Series:
    """Updates that each trial is given at its first size; see `planned_examples`.

    >>> frame = pd.DataFrame(
    ...     {"batch_policy": ["full"], "batch_size": 32, "examples": 1000, "epochs": 48.0}
    ... )
    >>> planned_updates(frame.assign(updates=None)).tolist()
    [48.0]
    """
    return planned_examples(frame).floordiv(update_size(frame)).clip(lower=1.0)
