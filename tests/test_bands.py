"""Explosions by how far above the best rate, on trials that one can place by hand."""

import math

import pandas as pd
import pytest

from benchmark.records import Trial
from benchmark.statistics.bands import NO_RATE, explosions_by, in_bands

RATES = (0.1, 0.3, 1.0, 3.0)


def trials(learned: float = 1.0, **levels: object) -> pd.DataFrame:
    """Two seeds at each of `RATES`, the best at 0.1."""
    made = [Trial(learning_rate=rate, seed=seed, **levels) for rate in RATES for seed in range(2)]
    rows = pd.DataFrame([trial.row() for trial in made])
    return rows.assign(validation=1 - rows["learning_rate"] / 10, objective=1.0, learned=learned)


def test_each_configuration_has_its_own_best_rate() -> None:
    shifted = trials(clipping="value")
    shifted["learning_rate"] *= 100
    rows = in_bands(pd.concat([trials(), shifted]))
    assert rows["times"].tolist() == pytest.approx([1, 1, 3, 3, 10, 10, 30, 30] * 2)
    assert rows["band"].unique().tolist() == ["at most 3.5 ×", "3.5 to 10 ×", "beyond 10 ×"]


def test_what_does_not_learn_at_its_best_rate_has_a_band_of_its_own() -> None:
    rows = in_bands(pd.concat([trials(), trials(learned=0.0, clipping="value")]))
    assert (rows["band"].eq(NO_RATE) == rows["clipping"].eq("value")).all()


def test_a_single_rate_has_no_multiple() -> None:
    alone = trials()[lambda rows: rows["learning_rate"] == 1.0]
    assert in_bands(alone)[["times", "band"]].isna().all(axis=None)


def test_explosions_are_counted_group_by_group() -> None:
    frame = pd.DataFrame(
        {
            "model": ["mlp"] * 4 + ["cnn"] * 2,
            "seed": [0, 1, 2, 3, 0, 1],
            "exploded": [1, 1, 1, 0, 1, 0],
            "first_bad_step": [2, 10, 11, math.nan, 50, math.nan],
            "learned": [0, 0, 1, 1, 0, 1],
        }
    )
    mlp, cnn = explosions_by(frame, ["model"]).to_dict("records")
    assert (mlp["trials"], mlp["exploded"], cnn["trials"], cnn["exploded"]) == (4, 3, 2, 1)
    assert (mlp["early"], mlp["learned"]) == pytest.approx((2 / 3, 1 / 3))
    assert (mlp["began"], cnn["began"]) == (10, 50)
    assert (mlp["share"], cnn["share"]) == (0.75, 0.25)
    assert explosions_by(frame, ["model"], early=11)["early"].tolist() == [1, 0]


def test_a_group_without_a_name_is_a_group() -> None:
    frame = pd.DataFrame({"band": [None, "x"], "exploded": 1, "first_bad_step": 2, "seed": [0, 1]})
    found = explosions_by(frame.assign(learned=0.0), ["band"])
    assert found["share"].tolist() == [0.5, 0.5]
