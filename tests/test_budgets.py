"""What trials are given: examples and updates."""

import numpy as np
import pandas as pd
import pytest

from benchmark.statistics.budgets import planned_updates


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
