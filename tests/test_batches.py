"""What trials are given, and which batch policies are the same training."""

import numpy as np
import pandas as pd
import pytest

from benchmark.records import Trial
from benchmark.statistics.batches import planned_updates, with_accumulated


@pytest.mark.parametrize(
    ("policy", "epochs", "updates", "expected"),
    [
        ("full", 48.0, np.nan, 48),
        ("fixed", 48.0, np.nan, 187),
        ("fixed", np.nan, 1500.0, 1500),
        ("fixed", 0.1, np.nan, 1),
    ],
)
def test_updates_follow_from_passes_and_size(policy, epochs, updates, expected) -> None:
    row = {"batch_policy": policy, "batch_size": 256, "examples": 1000}
    frame = pd.DataFrame([row | {"epochs": epochs, "updates": updates}])
    assert planned_updates(frame).tolist() == [expected]


def trials(*settings: dict) -> pd.DataFrame:
    rows = [Trial(**made).row() | {"accuracy": place} for place, made in enumerate(settings)]
    return pd.DataFrame(rows)


def test_micro_batches_count_as_the_fixed_size_unless_it_was_run_alike() -> None:
    frame = trials(
        {"batch_policy": "accumulate", "learning_rate": 0.1},
        {"batch_policy": "accumulate", "learning_rate": 0.5},
        {"batch_policy": "fixed", "learning_rate": 0.1},
        {"batch_policy": "doubling", "learning_rate": 0.1},
    )
    found = with_accumulated(frame)
    assert found["accuracy"].tolist() == [1, 2, 3]
    assert found["batch_policy"].tolist() == ["fixed", "fixed", "doubling"]


@pytest.mark.parametrize("normalization", ["batch", "ghost_batch"])
def test_with_statistics_of_the_batch_micro_batches_are_a_policy_of_their_own(
    normalization,
) -> None:
    frame = trials({"batch_policy": "accumulate", "normalization": normalization})
    assert with_accumulated(frame)["batch_policy"].tolist() == ["accumulate"]
